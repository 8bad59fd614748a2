// The status of a pod, computed from the states of its containers. Pure.

import { nodeAddress } from "../network/addresses.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../store/json.ts";
import type { ContainerState, Terminated } from "./container-state.ts";
import { type ContainerSpec, isSidecar, type RestartPolicy } from "./pod-spec.ts";

export interface ObservedContainer {
  readonly container: ContainerSpec;
  readonly state: ContainerState;
}

export interface ObservedPod {
  readonly initContainers: readonly ObservedContainer[];
  readonly containers: readonly ObservedContainer[];
  readonly restartPolicy: RestartPolicy;
  readonly podAddress: string | undefined;
  readonly startTimeMs: number;
  readonly isTerminating: boolean;
  /** Why the node refuses the pod or cannot start it now. */
  readonly problem?: { readonly reason: string; readonly message: string; readonly isFinal: boolean };
  readonly generation: number | undefined;
}

export function podStatus(pod: ObservedPod, previous: unknown, nowMs: number): JsonRecord {
  const phase = podPhase(pod);
  const isOver = phase === "Succeeded" || phase === "Failed";
  const { problem } = pod;
  return {
    phase,
    ...(pod.generation === undefined ? {} : { observedGeneration: pod.generation }),
    conditions: conditions(pod, phase, asArray(fieldAt(previous, "conditions")), nowMs),
    ...(problem === undefined ? {} : { reason: problem.reason, message: problem.message }),
    hostIP: nodeAddress,
    hostIPs: [{ ip: nodeAddress }],
    ...(pod.podAddress === undefined ? {} : { podIP: pod.podAddress, podIPs: [{ ip: pod.podAddress }] }),
    startTime: time(pod.startTimeMs),
    ...(pod.initContainers.length === 0
      ? {}
      : { initContainerStatuses: pod.initContainers.map((observed) => containerStatus(observed, isOver)) }),
    containerStatuses: pod.containers.map((observed) => containerStatus(observed, isOver)),
    qosClass: "BestEffort",
  };
}

export function podPhase(pod: ObservedPod): "Pending" | "Running" | "Succeeded" | "Failed" {
  const { containers, initContainers, restartPolicy } = pod;
  if (pod.problem?.isFinal === true) return "Failed";
  const failedInit = initContainers.some(
    ({ container, state }) => !isSidecar(container) && restartPolicy === "Never" && hasFailed(state),
  );
  if (failedInit) return "Failed";
  const everRan = containers.some(({ state }) => state.current.kind !== "waiting" || state.last !== undefined);
  if (!everRan) return "Pending";
  const isOver = containers.every(({ state }) => state.current.kind === "terminated");
  if (!isOver || restartPolicy === "Always") return pod.isTerminating && isOver ? endPhase(containers) : "Running";
  if (containers.every(({ state }) => !hasFailed(state))) return "Succeeded";
  return restartPolicy === "Never" ? "Failed" : "Running";
}

function endPhase(containers: readonly ObservedContainer[]): "Succeeded" | "Failed" {
  return containers.every(({ state }) => !hasFailed(state)) ? "Succeeded" : "Failed";
}

function hasFailed(state: ContainerState): boolean {
  return state.current.kind === "terminated" && state.current.exitCode !== 0;
}

/** Init containers are through: each has succeeded, each sidecar has started. */
function isInitialized(initContainers: readonly ObservedContainer[]): boolean {
  return initContainers.every(({ container, state }) =>
    isSidecar(container) ? state.started : state.current.kind === "terminated" && state.current.exitCode === 0,
  );
}

function conditions(pod: ObservedPod, phase: string, previous: readonly unknown[], nowMs: number): JsonRecord[] {
  const isOver = phase === "Succeeded" || phase === "Failed";
  const incomplete = pod.initContainers.filter((observed) => !isInitialized([observed])).map(nameOf);
  const initialized =
    incomplete.length === 0 || phase === "Succeeded" || pod.containers.some(({ state }) => state.started);
  const sidecars = pod.initContainers.filter(({ container }) => isSidecar(container));
  const unready = [...sidecars, ...pod.containers].filter(({ state }) => !state.ready).map(nameOf);
  const ready = !isOver && unready.length === 0;
  const notReady = isOver
    ? { reason: "PodCompleted" }
    : { reason: "ContainersNotReady", message: `containers with unready status: [${unready.join(" ")}]` };
  const notInitialized = {
    reason: "ContainersNotInitialized",
    message: `containers with incomplete status: [${incomplete.join(" ")}]`,
  };
  const wanted: JsonRecord[] = [
    { type: "PodReadyToStartContainers", status: pod.podAddress === undefined ? "False" : "True" },
    { type: "Initialized", status: initialized ? "True" : "False", ...(initialized ? {} : notInitialized) },
    { type: "Ready", status: ready ? "True" : "False", ...(ready ? {} : notReady) },
    { type: "ContainersReady", status: ready ? "True" : "False", ...(ready ? {} : notReady) },
    { type: "PodScheduled", status: "True" },
  ];
  return wanted.map((condition) => {
    const before = previous.map(asRecord).find((other) => other["type"] === condition["type"]);
    const isSame = before?.["status"] === condition["status"];
    return { ...condition, lastTransitionTime: isSame ? before?.["lastTransitionTime"] : time(nowMs) };
  });
}

function nameOf({ container }: ObservedContainer): string {
  return container.name;
}

function containerStatus({ container, state }: ObservedContainer, isOver: boolean): JsonRecord {
  return {
    name: container.name,
    image: container.image,
    imageID: container.image,
    ...(state.id === "" ? {} : { containerID: state.id }),
    ready: state.ready && !(isOver && state.current.kind !== "terminated"),
    started: state.started,
    restartCount: state.restarts,
    state: stateJson(state.current),
    lastState: state.last === undefined ? {} : stateJson(state.last),
  };
}

function stateJson(state: ContainerState["current"]): JsonRecord {
  if (state.kind === "running") return { running: { startedAt: time(state.startedAtMs) } };
  if (state.kind === "terminated") return { terminated: terminatedJson(state) };
  return { waiting: { reason: state.reason, ...(state.message === "" ? {} : { message: state.message }) } };
}

function terminatedJson(state: Terminated): JsonRecord {
  return {
    exitCode: state.exitCode,
    reason: state.reason,
    ...(state.message === "" ? {} : { message: state.message }),
    startedAt: time(state.startedAtMs),
    finishedAt: time(state.finishedAtMs),
    containerID: state.id,
  };
}

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
function time(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}
