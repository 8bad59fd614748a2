// The ReplicaSets of a Deployment: which one is the present template's, how they are named and numbered.

import { createHash } from "node:crypto";
import type { KubernetesObject, ObjectMeta } from "#mesh/objects/kubernetes-object.ts";
import { asRecord, fieldAt, type JsonRecord, jsonEqual } from "../../store/json.ts";
import { safeEncode } from "../../store/object-name.ts";
import { controllerReference } from "../controller.ts";

const hashLabel = "pod-template-hash";
export const revisionAnnotation = "deployment.kubernetes.io/revision";

export function revisionOf(object: KubernetesObject): number {
  return Number(object.metadata.annotations?.[revisionAnnotation] ?? 0) || 0;
}

/** Whether the ReplicaSet is the one of the Deployment's present template. */
export function hasTemplateOf(replicaSet: KubernetesObject, deployment: KubernetesObject): boolean {
  return jsonEqual(
    withoutHash(fieldAt(replicaSet, "spec", "template")),
    withoutHash(fieldAt(deployment, "spec", "template")),
  );
}

export function newReplicaSet(
  deployment: KubernetesObject,
  options: { readonly revision: number; readonly replicas: number; readonly collisions: number },
): KubernetesObject {
  const spec = asRecord(deployment["spec"]);
  const template = asRecord(spec["template"]);
  const templateMetadata = asRecord(template["metadata"]);
  const hash = templateHash(template, options.collisions);
  const labels = { ...asRecord(templateMetadata["labels"]), [hashLabel]: hash };
  const selector = asRecord(spec["selector"]);
  const annotations: Record<string, string> = { ...deployment.metadata.annotations };
  delete annotations["kubectl.kubernetes.io/last-applied-configuration"];
  const metadata: ObjectMeta = {
    name: `${deployment.metadata.name.slice(0, 242)}-${hash}`,
    ...(deployment.metadata.namespace === undefined ? {} : { namespace: deployment.metadata.namespace }),
    labels,
    annotations: { ...annotations, [revisionAnnotation]: String(options.revision) },
    ownerReferences: [controllerReference(deployment)],
  };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata,
    spec: {
      replicas: options.replicas,
      ...(spec["minReadySeconds"] === undefined ? {} : { minReadySeconds: spec["minReadySeconds"] }),
      selector: { ...selector, matchLabels: { ...asRecord(selector["matchLabels"]), [hashLabel]: hash } },
      template: { ...template, metadata: { ...templateMetadata, labels } },
    },
  };
}

/** Ten characters in Kubernetes' alphabet, the same for the same template whatever the order of its fields. */
export function templateHash(template: JsonRecord, collisions = 0): string {
  const text = `${JSON.stringify(sorted(template))}${collisions === 0 ? "" : collisions}`;
  return safeEncode(createHash("sha256").update(text).digest("latin1").slice(0, 10));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([key, field]) => [key, sorted(field)]);
}

function withoutHash(template: unknown): unknown {
  const record = asRecord(template);
  const metadata = asRecord(record["metadata"]);
  const { [hashLabel]: _, ...labels } = asRecord(metadata["labels"]);
  return { ...record, metadata: { ...metadata, labels } };
}
