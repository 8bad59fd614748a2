// How far a Job is, from its pods. Pure.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt } from "../../store/json.ts";
import { isActive, podPhase } from "../pod-state.ts";

export const indexAnnotation = "batch.kubernetes.io/job-completion-index";

export interface Progress {
  readonly active: readonly KubernetesObject[];
  readonly succeeded: number;
  readonly failed: number;
  /** Of an indexed Job, sorted. */
  readonly succeededIndexes: readonly number[];
  /** How many pods may run now. */
  readonly wanted: number;
  readonly isComplete: boolean;
  readonly isSuspended: boolean;
  readonly isPastBackoffLimit: boolean;
  /** Until a pod may be made after a failure. Kubernetes waits ten times as long. */
  readonly backoffMs: number;
  /** Until it has been active for too long; 0: it has. */
  readonly deadlineInMs: number | undefined;
}

const firstBackoffMs = 1_000;
const longestBackoffMs = 60_000;

export function progressOf(job: KubernetesObject, pods: readonly KubernetesObject[], nowMs: number): Progress {
  const parallelism = numberAt(job, "spec", "parallelism") ?? 1;
  const completions = numberAt(job, "spec", "completions");
  const isSuspended = fieldAt(job, "spec", "suspend") === true;
  const active = pods.filter(isActive);
  const succeededPods = pods.filter((pod) => podPhase(pod) === "Succeeded");
  const failedPods = pods.filter((pod) => podPhase(pod) === "Failed");
  const indexes = succeededPods.flatMap((pod) => pod.metadata.annotations?.[indexAnnotation] ?? []).map(Number);
  const succeededIndexes = [...new Set(indexes)].sort((a, b) => a - b);
  const isIndexed = fieldAt(job, "spec", "completionMode") === "Indexed";
  // What was counted stays counted when its pod is removed.
  const counted = Math.max(numberAt(job, "status", "succeeded") ?? 0, succeededPods.length);
  const succeeded = isIndexed ? succeededIndexes.length : counted;
  const failed = Math.max(numberAt(job, "status", "failed") ?? 0, failedPods.length);
  const limit = numberAt(job, "spec", "backoffLimit") ?? 6;
  return {
    active,
    succeeded,
    failed,
    succeededIndexes,
    // Without a number of completions the first success says that the work is done; what runs may finish.
    wanted:
      completions === undefined
        ? succeeded > 0
          ? active.length
          : parallelism
        : Math.min(parallelism, completions - succeeded),
    isComplete: completions === undefined ? succeeded > 0 && active.length === 0 : succeeded >= completions,
    isSuspended,
    isPastBackoffLimit: failed > limit || hasRestartedTooOften(job, active, limit),
    backoffMs: backoffInMs(failedPods, nowMs),
    deadlineInMs: deadlineInMs(job, nowMs),
  };
}

/** The indexes that neither have succeeded nor run, lowest first. */
export function missingIndexes(job: KubernetesObject, { active, succeededIndexes }: Progress): readonly number[] {
  const taken = new Set([
    ...succeededIndexes,
    ...active.map((pod) => Number(pod.metadata.annotations?.[indexAnnotation] ?? -1)),
  ]);
  const completions = numberAt(job, "spec", "completions") ?? 0;
  return Array.from({ length: completions }, (_, index) => index).filter((index) => !taken.has(index));
}

/** With `restartPolicy: OnFailure` the kubelet tries again, and each try counts. */
function hasRestartedTooOften(job: KubernetesObject, active: readonly KubernetesObject[], limit: number): boolean {
  if (fieldAt(job, "spec", "template", "spec", "restartPolicy") !== "OnFailure") return false;
  const restarts = active.flatMap((pod) => [
    ...asArray(fieldAt(pod, "status", "containerStatuses")),
    ...asArray(fieldAt(pod, "status", "initContainerStatuses")),
  ]);
  const total = restarts.reduce<number>((sum, status) => sum + Number(asRecord(status)["restartCount"] ?? 0), 0);
  return limit === 0 ? total > 0 : total >= limit;
}

function backoffInMs(failedPods: readonly KubernetesObject[], nowMs: number): number {
  if (failedPods.length < 2) return 0;
  const lengthMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** (failedPods.length - 2));
  return Math.max(0, Math.max(...failedPods.map(endOf)) + lengthMs - nowMs);
}

function endOf(pod: KubernetesObject): number {
  const ends = asArray(fieldAt(pod, "status", "containerStatuses")).map((status) =>
    Date.parse(String(fieldAt(status, "state", "terminated", "finishedAt") ?? "")),
  );
  return Math.max(0, ...ends.filter((end) => !Number.isNaN(end)));
}

function deadlineInMs(job: KubernetesObject, nowMs: number): number | undefined {
  const seconds = numberAt(job, "spec", "activeDeadlineSeconds");
  const startMs = Date.parse(String(fieldAt(job, "status", "startTime") ?? ""));
  if (seconds === undefined) return undefined;
  return Number.isNaN(startMs) ? seconds * 1000 : Math.max(0, startMs + seconds * 1000 - nowMs);
}

function numberAt(object: unknown, ...path: readonly string[]): number | undefined {
  const value = fieldAt(object, ...path);
  return typeof value === "number" ? value : undefined;
}
