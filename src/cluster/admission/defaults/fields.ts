// Fills absent fields without touching those that are there, whatever shape the rest has.

import { isRecord, type JsonRecord } from "../../store/json.ts";

/** The record with the defaults for the fields that are absent or null. */
export function withDefaults(record: JsonRecord, defaults: JsonRecord): JsonRecord {
  let result: Record<string, unknown> | undefined;
  for (const [key, value] of Object.entries(defaults)) {
    if (record[key] !== undefined && record[key] !== null) continue;
    result ??= { ...record };
    result[key] = value;
  }
  return result ?? record;
}

/** The record with the field changed, when the field is an object. */
export function mapField(record: JsonRecord, key: string, change: (value: JsonRecord) => JsonRecord): JsonRecord {
  const value = record[key];
  if (!isRecord(value)) return record;
  const changed = change(value);
  return changed === value ? record : { ...record, [key]: changed };
}

/** The record with every object of the list in the field changed, when it is a list. */
export function mapItems(record: JsonRecord, key: string, change: (item: JsonRecord) => JsonRecord): JsonRecord {
  const items = record[key];
  if (!Array.isArray(items)) return record;
  const changed = items.map((item: unknown) => (isRecord(item) ? change(item) : item));
  return changed.every((item, index) => item === items[index]) ? record : { ...record, [key]: changed };
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
