// The status of a Job.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, jsonEqual } from "../../store/json.ts";
import { jobs } from "../../store/resources.ts";
import { timestamp, withCondition, withoutCondition } from "../conditions.ts";
import { splitKey } from "../controller.ts";
import type { ControllerContext } from "../options.ts";
import { ownedPods } from "../owned-pods.ts";
import { isReady } from "../pod-state.ts";
import { progressOf } from "./progress.ts";

export interface Outcome {
  readonly type: "Complete" | "Failed";
  readonly reason: string;
  readonly message: string;
}

/** When the Job ended; undefined while it has not. */
export function finishedAtMs(job: KubernetesObject): number | undefined {
  const end = asArray(fieldAt(job, "status", "conditions"))
    .map(asRecord)
    .find(({ type, status }) => (type === "Complete" || type === "Failed") && status === "True");
  return end === undefined ? undefined : Date.parse(String(end["lastTransitionTime"]));
}

export function writeJobStatus(context: ControllerContext, key: string, outcome: Outcome | undefined): void {
  const { store, clock } = context;
  const job = store.get(jobs, ...splitKey(key));
  if (job === undefined) return;
  const nowMs = clock.now();
  const before = asRecord(job["status"]);
  const progress = progressOf(job, ownedPods(store, job), nowMs);
  const isIndexed = fieldAt(job, "spec", "completionMode") === "Indexed";
  const startTime = progress.isSuspended ? undefined : (before["startTime"] ?? timestamp(nowMs));
  const status = {
    ...(progress.active.length > 0 && { active: progress.active.length }),
    ready: progress.active.filter(isReady).length,
    ...(progress.succeeded > 0 && { succeeded: progress.succeeded }),
    ...(progress.failed > 0 && { failed: progress.failed }),
    ...(isIndexed && { completedIndexes: ranges(progress.succeededIndexes) }),
    ...(startTime !== undefined && { startTime }),
    ...(outcome?.type === "Complete" && { completionTime: timestamp(nowMs) }),
    conditions: conditionsOf(asArray(before["conditions"]), outcome, progress.isSuspended, nowMs),
  };
  if (!jsonEqual(before, status)) store.updateStatus(jobs, { ...job, status });
}

function conditionsOf(
  before: readonly unknown[],
  outcome: Outcome | undefined,
  isSuspended: boolean,
  nowMs: number,
): readonly unknown[] {
  if (outcome !== undefined) {
    const { type, reason, message } = outcome;
    const first = type === "Complete" ? "SuccessCriteriaMet" : "FailureTarget";
    const decided = withCondition(before, { type: first, status: "True", reason, message }, nowMs);
    return withCondition(decided, { type, status: "True", reason, message }, nowMs);
  }
  if (!isSuspended) return withoutCondition(before, "Suspended");
  return withCondition(
    before,
    { type: "Suspended", status: "True", reason: "JobSuspended", message: "Job suspended" },
    nowMs,
  );
}

/** As `0-2,4`. */
function ranges(indexes: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const index of indexes) {
    const last = parts.at(-1);
    if (last !== undefined && last[1] === index - 1) last[1] = index;
    else parts.push([index, index]);
  }
  return parts.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(",");
}
