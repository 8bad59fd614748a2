// Keeps the pods of StatefulSets: names with numbers that stay, made in order and removed in reverse, each when the one
// before it is available; a new template from the highest number down. Old templates are not kept: a pod below the
// partition of a rolling update that has to be made anew gets the present one.
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { systemUser } from "../../admission/attributes.ts";
import { asArray, asRecord, fieldAt, jsonEqual } from "../../store/json.ts";
import { statefulSets } from "../../store/resources.ts";
import type { ObjectStore } from "../../store/store.ts";
import { splitKey } from "../controller.ts";
import { templateHash } from "../deployment/revision.ts";
import type { RecordEvent } from "../event-recorder.ts";
import type { ControllerContext } from "../options.ts";
import { createOwnedPod, ownedPods, removeOwnedPod, runPodOwner } from "../owned-pods.ts";
import { availableInMs, hasEnded, isReady, isTerminating } from "../pod-state.ts";
import { podFromTemplate } from "../pod-template.ts";

const user = systemUser("serviceaccount:kube-system:statefulset-controller");
const revisionLabel = "controller-revision-hash";

export function startStatefulSetController(context: ControllerContext): Running {
  return runPodOwner(context, {
    name: "statefulset-controller",
    resource: statefulSets,
    kind: "StatefulSet",
    reconcile,
  });
}

/** Returns after how many milliseconds to look again, when a ready pod is not yet available. */
async function reconcile(context: ControllerContext, key: string, record: RecordEvent): Promise<number | undefined> {
  const { store, clock } = context;
  const set = store.get(statefulSets, ...splitKey(key));
  if (set === undefined || isTerminating(set)) return undefined;
  const minReadySeconds = Number(fieldAt(set, "spec", "minReadySeconds") ?? 0);
  const waitOf = (pod: KubernetesObject): number | undefined => availableInMs(pod, minReadySeconds, clock.now());
  const isAvailable = (pod: KubernetesObject): boolean => !isTerminating(pod) && waitOf(pod) === 0;
  try {
    await step(context, set, isAvailable, record);
  } finally {
    writeStatus(store, key, isAvailable);
  }
  const waits = ownedPods(store, set).flatMap((pod) => waitOf(pod) ?? []);
  const soonest = Math.min(...waits.filter((wait) => wait > 0));
  return Number.isFinite(soonest) ? soonest : undefined;
}

/** Does what may be done now: in order one thing, in parallel everything that is missing or too much. */
async function step(
  context: ControllerContext,
  set: KubernetesObject,
  isAvailable: (pod: KubernetesObject) => boolean,
  record: RecordEvent,
): Promise<void> {
  const { store } = context;
  const isOrdered = fieldAt(set, "spec", "podManagementPolicy") !== "Parallel";
  const first = Number(fieldAt(set, "spec", "ordinals", "start") ?? 0);
  const end = first + Number(fieldAt(set, "spec", "replicas") ?? 1);
  const byOrdinal = new Map(ownedPods(store, set).map((pod) => [ordinalOf(pod), pod]));
  for (let ordinal = first; ordinal < end; ordinal++) {
    const pod = byOrdinal.get(ordinal);
    if (pod !== undefined && hasEnded(pod) && !isTerminating(pod)) removeOwnedPod(store, set, pod, record);
    else if (pod === undefined) await createOwnedPod(context, set, numberedPod(set, ordinal), { user, record });
    else if (isAvailable(pod)) continue;
    // Its name is free again when it is gone.
    if (isOrdered) return;
  }
  const surplus = [...byOrdinal.keys()].filter((ordinal) => ordinal < first || ordinal >= end).sort((a, b) => b - a);
  for (const ordinal of surplus) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) continue;
    if (!isTerminating(pod)) removeOwnedPod(store, set, pod, record);
    if (isOrdered) return;
  }
  if (surplus.length === 0) replaceOutdated(context, set, [...byOrdinal.values()], isAvailable, record);
}

function replaceOutdated(
  { store }: ControllerContext,
  set: KubernetesObject,
  all: readonly KubernetesObject[],
  isAvailable: (pod: KubernetesObject) => boolean,
  record: RecordEvent,
): void {
  if (fieldAt(set, "spec", "updateStrategy", "type") === "OnDelete") return;
  const partition = Number(fieldAt(set, "spec", "updateStrategy", "rollingUpdate", "partition") ?? 0);
  const revision = revisionOf(set);
  const highestFirst = all.filter((pod) => ordinalOf(pod) >= partition).sort((a, b) => ordinalOf(b) - ordinalOf(a));
  for (const pod of highestFirst) {
    if (pod.metadata.labels?.[revisionLabel] !== revision && !isTerminating(pod)) {
      removeOwnedPod(store, set, pod, record);
      return;
    }
    if (!isAvailable(pod)) return;
  }
}

/** The pod with that number: its name is its host name below the governing Service. */
function numberedPod(set: KubernetesObject, ordinal: number): KubernetesObject {
  const name = `${set.metadata.name}-${ordinal}`;
  const spec = asRecord(fieldAt(set, "spec", "template", "spec"));
  const claims = asArray(fieldAt(set, "spec", "volumeClaimTemplates")).map((claim) =>
    String(fieldAt(claim, "metadata", "name") ?? ""),
  );
  const others = asArray(spec["volumes"]).filter((volume) => !claims.includes(String(asRecord(volume)["name"])));
  const volumes = [...others, ...claims.map((claim) => ({ name: claim, emptyDir: {} }))];
  return podFromTemplate(set, {
    name,
    labels: {
      "statefulset.kubernetes.io/pod-name": name,
      "apps.kubernetes.io/pod-index": String(ordinal),
      [revisionLabel]: revisionOf(set),
    },
    spec: {
      hostname: name,
      subdomain: String(fieldAt(set, "spec", "serviceName") ?? ""),
      ...(volumes.length > 0 && { volumes }),
    },
  });
}

function ordinalOf(pod: KubernetesObject): number {
  return Number(/-(\d+)$/.exec(pod.metadata.name)?.[1] ?? -1);
}

function revisionOf(set: KubernetesObject): string {
  return `${set.metadata.name}-${templateHash(asRecord(fieldAt(set, "spec", "template")))}`;
}

function writeStatus(store: ObjectStore, key: string, isAvailable: (pod: KubernetesObject) => boolean): void {
  const set = store.get(statefulSets, ...splitKey(key));
  if (set === undefined) return;
  const all = ownedPods(store, set).filter((pod) => !hasEnded(pod));
  const living = all.filter((pod) => !isTerminating(pod));
  const updateRevision = revisionOf(set);
  const before = asRecord(set["status"]);
  const updated = living.filter((pod) => pod.metadata.labels?.[revisionLabel] === updateRevision);
  const isComplete = updated.length === all.length && living.length === Number(fieldAt(set, "spec", "replicas") ?? 1);
  const known = String(before["currentRevision"] ?? updateRevision);
  const currentRevision = isComplete && updated.every(isAvailable) ? updateRevision : known;
  const status = {
    observedGeneration: set.metadata.generation,
    replicas: all.length,
    readyReplicas: living.filter(isReady).length,
    availableReplicas: living.filter(isAvailable).length,
    currentReplicas: living.filter((pod) => pod.metadata.labels?.[revisionLabel] === currentRevision).length,
    updatedReplicas: updated.length,
    currentRevision,
    updateRevision,
  };
  if (!jsonEqual(before, status)) store.updateStatus(statefulSets, { ...set, status });
}
