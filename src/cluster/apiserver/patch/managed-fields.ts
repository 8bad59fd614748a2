// Who owns which field (Kubernetes' `managedFields`, fieldsV1). Recorded for those who apply; other writers own nothing
// here. A set of fields is a tree: `f:name` for a field, `k:{"name":"x"}` for an item of a keyed list.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, isRecord, type JsonRecord } from "../../store/json.ts";
import { listKey } from "./list-keys.ts";

/** Fields by their key; a leaf is an empty tree. */
export type FieldSet = { readonly [key: string]: FieldSet };

export interface Manager {
  readonly name: string;
  readonly fields: FieldSet;
}

/** The fields that a configuration sets. What identifies the object belongs to nobody. */
export function fieldSetOf(kind: string, configuration: JsonRecord): FieldSet {
  const { apiVersion: _, kind: __, metadata, status: ___, ...rest } = configuration;
  const { name: ____, namespace: _____, ...ownMetadata } = asRecord(metadata);
  const content = Object.keys(ownMetadata).length === 0 ? rest : { ...rest, metadata: ownMetadata };
  return recordFields(kind, [], content);
}

export function managersOf(object: KubernetesObject): readonly Manager[] {
  return asArray(fieldAt(object, "metadata", "managedFields"))
    .map(asRecord)
    .filter((entry) => entry["operation"] === "Apply" && entry["subresource"] === undefined)
    .map((entry) => ({ name: String(entry["manager"]), fields: readFields(entry["fieldsV1"]) }));
}

/** The object with the manager's entry replaced. */
export function withManager(object: KubernetesObject, manager: Manager, time: string): KubernetesObject {
  const others = asArray(fieldAt(object, "metadata", "managedFields")).filter(
    (entry) => asRecord(entry)["manager"] !== manager.name || asRecord(entry)["operation"] !== "Apply",
  );
  const before = managersOf(object).find((other) => other.name === manager.name);
  const hasSameFields = before !== undefined && JSON.stringify(before.fields) === JSON.stringify(manager.fields);
  if (hasSameFields) return object;
  const entry = {
    manager: manager.name,
    operation: "Apply",
    apiVersion: object.apiVersion,
    time,
    fieldsType: "FieldsV1",
    fieldsV1: manager.fields,
  };
  const metadata: Record<string, unknown> = { ...object.metadata, managedFields: [...others, entry] };
  return { ...object, metadata: { ...metadata, name: object.metadata.name } };
}

/** An update by someone who sent no managed fields keeps those that are stored. */
export function keepManagers(object: KubernetesObject, stored: KubernetesObject): KubernetesObject {
  const managedFields = fieldAt(stored, "metadata", "managedFields");
  if (managedFields === undefined) return object;
  const metadata: Record<string, unknown> = { ...object.metadata, managedFields };
  return { ...object, metadata: { ...metadata, name: object.metadata.name } };
}

/** The key of a list's item, as fieldsV1 writes it. Ports are told apart by their protocol as well. */
export function itemKey(mergeKey: string, item: unknown): string {
  const record = asRecord(item);
  const isPort = mergeKey === "port" || mergeKey === "containerPort";
  const protocol = isPort ? { protocol: record["protocol"] ?? "TCP" } : {};
  return `k:${JSON.stringify({ [mergeKey]: record[mergeKey], ...protocol })}`;
}

function recordFields(kind: string, path: readonly string[], record: JsonRecord): FieldSet {
  const fields: Record<string, FieldSet> = {};
  for (const [key, value] of Object.entries(record)) {
    if (value !== null) fields[`f:${key}`] = valueFields(kind, [...path, key], value);
  }
  return fields;
}

function valueFields(kind: string, path: readonly string[], value: unknown): FieldSet {
  if (isRecord(value)) return recordFields(kind, path, value);
  const mergeKey = Array.isArray(value) ? listKey(kind, path) : undefined;
  if (mergeKey === undefined) return {};
  const items = asArray(value).map((item) => [itemKey(mergeKey, item), recordFields(kind, path, asRecord(item))]);
  return Object.fromEntries(items);
}

function readFields(value: unknown): FieldSet {
  return Object.fromEntries(Object.entries(asRecord(value)).map(([key, field]) => [key, readFields(field)]));
}
