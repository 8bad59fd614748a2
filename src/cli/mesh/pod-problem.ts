// Why a pod is not ready, from the states of its containers.
import { type ContainerStatus, isReady, type Pod } from "./pods.ts";

/** One sentence; undefined for a pod that is ready, or has done its work. */
export function podProblem(pod: Pod): string | undefined {
  if (isReady(pod) || hasSucceeded(pod)) return undefined;
  const stuck = statusesOf(pod).filter((status) => status.ready !== true);
  if (stuck.length === 0) return undefined;
  return `pod ${pod.metadata.name}.${pod.metadata.namespace ?? "default"}: ${stuck.map(describe).join("; ")}`;
}

export function hasSucceeded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded";
}

/** Whether it waits for something that does not come by itself: an image, a volume, an end to its crashes. */
export function isStuck(pod: Pod): boolean {
  return statusesOf(pod).some(({ state }) => {
    const reason = state?.waiting?.reason ?? "";
    return reason !== "" && !usual.has(reason);
  });
}

const usual = new Set(["ContainerCreating", "PodInitializing"]);

function statusesOf(pod: Pod): readonly ContainerStatus[] {
  return [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
}

function describe({ name, state, restartCount }: ContainerStatus): string {
  const restarts = (restartCount ?? 0) > 0 ? `, ${restartCount} restarts` : "";
  if (state?.waiting !== undefined)
    return `${name} waits (${[state.waiting.reason, state.waiting.message].filter(Boolean).join(": ")}${restarts})`;
  if (state?.terminated !== undefined)
    return `${name} ended (${state.terminated.reason ?? ""}, exit code ${state.terminated.exitCode ?? "?"}${restarts})`;
  return `${name} is not ready${restarts}`;
}
