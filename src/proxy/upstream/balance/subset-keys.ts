// Metadata values as text that can be compared: of a host for the keys of a selector, and of a route's criteria.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Values as canonical JSON by key. */
export type Criteria = ReadonlyMap<string, string>;

export function criteriaOf(metadata: JsonObject): Criteria {
  return new Map(Object.entries(metadata).map(([key, value]) => [key, canonicalJson(value)]));
}

const fallbackList = "fallback_list";

/** The criteria without `fallback_list`, once for each entry of the list with what the entry overrides. */
export function criteriaVariants(metadata: JsonObject): readonly Criteria[] {
  const { [fallbackList]: list, ...own } = metadata;
  if (!Array.isArray(list)) return [criteriaOf(own)];
  const entries = list.filter(isObject);
  return [criteriaOf(own), ...entries.map((entry) => criteriaOf({ ...own, ...entry }))];
}

/** Every combination of values that a host has for the keys; none when it lacks one. */
export function subsetKeys(metadata: JsonObject | null, keys: readonly string[], listAsAny: boolean): string[] {
  if (metadata === null) return [];
  let combinations: string[][] = [[]];
  for (const key of keys) {
    const value = metadata[key];
    if (value === undefined) return [];
    const values = valuesOf(value, listAsAny);
    combinations = combinations.flatMap((it) => values.map((one) => [...it, one]));
    if (combinations.length > mostCombinations) return [];
  }
  return combinations.map(valuesKey);
}

/** A host with long lists under several keys would be in too many subsets to keep. */
const mostCombinations = 10_000;

function valuesOf(value: JsonValue, listAsAny: boolean): string[] {
  return listAsAny && Array.isArray(value) ? [...new Set(value.map(canonicalJson))] : [canonicalJson(value)];
}

export function valuesKey(values: readonly string[]): string {
  return values.join("\u0000");
}

export function hasValues(metadata: JsonObject | null, criteria: Criteria, listAsAny: boolean): boolean {
  for (const [key, wanted] of criteria) {
    const value = metadata?.[key];
    if (value === undefined || !valuesOf(value, listAsAny).includes(wanted)) return false;
  }
  return true;
}

/** JSON in which equal values have equal texts. */
function canonicalJson(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] ?? null)}`).join()}}`;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
