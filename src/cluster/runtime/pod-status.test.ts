import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { asArray, asRecord, fieldAt } from "../store/json.ts";
import { type ContainerState, notStarted } from "./container-state.ts";
import { type ObservedContainer, type ObservedPod, podPhase, podStatus } from "./pod-status.ts";

const running: ContainerState = {
  ...notStarted,
  current: { kind: "running", startedAtMs: 0 },
  started: true,
  ready: true,
};

function ended(exitCode: number): ContainerState {
  return {
    ...notStarted,
    current: { kind: "terminated", reason: "x", message: "", exitCode, startedAtMs: 0, finishedAtMs: 0, id: "" },
    ready: exitCode === 0,
  };
}

function one(name: string, state: ContainerState, sidecar = false): ObservedContainer {
  return { container: { name, image: "i", ...(sidecar ? { restartPolicy: "Always" as const } : {}) }, state };
}

function observed(fields: Partial<ObservedPod>): ObservedPod {
  return {
    initContainers: [],
    containers: [one("app", notStarted)],
    restartPolicy: "Always",
    podAddress: "10.244.0.2",
    startTimeMs: 0,
    isTerminating: false,
    generation: 1,
    ...fields,
  };
}

function condition(status: unknown, type: string): Readonly<Record<string, unknown>> {
  return asRecord(
    asArray(fieldAt(status, "conditions"))
      .map(asRecord)
      .find((item) => item["type"] === type),
  );
}

describe("the phase of a pod", () => {
  it("is Pending until a container has run, then Running whatever happens to it", () => {
    assert.equal(podPhase(observed({})), "Pending");
    assert.equal(podPhase(observed({ containers: [one("app", running)] })), "Running");
    const { current } = ended(1);
    const crashed: ContainerState = { ...notStarted, last: current.kind === "terminated" ? current : undefined };
    assert.equal(podPhase(observed({ containers: [one("app", crashed)] })), "Running");
  });

  it("is Succeeded or Failed when nothing is started again", () => {
    assert.equal(
      podPhase(observed({ restartPolicy: "Never", containers: [one("a", ended(0)), one("b", ended(0))] })),
      "Succeeded",
    );
    assert.equal(
      podPhase(observed({ restartPolicy: "Never", containers: [one("a", ended(0)), one("b", ended(2))] })),
      "Failed",
    );
    assert.equal(podPhase(observed({ restartPolicy: "OnFailure", containers: [one("a", ended(0))] })), "Succeeded");
    assert.equal(podPhase(observed({ restartPolicy: "Never", initContainers: [one("init", ended(1))] })), "Failed");
    assert.equal(
      podPhase(observed({ restartPolicy: "OnFailure", initContainers: [one("init", ended(1))] })),
      "Pending",
    );
  });
});

describe("the conditions of a pod", () => {
  it("name what is not ready, sidecars included", () => {
    const unready = { ...running, ready: false };
    const status = podStatus(
      observed({
        initContainers: [one("init", ended(0)), one("proxy", unready, true)],
        containers: [one("app", running)],
      }),
      undefined,
      0,
    );
    assert.equal(condition(status, "Initialized")["status"], "True");
    assert.equal(condition(status, "Ready")["status"], "False");
    assert.equal(condition(status, "Ready")["message"], "containers with unready status: [proxy]");
  });

  it("keep the time of their last change", () => {
    const first = podStatus(observed({ containers: [one("app", running)] }), undefined, 1_000);
    const second = podStatus(observed({ containers: [one("app", running)] }), first, 60_000);
    assert.equal(condition(second, "Ready")["lastTransitionTime"], "1970-01-01T00:00:01Z");
    const third = podStatus(observed({ containers: [one("app", notStarted)] }), second, 60_000);
    assert.equal(condition(third, "Ready")["lastTransitionTime"], "1970-01-01T00:01:00Z");
    assert.equal(condition(third, "PodScheduled")["lastTransitionTime"], "1970-01-01T00:00:01Z");
  });

  it("say why a pod was refused", () => {
    const problem = { reason: "NotSupported", message: "hostPath", isFinal: true };
    const status = podStatus(observed({ problem }), undefined, 0);
    assert.deepEqual([status["phase"], status["reason"], status["message"]], ["Failed", "NotSupported", "hostPath"]);
  });
});
