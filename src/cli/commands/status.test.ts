import assert from "node:assert/strict";
import { test } from "node:test";
import type { ObjectStatus } from "#control/status/object-status.ts";
import { ForceState } from "#mesh/snapshot/snapshot.ts";
import { joinReplicas, resourceTable, type Status, selected, summary, tables } from "./status.ts";

const status = (name: string, proxies: number, current: number): ObjectStatus => ({
  origin: { kind: "VirtualService", namespace: "default", name },
  apiVersion: "networking.istio.io/v1",
  generation: 1,
  state: ForceState.InForce,
  reasons: [],
  issues: [],
  progress: { proxies, current, rejections: [] },
  moduleProxies: 0,
  configured: { state: ForceState.InForce, reasons: [] },
});

test("proxies of several control planes are counted together", () => {
  const rejection = { proxy: "a.default", type: "rds", resource: "9080", message: "no" };
  const rejecting: ObjectStatus = {
    ...status("one", 2, 1),
    state: ForceState.Partly,
    reasons: ["a.default rejected"],
    progress: { proxies: 2, current: 1, rejections: [rejection] },
  };
  const joined = joinReplicas([
    [status("one", 3, 3), status("two", 0, 0)],
    [rejecting, status("two", 1, 1)],
  ]);
  assert.deepEqual(
    joined.map(({ origin, state, progress, reasons }) => [origin.name, state, progress, reasons]),
    [
      [
        "one",
        "partly in force",
        { proxies: 5, current: 4, rejections: [rejection] },
        ["a.default rejected rds 9080 and keeps what it had: no"],
      ],
      ["two", "in force", { proxies: 1, current: 1, rejections: [] }, []],
    ],
  );
});

test("a Wasm module that the proxies of one control plane ask for is in force, whatever those of another ask for", () => {
  const idle: ObjectStatus = {
    ...status("one", 0, 0),
    moduleProxies: 2,
    state: ForceState.MatchesNothing,
    reasons: ["no listener of the 2 proxies that it is for has the mode and port of its match"],
  };
  const used: ObjectStatus = { ...status("one", 1, 1), moduleProxies: 1 };
  for (const [first, second] of [
    [idle, used],
    [used, idle],
  ] as const) {
    const [joined] = joinReplicas([[first], [second]]);
    assert.deepEqual([joined?.state, joined?.reasons, joined?.progress.proxies], [ForceState.InForce, [], 1]);
  }
  const [joined] = joinReplicas([[idle], [idle]]);
  assert.match(joined?.reasons.join() ?? "", /of the 4 proxies/);
});

/** Two hundred in order, and some that are not, in between. */
function manyResources(): ObjectStatus[] {
  const resources = Array.from({ length: 200 }, (_, index) => status(`good-${String(index).padStart(3, "0")}`, 3, 3));
  resources.splice(7, 0, { ...status("wrong", 0, 0), state: ForceState.Invalid, reasons: ["no such field"] });
  resources.splice(90, 0, {
    ...status("half", 3, 2),
    state: ForceState.Partly,
    reasons: ["one thing", "another thing"],
  });
  return resources;
}

test("among many resources those with problems stand last, a line for each reason, and the counts after them", () => {
  const lines = resourceTable(manyResources()).trimEnd().split("\n");
  const reasonAt = lines[0]?.indexOf("REASON") ?? 0;
  assert.equal(lines.length, 1 + 200 + 3);
  assert.match(lines[1] ?? "", /^VirtualService +default +good-000 +in force +3 of 3 +-$/);
  assert.match(lines.at(-3) ?? "", /^VirtualService +default +half +partly in force +2 of 3 +- +one thing$/);
  assert.equal(lines.at(-2), `${" ".repeat(reasonAt)}another thing`);
  assert.match(lines.at(-1) ?? "", /wrong +invalid +- +- +no such field$/);
  assert.equal(summary(manyResources()), "202 resources: 200 in force, 1 partly in force, 1 invalid");
  assert.equal(summary([]), "0 resources");
});

test("flags leave what is in one namespace, and what needs a look", () => {
  const row = (namespace: string, ready: boolean): Status["workloads"][number] => {
    return { namespace, pod: "p", ready, restarts: 0, sidecar: true, address: "-" };
  };
  const elsewhere = { ...status("far", 1, 1), origin: { kind: "Sidecar", namespace: "other", name: "far" } };
  const all: Status = {
    workloads: [row("default", true), row("default", false), row("other", false)],
    resources: [...manyResources(), elsewhere],
    issues: [],
    silent: [],
  };
  const names = (found: Status): string => found.resources.map(({ origin }) => origin.name).join();
  assert.equal(names(selected(all, { problems: true })), "wrong,half");
  assert.equal(selected(all, { problems: true }).workloads.length, 2);
  assert.equal(names(selected(all, { namespace: "other" })), "far");
  assert.equal(selected(all, { namespace: "other" }).workloads.length, 1);
  assert.deepEqual(selected(all, {}), all);
});

test("what there is nothing of has no heading, and a control plane that is not ready is named", () => {
  const nothing: Status = { workloads: [], resources: [], issues: [], silent: [] };
  assert.equal(tables(nothing), "0 resources\n");
  const unknown = tables({ ...nothing, resources: [status("one", 1, 1)], silent: ["istiod-2"] });
  assert.match(
    unknown,
    /^KIND .*\nVirtualService .*\n\nnothing is known of proxies .* istiod-2: not ready\n\n1 resource: 1 in force\n$/,
  );
});
