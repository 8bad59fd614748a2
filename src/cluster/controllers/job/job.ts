// Runs Jobs: pods until enough of them have succeeded, again after a failure as often as the back-off limit allows.
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { systemUser } from "../../admission/attributes.ts";
import { fieldAt } from "../../store/json.ts";
import { jobs } from "../../store/resources.ts";
import { splitKey } from "../controller.ts";
import type { RecordEvent } from "../event-recorder.ts";
import type { ControllerContext } from "../options.ts";
import { createOwnedPod, ownedPods, removeOwnedPod, runPodOwner } from "../owned-pods.ts";
import { isTerminating } from "../pod-state.ts";
import { podFromTemplate } from "../pod-template.ts";
import { podsToRemove } from "../replica-set/removal-order.ts";
import { indexAnnotation, missingIndexes, type Progress, progressOf } from "./progress.ts";
import { finishedAtMs, type Outcome, writeJobStatus } from "./status.ts";

const user = systemUser("serviceaccount:kube-system:job-controller");

export function startJobController(context: ControllerContext): Running {
  return runPodOwner(context, { name: "job-controller", resource: jobs, kind: "Job", reconcile });
}

/** Returns after how many milliseconds to look again: back-off, deadline, or the end of its life after its end. */
async function reconcile(context: ControllerContext, key: string, record: RecordEvent): Promise<number | undefined> {
  const { store, clock } = context;
  const job = store.get(jobs, ...splitKey(key));
  if (job === undefined || isTerminating(job)) return undefined;
  const endedAtMs = finishedAtMs(job);
  if (endedAtMs !== undefined) return collect(context, job, endedAtMs);
  const progress = progressOf(job, ownedPods(store, job), clock.now());
  const outcome = outcomeOf(job, progress);
  if (outcome !== undefined || progress.isSuspended) {
    for (const pod of progress.active) removeOwnedPod(store, job, pod, record);
    writeJobStatus(context, key, outcome);
    if (outcome !== undefined) tell(job, outcome, record);
    // Its own change brings it back, for the time to live.
    return undefined;
  }
  const surplus = progress.active.length - progress.wanted;
  if (surplus > 0) for (const pod of podsToRemove(progress.active, surplus)) removeOwnedPod(store, job, pod, record);
  try {
    if (surplus < 0 && progress.backoffMs === 0) await createPods(context, job, progress, record);
  } finally {
    writeJobStatus(context, key, undefined);
  }
  const waits = [progress.deadlineInMs, surplus < 0 && progress.backoffMs > 0 ? progress.backoffMs : undefined];
  const soonest = Math.min(...waits.filter((wait) => wait !== undefined));
  return Number.isFinite(soonest) ? soonest : undefined;
}

function outcomeOf(job: KubernetesObject, progress: Progress): Outcome | undefined {
  if (progress.isComplete) {
    return { type: "Complete", reason: "CompletionsReached", message: "Reached expected number of succeeded pods" };
  }
  if (progress.isSuspended) return undefined;
  if (progress.isPastBackoffLimit) {
    const message = "Job has reached the specified backoff limit";
    return { type: "Failed", reason: "BackoffLimitExceeded", message };
  }
  if (progress.deadlineInMs === 0) {
    const message = `Job was active longer than specified deadline of ${Number(fieldAt(job, "spec", "activeDeadlineSeconds"))} s`;
    return { type: "Failed", reason: "DeadlineExceeded", message };
  }
  return undefined;
}

function tell(job: KubernetesObject, { type, reason, message }: Outcome, record: RecordEvent): void {
  if (type === "Complete") record(job, { type: "Normal", reason: "Completed", message: "Job completed" });
  else record(job, { type: "Warning", reason, message });
}

async function createPods(
  context: ControllerContext,
  job: KubernetesObject,
  progress: Progress,
  record: RecordEvent,
): Promise<void> {
  const count = progress.wanted - progress.active.length;
  const isIndexed = fieldAt(job, "spec", "completionMode") === "Indexed";
  const indexes = isIndexed ? missingIndexes(job, progress).slice(0, count) : [];
  for (let made = 0; made < (isIndexed ? indexes.length : count); made++) {
    await createOwnedPod(context, job, jobPod(job, indexes[made]), { user, record });
  }
}

function jobPod(job: KubernetesObject, index: number | undefined): KubernetesObject {
  const { name, uid = "" } = job.metadata;
  const labels = {
    "batch.kubernetes.io/job-name": name,
    "job-name": name,
    "batch.kubernetes.io/controller-uid": uid,
    "controller-uid": uid,
  };
  if (index === undefined) return podFromTemplate(job, { labels });
  const marks = { [indexAnnotation]: String(index) };
  const pod = podFromTemplate(job, {
    prefix: `${name}-${index}`,
    labels: { ...labels, ...marks },
    annotations: marks,
    spec: { hostname: `${name}-${index}` },
  });
  return withIndexVariable(pod, index);
}

/** Every container finds its index in JOB_COMPLETION_INDEX. */
function withIndexVariable(pod: KubernetesObject, index: number): KubernetesObject {
  const spec = pod["spec"] as { readonly [list: string]: readonly { readonly env?: readonly unknown[] }[] };
  const variable = { name: "JOB_COMPLETION_INDEX", value: String(index) };
  const changed = Object.fromEntries(
    ["initContainers", "containers"]
      .filter((list) => spec[list] !== undefined)
      .map((list) => [
        list,
        spec[list]?.map((container) => ({ ...container, env: [...(container.env ?? []), variable] })),
      ]),
  );
  return { ...pod, spec: { ...spec, ...changed } };
}

/** Removes a Job that has ended once its time is over; its pods go with it. */
function collect({ store, clock }: ControllerContext, job: KubernetesObject, endedAtMs: number): number | undefined {
  const seconds = fieldAt(job, "spec", "ttlSecondsAfterFinished");
  if (typeof seconds !== "number") return undefined;
  const leftMs = endedAtMs + seconds * 1000 - clock.now();
  if (leftMs > 0) return leftMs;
  store.delete(jobs, job.metadata.namespace ?? "", job.metadata.name, { uid: job.metadata.uid ?? "" });
  return undefined;
}
