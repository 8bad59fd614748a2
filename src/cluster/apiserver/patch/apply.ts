// Server-side apply: what the manager sets is merged in; what it set before and sets no more goes, unless another
// manager sets it too. Without `force`, changing what another manager set is a conflict.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../../store/errors.ts";
import { asArray, asRecord, define, isRecord, type JsonRecord, jsonEqual } from "../../store/json.ts";
import { listKey } from "./list-keys.ts";
import { type FieldSet, fieldSetOf, itemKey, managersOf, withManager } from "./managed-fields.ts";

export interface ApplyOptions {
  readonly manager: string;
  readonly force: boolean;
  /** RFC 3339. */
  readonly time: string;
}

/** The object as it is after the configuration was applied to the stored one, or made from nothing. */
export function applyConfiguration(
  stored: KubernetesObject | undefined,
  configuration: KubernetesObject,
  options: ApplyOptions,
): KubernetesObject {
  const { kind } = configuration;
  const fields = fieldSetOf(kind, configuration);
  const managers = stored === undefined ? [] : managersOf(stored);
  const others = managers.filter((manager) => manager.name !== options.manager);
  const own = managers.find((manager) => manager.name === options.manager);
  if (stored !== undefined && !options.force) checkConflicts(kind, stored, configuration, others);
  let result: JsonRecord = stored ?? {};
  if (own !== undefined)
    result = removeFields(kind, [], result, own.fields, [fields, ...others.map((other) => other.fields)]);
  const merged = mergeConfiguration(kind, [], result, configuration);
  const metadata = asRecord(merged["metadata"]);
  const object: KubernetesObject = {
    ...merged,
    apiVersion: configuration.apiVersion,
    kind,
    metadata: { ...metadata, name: configuration.metadata.name },
  };
  return withManager(object, { name: options.manager, fields }, options.time);
}

function mergeConfiguration(kind: string, path: readonly string[], target: JsonRecord, wanted: JsonRecord): JsonRecord {
  const result: Record<string, unknown> = { ...target };
  for (const [key, value] of Object.entries(wanted)) {
    if (value === null) continue;
    const existing = Object.hasOwn(result, key) ? result[key] : undefined;
    define(result, key, mergeValue(kind, [...path, key], existing, value));
  }
  return result;
}

function mergeValue(kind: string, path: readonly string[], target: unknown, wanted: unknown): unknown {
  if (isRecord(wanted)) return mergeConfiguration(kind, path, asRecord(target), wanted);
  const mergeKey = Array.isArray(wanted) ? listKey(kind, path) : undefined;
  if (mergeKey === undefined) return wanted;
  const result = [...asArray(target)];
  for (const item of asArray(wanted)) {
    const key = itemKey(mergeKey, item);
    const index = result.findIndex((candidate) => itemKey(mergeKey, candidate) === key);
    if (index === -1) result.push(item);
    else result[index] = mergeConfiguration(kind, path, asRecord(result[index]), asRecord(item));
  }
  return result;
}

/** Removes the fields of the set that none of the other sets has. */
function removeFields(
  kind: string,
  path: readonly string[],
  target: JsonRecord,
  removed: FieldSet,
  kept: readonly FieldSet[],
): JsonRecord {
  const result: Record<string, unknown> = { ...target };
  for (const [key, below] of Object.entries(removed)) {
    const name = key.slice(2);
    if (!key.startsWith("f:") || !Object.hasOwn(result, name)) continue;
    const keptBelow = kept.flatMap((set) => (Object.hasOwn(set, key) ? [set[key] ?? {}] : []));
    const value = result[name];
    const itemPath = [...path, name];
    const mergeKey = Array.isArray(value) ? listKey(kind, itemPath) : undefined;
    if (isRecord(value) && Object.keys(below).length > 0) {
      const rest = removeFields(kind, itemPath, value, below, keptBelow);
      if (Object.keys(rest).length === 0 && keptBelow.length === 0) delete result[name];
      else result[name] = rest;
    } else if (mergeKey !== undefined) {
      const rest = removeItems(kind, itemPath, asArray(value), below, keptBelow, mergeKey);
      if (rest.length === 0 && keptBelow.length === 0) delete result[name];
      else result[name] = rest;
    } else if (keptBelow.length === 0) {
      delete result[name];
    }
  }
  return result;
}

function removeItems(
  kind: string,
  path: readonly string[],
  items: readonly unknown[],
  removed: FieldSet,
  kept: readonly FieldSet[],
  mergeKey: string,
): readonly unknown[] {
  return items.flatMap((item) => {
    const key = itemKey(mergeKey, item);
    const below = removed[key];
    if (below === undefined) return [item];
    const keptBelow = kept.flatMap((set) => (Object.hasOwn(set, key) ? [set[key] ?? {}] : []));
    return keptBelow.length === 0 ? [] : [removeFields(kind, path, asRecord(item), below, keptBelow)];
  });
}

function checkConflicts(
  kind: string,
  stored: KubernetesObject,
  configuration: KubernetesObject,
  others: readonly { readonly name: string; readonly fields: FieldSet }[],
): void {
  for (const other of others) {
    const field = conflict(kind, [], asRecord(stored), asRecord(configuration), other.fields);
    if (field !== undefined) {
      throw apiError("CONFLICT", `Apply failed with 1 conflict: conflict with "${other.name}": .${field}`);
    }
  }
}

/** A field that the configuration would change and the set owns. */
function conflict(
  kind: string,
  path: readonly string[],
  stored: JsonRecord,
  wanted: JsonRecord,
  owned: FieldSet,
): string | undefined {
  for (const [key, value] of Object.entries(wanted)) {
    const below = owned[`f:${key}`];
    if (value === null || below === undefined || jsonEqual(stored[key], value)) continue;
    const itemPath = [...path, key];
    if (isRecord(value) && isRecord(stored[key])) {
      const field = conflict(kind, itemPath, stored[key], value, below);
      if (field !== undefined) return field;
      continue;
    }
    const mergeKey = Array.isArray(value) ? listKey(kind, itemPath) : undefined;
    if (mergeKey === undefined) return itemPath.join(".");
    for (const item of asArray(value)) {
      const itemName = itemKey(mergeKey, item);
      const existing = asArray(stored[key]).find((candidate) => itemKey(mergeKey, candidate) === itemName);
      const field = conflict(kind, itemPath, asRecord(existing), asRecord(item), below[itemName] ?? {});
      if (field !== undefined) return field;
    }
  }
  return undefined;
}
