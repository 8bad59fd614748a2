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
      ["one", "partly in force", { proxies: 5, current: 4, rejections: [rejection] }, ["a.default rejected"]],
      ["two", "in force", { proxies: 1, current: 1, rejections: [] }, []],
    ],
  );
});
