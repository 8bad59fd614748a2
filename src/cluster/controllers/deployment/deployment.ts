// Rolls Deployments out: one ReplicaSet for each template, scaled step by step as `rollout.ts` says.

import { hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { systemUser } from "../../admission/attributes.ts";
import { builtInEntry } from "../../apiserver/registry.ts";
import { asRecord, fieldAt, jsonEqual } from "../../store/json.ts";
import { deployments, pods, replicaSets } from "../../store/resources.ts";
import type { ObjectStore } from "../../store/store.ts";
import { controllerOf, isControlledBy, keyOf, ownerKeys, runController, splitKey } from "../controller.ts";
import { eventRecorder, type RecordEvent } from "../event-recorder.ts";
import type { ControllerContext } from "../options.ts";
import { hasTemplateOf, newReplicaSet, revisionAnnotation, revisionOf } from "./revision.ts";
import {
  type ReplicaCounts,
  type RolloutLimits,
  type RolloutStep,
  recreateStep,
  rollingStep,
  rolloutLimits,
} from "./rollout.ts";
import { deadlineInMs, deploymentStatus } from "./status.ts";

const replicaSetEntry = builtInEntry(replicaSets);
const user = systemUser("serviceaccount:kube-system:deployment-controller");

export function startDeploymentController(context: ControllerContext): Running {
  const record = eventRecorder(context.store, context.clock, "deployment-controller");
  return runController(context, {
    name: "deployment-controller",
    triggers: [
      { resource: deployments, keys: (object) => [keyOf(object)] },
      { resource: replicaSets, keys: ownerKeys("Deployment") },
      // Recreate waits until the last old pod is gone.
      { resource: pods, keys: (pod) => recreatingOwner(context.store, pod) },
    ],
    reconcile: async (key, queue) => {
      const delayMs = await reconcile(context, key, record);
      if (delayMs !== undefined) queue.addAfter(key, delayMs);
    },
  });
}

/** Returns after how many milliseconds to look again, while a rollout has a deadline. */
async function reconcile(context: ControllerContext, key: string, record: RecordEvent): Promise<number | undefined> {
  const { store, clock } = context;
  const deployment = store.get(deployments, ...splitKey(key));
  if (deployment === undefined || deployment.metadata.deletionTimestamp !== undefined) return undefined;
  const limits = limitsOf(deployment);
  const isPaused = fieldAt(deployment, "spec", "paused") === true;
  const owned = ownedReplicaSets(store, deployment);
  const current = owned.find((replicaSet) => hasTemplateOf(replicaSet, deployment));
  let collisions = Number(fieldAt(deployment, "status", "collisionCount") ?? 0);
  if (isPaused) {
    const newest = current ?? owned.at(-1);
    if (newest !== undefined) scale(store, deployment, newest, limits.replicas, record);
  } else if (current === undefined) {
    collisions = await createReplicaSet(context, deployment, { owned, limits, collisions }, record);
  } else {
    markCurrent(store, deployment, current, owned);
    const old = owned.filter((replicaSet) => replicaSet !== current);
    const step = nextStep(store, deployment, limits, current, old);
    scale(store, deployment, current, step.current, record);
    for (const [index, replicaSet] of old.entries()) scale(store, deployment, replicaSet, step.old[index] ?? 0, record);
    removeHistory(store, deployment, old);
  }
  return writeStatus(store, deployment, limits, collisions, clock.now());
}

function limitsOf(deployment: KubernetesObject): RolloutLimits {
  const replicas = Number(fieldAt(deployment, "spec", "replicas") ?? 1);
  if (fieldAt(deployment, "spec", "strategy", "type") === "Recreate") return rolloutLimits(replicas, 0, "100%");
  const rolling = asRecord(fieldAt(deployment, "spec", "strategy", "rollingUpdate"));
  return rolloutLimits(replicas, rolling["maxSurge"] ?? "25%", rolling["maxUnavailable"] ?? "25%");
}

/** Oldest first. */
function ownedReplicaSets(store: ObjectStore, deployment: KubernetesObject): readonly KubernetesObject[] {
  const namespace = deployment.metadata.namespace ?? "";
  return store
    .list(replicaSets, { namespace })
    .items.filter(
      (replicaSet) => isControlledBy(replicaSet, deployment) && replicaSet.metadata.deletionTimestamp === undefined,
    )
    .toSorted((a, b) => revisionOf(a) - revisionOf(b));
}

function nextStep(
  store: ObjectStore,
  deployment: KubernetesObject,
  limits: RolloutLimits,
  current: KubernetesObject,
  old: readonly KubernetesObject[],
): RolloutStep {
  const oldCounts = old.map(countsOf);
  if (fieldAt(deployment, "spec", "strategy", "type") !== "Recreate") {
    return rollingStep(limits, countsOf(current), oldCounts);
  }
  const namespace = deployment.metadata.namespace ?? "";
  const left = store
    .list(pods, { namespace })
    .items.filter((pod) => old.some((replicaSet) => isControlledBy(pod, replicaSet)));
  return recreateStep(limits.replicas, countsOf(current), oldCounts, left.length);
}

function countsOf(replicaSet: KubernetesObject): ReplicaCounts {
  return {
    desired: Number(fieldAt(replicaSet, "spec", "replicas") ?? 0),
    available: Number(fieldAt(replicaSet, "status", "availableReplicas") ?? 0),
  };
}

interface CreateInput {
  readonly owned: readonly KubernetesObject[];
  readonly limits: RolloutLimits;
  readonly collisions: number;
}

/** Makes the ReplicaSet of the present template. Returns the number of collisions of names so far. */
async function createReplicaSet(
  { store, admission }: ControllerContext,
  deployment: KubernetesObject,
  { owned, limits, collisions }: CreateInput,
  record: RecordEvent,
): Promise<number> {
  const revision = Math.max(0, ...owned.map(revisionOf)) + 1;
  const isRecreate = fieldAt(deployment, "spec", "strategy", "type") === "Recreate";
  const none = { desired: 0, available: 0 };
  const replicas = isRecreate && owned.length > 0 ? 0 : rollingStep(limits, none, owned.map(countsOf)).current;
  const wanted = newReplicaSet(deployment, { revision, replicas, collisions });
  try {
    await admission.create(replicaSetEntry, wanted, { user });
    record(deployment, {
      type: "Normal",
      reason: "ScalingReplicaSet",
      message: `Scaled up replica set ${wanted.metadata.name} to ${replicas}`,
    });
    return collisions;
  } catch (error) {
    if (!hasCode(error, "ALREADY_EXISTS")) throw error;
    const taken = store.get(replicaSets, wanted.metadata.namespace ?? "", wanted.metadata.name);
    // Ours, made a moment ago: the next turn sees it. Somebody else's: another name.
    return taken !== undefined && isControlledBy(taken, deployment) && hasTemplateOf(taken, deployment)
      ? collisions
      : collisions + 1;
  }
}

/** The present ReplicaSet has the highest revision, and the Deployment carries it. */
function markCurrent(
  store: ObjectStore,
  deployment: KubernetesObject,
  current: KubernetesObject,
  owned: readonly KubernetesObject[],
): void {
  const highest = Math.max(0, ...owned.filter((other) => other !== current).map(revisionOf));
  const revision = revisionOf(current) > highest ? revisionOf(current) : highest + 1;
  const { namespace = "" } = deployment.metadata;
  const patch = { metadata: { annotations: { [revisionAnnotation]: String(revision) } } };
  if (revisionOf(current) !== revision) store.patch(replicaSets, namespace, current.metadata.name, patch);
  if (revisionOf(deployment) !== revision) store.patch(deployments, namespace, deployment.metadata.name, patch);
}

function scale(
  store: ObjectStore,
  deployment: KubernetesObject,
  replicaSet: KubernetesObject,
  replicas: number,
  record: RecordEvent,
): void {
  const before = Number(fieldAt(replicaSet, "spec", "replicas") ?? 0);
  if (before === replicas) return;
  const { name, namespace = "" } = replicaSet.metadata;
  store.patch(replicaSets, namespace, name, { spec: { replicas } });
  const direction = replicas > before ? "up" : "down";
  const message = `Scaled ${direction} replica set ${name} from ${before} to ${replicas}`;
  record(deployment, { type: "Normal", reason: "ScalingReplicaSet", message });
}

/** Keeps as many empty old ReplicaSets as `revisionHistoryLimit` says, to go back to. */
function removeHistory(store: ObjectStore, deployment: KubernetesObject, old: readonly KubernetesObject[]): void {
  const limit = Number(fieldAt(deployment, "spec", "revisionHistoryLimit") ?? 10);
  const empty = old.filter((replicaSet) => {
    const counts = [fieldAt(replicaSet, "spec", "replicas"), fieldAt(replicaSet, "status", "replicas")];
    return counts.every((count) => Number(count ?? 0) === 0);
  });
  for (const replicaSet of empty.slice(0, Math.max(0, empty.length - limit))) {
    store.delete(replicaSets, replicaSet.metadata.namespace ?? "", replicaSet.metadata.name);
  }
}

function writeStatus(
  store: ObjectStore,
  { metadata }: KubernetesObject,
  limits: RolloutLimits,
  collisions: number,
  nowMs: number,
): number | undefined {
  const deployment = store.get(deployments, metadata.namespace ?? "", metadata.name);
  if (deployment === undefined) return undefined;
  const all = ownedReplicaSets(store, deployment);
  const current = all.find((replicaSet) => hasTemplateOf(replicaSet, deployment));
  const status = deploymentStatus(deployment, { limits, current, all, collisions, nowMs });
  if (!jsonEqual(status, deployment["status"])) store.updateStatus(deployments, { ...deployment, status });
  return deadlineInMs(deployment, status, nowMs);
}

function recreatingOwner(store: ObjectStore, pod: KubernetesObject): readonly string[] {
  const namespace = pod.metadata.namespace ?? "";
  const owner = controllerOf(pod);
  const replicaSet = owner?.kind === "ReplicaSet" ? store.get(replicaSets, namespace, owner.name) : undefined;
  const deploymentName = replicaSet === undefined ? undefined : controllerOf(replicaSet)?.name;
  const deployment = deploymentName === undefined ? undefined : store.get(deployments, namespace, deploymentName);
  if (deployment === undefined || fieldAt(deployment, "spec", "strategy", "type") !== "Recreate") return [];
  return [keyOf(deployment)];
}
