import assert from "node:assert/strict";
import { test } from "node:test";
import type { ObjectStatus } from "#control/status/object-status.ts";
import { ForceState } from "#mesh/snapshot/snapshot.ts";
import { joinReplicas } from "./status.ts";

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
