// Strategic merge patch as kubectl sends it for Kubernetes' own kinds: lists with keys are merged item by item, and
// directives delete, replace and order.

import { apiError } from "../../store/errors.ts";
import { asArray, asRecord, define, isRecord, type JsonRecord, jsonEqual } from "../../store/json.ts";
import { listKey } from "./list-keys.ts";

export function applyStrategicMerge(kind: string, target: JsonRecord, patch: JsonRecord): JsonRecord {
  return mergeRecord(kind, [], target, patch);
}

function mergeRecord(kind: string, path: readonly string[], target: JsonRecord, patch: JsonRecord): JsonRecord {
  if (patch["$patch"] === "replace") return withoutDirectives(patch);
  if (patch["$patch"] === "delete") return {};
  const result: Record<string, unknown> = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$")) continue;
    if (value === null) {
      delete result[key];
      continue;
    }
    define(result, key, mergeValue(kind, [...path, key], Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  for (const [key, value] of Object.entries(patch)) applyDirective(kind, path, result, key, value);
  return result;
}

function mergeValue(kind: string, path: readonly string[], target: unknown, patch: unknown): unknown {
  if (isRecord(patch)) return mergeRecord(kind, path, asRecord(target), patch);
  if (!Array.isArray(patch)) return patch;
  if (path.at(-1) === "finalizers") return [...new Set([...asArray(target), ...patch])];
  const mergeKey = listKey(kind, path);
  return mergeKey === undefined ? patch : mergeList(kind, path, asArray(target), patch, mergeKey);
}

function mergeList(
  kind: string,
  path: readonly string[],
  target: readonly unknown[],
  patch: readonly unknown[],
  mergeKey: string,
): unknown {
  const items = patch.map(asRecord);
  const isReplaced = items.some((item) => item["$patch"] === "replace" && item[mergeKey] === undefined);
  if (isReplaced) return items.filter((item) => item["$patch"] === undefined);
  let result = [...target];
  for (const item of items) {
    const identity = item[mergeKey];
    if (identity === undefined)
      throw apiError("BAD_REQUEST", `an item of ${path.join(".")} does not have the merge key ${mergeKey}`);
    const index = result.findIndex((candidate) => jsonEqual(asRecord(candidate)[mergeKey], identity));
    if (item["$patch"] === "delete") result = index === -1 ? result : result.toSpliced(index, 1);
    else if (index === -1) result.push(withoutDirectives(item));
    else result[index] = mergeRecord(kind, path, asRecord(result[index]), item);
  }
  return result;
}

function applyDirective(
  kind: string,
  path: readonly string[],
  result: Record<string, unknown>,
  key: string,
  value: unknown,
): void {
  const [directive, field = ""] = key.split("/");
  if (directive === "$deleteFromPrimitiveList") {
    const removed = asArray(value);
    result[field] = asArray(result[field]).filter((item) => !removed.includes(item));
  } else if (directive === "$setElementOrder" && Array.isArray(result[field])) {
    result[field] = ordered(asArray(result[field]), asArray(value), listKey(kind, [...path, field]));
  } else if (directive === "$retainKeys") {
    const kept = asArray(value);
    for (const name of Object.keys(result)) if (!kept.includes(name)) delete result[name];
  }
}

/** The items in the wanted order; those that the order does not name come after the others. */
function ordered(items: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined): unknown {
  const identity = (item: unknown): unknown => (mergeKey === undefined ? item : asRecord(item)[mergeKey]);
  const positions = order.map(identity);
  const rank = (item: unknown): number => {
    const index = positions.indexOf(identity(item));
    return index === -1 ? positions.length : index;
  };
  return [...items].sort((a, b) => rank(a) - rank(b));
}

function withoutDirectives(record: JsonRecord): JsonRecord {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !key.startsWith("$")));
}
