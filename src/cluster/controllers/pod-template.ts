// A pod from the template of its owner.
import type { KubernetesObject, ObjectMeta } from "#mesh/objects/kubernetes-object.ts";
import { asRecord, fieldAt, type JsonRecord } from "../store/json.ts";
import { controllerReference } from "./controller.ts";

export interface PodIdentity {
  /** One of the two; without a name one is made of the prefix. */
  readonly name?: string;
  readonly prefix?: string;
  /** Besides the template's. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: JsonRecord;
}

export function podFromTemplate(owner: KubernetesObject, identity: PodIdentity): KubernetesObject {
  const template = asRecord(fieldAt(owner, "spec", "template"));
  const { labels, annotations, finalizers } = asRecord(template["metadata"]);
  const { namespace } = owner.metadata;
  const own: Record<string, unknown> = {
    labels: identity.labels === undefined ? labels : { ...asRecord(labels), ...identity.labels },
    annotations:
      identity.annotations === undefined ? annotations : { ...asRecord(annotations), ...identity.annotations },
    finalizers,
  };
  const metadata: ObjectMeta = {
    ...own,
    name: identity.name ?? "",
    ...(identity.name === undefined && { generateName: `${identity.prefix ?? owner.metadata.name}-` }),
    ...(namespace !== undefined && { namespace }),
    ownerReferences: [controllerReference(owner)],
  };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { ...asRecord(template["spec"]), ...identity.spec } };
}
