// Kubernetes' rules for names, labels and annotations.

import { asRecord, isRecord, type JsonRecord } from "../../store/json.ts";
import type { Problems } from "./problems.ts";

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const qualifiedName = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const maxAnnotationBytes = 262_144;

/** How the names of a resource look; most are DNS subdomains. */
const nameRules: Readonly<Record<string, "label" | "path">> = {
  namespaces: "label",
  services: "label",
  // Their own rule looks closer: it depends on the signer.
  "clustertrustbundles.certificates.k8s.io": "path",
  "roles.rbac.authorization.k8s.io": "path",
  "rolebindings.rbac.authorization.k8s.io": "path",
  "clusterroles.rbac.authorization.k8s.io": "path",
  "clusterrolebindings.rbac.authorization.k8s.io": "path",
};

export function isDnsName(text: unknown): text is string {
  return typeof text === "string" && text.length <= 253 && subdomain.test(text);
}

export function isDnsLabel(text: unknown): text is string {
  return typeof text === "string" && text.length <= 63 && label.test(text);
}

export function validateMetadata(resource: string, metadata: JsonRecord, problems: Problems): void {
  const { name, generateName } = metadata;
  if (name) validateName(resource, name, "metadata.name", problems);
  else if (generateName) validateName(resource, `${String(generateName)}x`, "metadata.generateName", problems);
  else problems.required("metadata.name");
  validateLabels(metadata["labels"], "metadata.labels", problems);
  validateAnnotations(metadata["annotations"], problems);
  const owners = metadata["ownerReferences"];
  if (owners !== undefined && !Array.isArray(owners))
    problems.invalid("metadata.ownerReferences", owners, "must be a list");
  const finalizers = metadata["finalizers"];
  const areTexts = Array.isArray(finalizers) && finalizers.every((finalizer) => typeof finalizer === "string");
  if (finalizers !== undefined && !areTexts)
    problems.invalid("metadata.finalizers", finalizers, "must be a list of strings");
}

export function validateLabels(labels: unknown, path: string, problems: Problems): void {
  if (labels === undefined || labels === null) return;
  if (!isRecord(labels)) return problems.invalid(path, labels, "must be a map of strings");
  for (const [key, value] of Object.entries(labels)) {
    if (!isQualifiedName(key)) problems.invalid(path, key, "is not a label's name");
    const isValue = typeof value === "string" && value.length <= 63 && (value === "" || qualifiedName.test(value));
    if (!isValue)
      problems.invalid(`${path}.${key}`, value, "a label's value has at most 63 letters, digits, -, _ and .");
  }
}

function validateName(resource: string, name: unknown, path: string, problems: Problems): void {
  const rule = nameRules[resource];
  const isText = typeof name === "string" && name.length <= 253;
  if (rule === "path") {
    const isSegment = isText && name !== "." && name !== ".." && !/[/%]/.test(name);
    if (!isSegment) problems.invalid(path, name, "may not be '.' or '..' nor contain '/' or '%'");
  } else if (rule === "label") {
    if (!isDnsLabel(name))
      problems.invalid(path, name, "must be a DNS label: lower case letters, digits and -, at most 63");
  } else if (!isText || !subdomain.test(name)) {
    problems.invalid(path, name, "must be a DNS name: lower case letters, digits, - and .");
  }
}

function validateAnnotations(annotations: unknown, problems: Problems): void {
  if (annotations === undefined || annotations === null) return;
  if (!isRecord(annotations)) return problems.invalid("metadata.annotations", annotations, "must be a map of strings");
  let bytes = 0;
  for (const [key, value] of Object.entries(asRecord(annotations))) {
    if (!isQualifiedName(key)) problems.invalid("metadata.annotations", key, "is not an annotation's name");
    if (typeof value !== "string") problems.invalid(`metadata.annotations.${key}`, value, "must be a string");
    else bytes += key.length + value.length;
  }
  if (bytes > maxAnnotationBytes)
    problems.invalid("metadata.annotations", bytes, `at most ${maxAnnotationBytes} bytes`);
}

function isQualifiedName(key: string): boolean {
  const slash = key.indexOf("/");
  const prefix = slash === -1 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  const isPrefix = prefix === undefined || (prefix.length <= 253 && subdomain.test(prefix.toLowerCase()));
  return isPrefix && name.length <= 63 && qualifiedName.test(name);
}
