import assert from "node:assert/strict";
import { test } from "node:test";
import { isStuck, podProblem } from "./pod-problem.ts";
import type { ContainerStatus, Pod } from "./pods.ts";

const pod = (phase: string, ready: boolean, containerStatuses: readonly ContainerStatus[]): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a", namespace: "shop" },
  spec: { containers: [] },
  status: { phase, conditions: [{ type: "Ready", status: ready ? "True" : "False" }], containerStatuses },
});

test("a pod that is not ready has a reason for each container; one that has done its work has none", () => {
  const waiting = { name: "app", ready: false, state: { waiting: { reason: "ErrImagePull", message: "no image" } } };
  const crashing = { name: "b", restartCount: 3, state: { waiting: { reason: "CrashLoopBackOff" } } };
  const found = pod("Pending", false, [waiting, crashing, { name: "c", ready: true }]);
  assert.equal(
    podProblem(found),
    "pod a.shop: app waits (ErrImagePull: no image); b waits (CrashLoopBackOff, 3 restarts)",
  );
  assert.equal(isStuck(found), true);
  const starting = pod("Pending", false, [{ name: "app", state: { waiting: { reason: "PodInitializing" } } }]);
  assert.deepEqual([podProblem(starting), isStuck(starting)], ["pod a.shop: app waits (PodInitializing)", false]);
  assert.equal(podProblem(pod("Running", true, [{ name: "app", ready: true }])), undefined);
  assert.equal(
    podProblem(pod("Succeeded", false, [{ name: "app", state: { terminated: { exitCode: 0 } } }])),
    undefined,
  );
});
