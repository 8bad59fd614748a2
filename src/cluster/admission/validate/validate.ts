// Validation of each kind, by resource: enough that the cluster's own parts can rely on the shapes. The mesh's kinds
// are validated by the control plane's webhook.

import type { CatalogEntry } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asRecord, isRecord, type JsonRecord, jsonEqual } from "../../store/json.ts";
import { clusterKeys, formatResource } from "../../store/resources.ts";
import { validateSigningRequest, validateTrustBundle } from "./certificates.ts";
import { validateJob } from "./job.ts";
import { isDnsLabel, validateMetadata } from "./names.ts";
import { validatePod } from "./pod.ts";
import { Problems } from "./problems.ts";
import { validateService } from "./service.ts";
import { validateWebhooks } from "./webhook.ts";
import { validateDaemonSet, validateStatefulSet, validateWorkload } from "./workload.ts";

type Validator = (object: JsonRecord, stored: JsonRecord | undefined, problems: Problems) => void;

const validators: Readonly<Record<string, Validator>> = {
  pods: validatePod,
  services: validateService,
  configmaps: validateData,
  secrets: validateData,
  "deployments.apps": validateWorkload,
  "replicasets.apps": validateWorkload,
  "statefulsets.apps": validateStatefulSet,
  "daemonsets.apps": validateDaemonSet,
  "jobs.batch": validateJob,
  "mutatingwebhookconfigurations.admissionregistration.k8s.io": validateWebhooks,
  "validatingwebhookconfigurations.admissionregistration.k8s.io": validateWebhooks,
  "certificatesigningrequests.certificates.k8s.io": validateSigningRequest,
  "clustertrustbundles.certificates.k8s.io": validateTrustBundle,
  "customresourcedefinitions.apiextensions.k8s.io": validateDefinition,
  "rolebindings.rbac.authorization.k8s.io": validateBinding,
  "clusterrolebindings.rbac.authorization.k8s.io": validateBinding,
};

/** Throws INVALID, naming every field that is wrong. */
export function validateObject(
  entry: CatalogEntry,
  object: KubernetesObject,
  stored: KubernetesObject | undefined,
): void {
  const problems = new Problems();
  const resource = formatResource(entry);
  validateMetadata(resource, asRecord(object.metadata), problems);
  validators[resource]?.(object, stored, problems);
  const kind = entry.group === "" ? entry.kind : `${entry.kind}.${entry.group}`;
  problems.throwIfAny(kind, object.metadata.name || object.metadata.generateName || "");
}

function validateData(object: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  for (const field of ["data", "binaryData"]) {
    const data = object[field];
    if (data === undefined || data === null) continue;
    if (!isRecord(data)) {
      problems.invalid(field, data, "must be a map of strings");
      continue;
    }
    for (const [key, value] of Object.entries(data)) {
      if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key)) problems.invalid(field, key, "a key has letters, digits, -, _ and .");
      if (typeof value !== "string") problems.invalid(`${field}.${key}`, value, "must be a string");
    }
  }
  const changes = ["data", "binaryData", "type"].some((field) => !jsonEqual(object[field], stored?.[field]));
  if (stored?.["immutable"] === true && changes)
    problems.forbidden("data", "field is immutable when `immutable` is set");
}

function validateDefinition(object: JsonRecord, _stored: JsonRecord | undefined, problems: Problems): void {
  const { group, names, versions, scope } = asRecord(object["spec"]);
  const { plural, kind } = asRecord(names);
  const name = asRecord(object["metadata"])["name"];
  if (typeof group !== "string" || !group.includes(".")) problems.invalid("spec.group", group, "must be a DNS name");
  if (group === clusterKeys.group) problems.forbidden("spec.group", "the group is the cluster's own");
  if (name !== `${String(plural)}.${String(group)}`)
    problems.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group');
  if (typeof kind !== "string" || kind === "") problems.required("spec.names.kind");
  if (scope !== "Namespaced" && scope !== "Cluster")
    problems.invalid("spec.scope", scope, "must be Namespaced or Cluster");
  const areNamed =
    Array.isArray(versions) &&
    versions.length > 0 &&
    versions.every((version) => isDnsLabel(asRecord(version)["name"]));
  if (!areNamed) problems.required("spec.versions");
}

function validateBinding(object: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  const { kind, name } = asRecord(object["roleRef"]);
  if (typeof name !== "string" || name === "") problems.required("roleRef.name");
  if (kind !== "ClusterRole" && kind !== "Role") problems.invalid("roleRef.kind", kind, "must be Role or ClusterRole");
  if (stored !== undefined && !jsonEqual(object["roleRef"], stored["roleRef"])) {
    problems.invalid("roleRef", object["roleRef"], "cannot change roleRef");
  }
}
