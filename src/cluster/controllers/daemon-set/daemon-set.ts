// Keeps one pod of each DaemonSet on the one node there is. A new template replaces the pod: the old one goes first.
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { systemUser } from "../../admission/attributes.ts";
import { asRecord, fieldAt, jsonEqual } from "../../store/json.ts";
import { daemonSets } from "../../store/resources.ts";
import { splitKey } from "../controller.ts";
import { templateHash } from "../deployment/revision.ts";
import type { RecordEvent } from "../event-recorder.ts";
import type { ControllerContext } from "../options.ts";
import { createOwnedPod, ownedPods, removeOwnedPod, runPodOwner } from "../owned-pods.ts";
import { availableInMs, hasEnded, isReady, isTerminating } from "../pod-state.ts";
import { podFromTemplate } from "../pod-template.ts";

const user = systemUser("serviceaccount:kube-system:daemon-set-controller");
const revisionLabel = "controller-revision-hash";

export function startDaemonSetController(context: ControllerContext): Running {
  return runPodOwner(context, { name: "daemonset-controller", resource: daemonSets, kind: "DaemonSet", reconcile });
}

/** Returns after how many milliseconds to look again, when the ready pod is not yet available. */
async function reconcile(context: ControllerContext, key: string, record: RecordEvent): Promise<number | undefined> {
  const { store } = context;
  const set = store.get(daemonSets, ...splitKey(key));
  if (set === undefined || isTerminating(set)) return undefined;
  const revision = templateHash(asRecord(fieldAt(set, "spec", "template")));
  const isOnDelete = fieldAt(set, "spec", "updateStrategy", "type") === "OnDelete";
  try {
    const all = ownedPods(store, set);
    const [kept, ...more] = all.filter((pod) => !isTerminating(pod) && !hasEnded(pod));
    const isOutdated = kept !== undefined && kept.metadata.labels?.[revisionLabel] !== revision && !isOnDelete;
    const ended = all.filter((pod) => hasEnded(pod) && !isTerminating(pod));
    for (const pod of [...ended, ...more, ...(isOutdated ? [kept] : [])]) removeOwnedPod(store, set, pod, record);
    if (all.length === 0) {
      await createOwnedPod(context, set, podFromTemplate(set, { labels: { [revisionLabel]: revision } }), {
        user,
        record,
      });
    }
  } finally {
    writeStatus(context, key, revision);
  }
  const minReadySeconds = Number(fieldAt(set, "spec", "minReadySeconds") ?? 0);
  const waits = ownedPods(store, set).flatMap((pod) => availableInMs(pod, minReadySeconds, context.clock.now()) ?? []);
  return waits.find((wait) => wait > 0);
}

function writeStatus({ store, clock }: ControllerContext, key: string, revision: string): void {
  const set = store.get(daemonSets, ...splitKey(key));
  if (set === undefined) return;
  const living = ownedPods(store, set).filter((pod) => !isTerminating(pod) && !hasEnded(pod));
  const minReadySeconds = Number(fieldAt(set, "spec", "minReadySeconds") ?? 0);
  const isAvailable = (pod: KubernetesObject): boolean => availableInMs(pod, minReadySeconds, clock.now()) === 0;
  const available = living.filter(isAvailable).length;
  const status = {
    observedGeneration: set.metadata.generation,
    desiredNumberScheduled: 1,
    currentNumberScheduled: Math.min(1, living.length),
    numberMisscheduled: 0,
    numberReady: living.filter(isReady).length,
    numberAvailable: available,
    numberUnavailable: Math.max(0, 1 - available),
    updatedNumberScheduled: living.filter((pod) => pod.metadata.labels?.[revisionLabel] === revision).length,
  };
  if (!jsonEqual(set["status"], status)) store.updateStatus(daemonSets, { ...set, status });
}
