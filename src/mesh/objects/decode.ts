// Decoders: unknown JSON → typed spec, with a problem for every field that is unknown, of the wrong type or not a known
// value. A decoder never throws; where a value is wrong it reports and goes on with the default.
import { parseDuration } from "./duration.ts";
import { child, type Path } from "./path.ts";
import type { Report } from "./report.ts";
import { nearest } from "./suggest.ts";

/** Returns undefined after it has reported. */
export type Decoder<T> = (value: unknown, path: Path | undefined, report: Report) => T | undefined;

/** A field that is always there: absent, null or wrong values become the default. */
export interface DefaultedField<T> {
  readonly decode: Decoder<T>;
  readonly absent: T;
}

/** A field that stays absent. */
export interface OptionalField<T> {
  readonly decode: Decoder<T>;
}

/** One entry for each member of T: the compiler refuses a decoder that forgets a field. */
export type Fields<T> = {
  readonly [K in keyof T]-?: object extends Pick<T, K> ? OptionalField<T[K]> : DefaultedField<T[K]>;
};

/** Decodes an object; unknown fields are problems with a suggestion. */
export function record<T>(fields: Fields<T>): Decoder<T> {
  return recordOf(fields, true);
}

/** Decodes the fields that are named and passes over all others: for Kubernetes' own kinds. */
export function lenientRecord<T>(fields: Fields<T>): Decoder<T> {
  return recordOf(fields, false);
}

function recordOf<T>(fields: Fields<T>, strict: boolean): Decoder<T> {
  const entries = Object.entries(fields) as [string, { decode: Decoder<unknown>; absent?: unknown }][];
  const known = new Set(entries.map(([name]) => name));
  return (value, path, report) => {
    const source = asObject(value, path, report);
    if (source === undefined) return undefined;
    const result: Record<string, unknown> = {};
    for (const [name, field] of entries) {
      const raw = Object.hasOwn(source, name) ? source[name] : undefined;
      const decoded = raw === undefined || raw === null ? undefined : field.decode(raw, child(path, name), report);
      if (decoded !== undefined) result[name] = decoded;
      else if ("absent" in field) result[name] = field.absent;
    }
    if (strict) reportUnknown(source, known, path, report);
    return result as T;
  };
}

/** Reports fields that are not known, with the name that was probably meant. */
export function reportUnknown(
  source: object,
  known: ReadonlySet<string>,
  path: Path | undefined,
  report: Report,
): void {
  for (const name in source) {
    if (known.has(name)) continue;
    const suggestion = nearest(name, known);
    report({
      path: child(path, name),
      message: `unknown field "${clip(name)}"`,
      fix: suggestion === undefined ? `one of ${[...known].sort().join(", ")}` : `did you mean "${suggestion}"?`,
    });
  }
}

export function optional<T>(decode: Decoder<T>): OptionalField<T> {
  return { decode };
}

export function withDefault<T>(decode: Decoder<T>, absent: T): DefaultedField<T> {
  return { decode, absent };
}

/** A list; absent is empty. Items that are wrong are left out after they are reported. */
export function list<T>(decode: Decoder<T>, max = 100_000): DefaultedField<readonly T[]> {
  return { decode: array(decode, max), absent: [] };
}

export function array<T>(decode: Decoder<T>, max = 100_000): Decoder<readonly T[]> {
  return (value, path, report) => {
    if (!Array.isArray(value)) return wrongType("a list", value, path, report);
    if (value.length > max) {
      report({ path, message: `${value.length} items are more than the ${max} that are allowed` });
      return undefined;
    }
    const items: T[] = [];
    for (let index = 0; index < value.length; index++) {
      const item = decode(value[index] as unknown, child(path, index), report);
      if (item !== undefined) items.push(item);
    }
    return items;
  };
}

/** A map from names to values; absent is empty. */
export function map<T>(decode: Decoder<T>): DefaultedField<Readonly<Record<string, T>>> {
  return { decode: dictionary(decode), absent: {} };
}

function dictionary<T>(decode: Decoder<T>): Decoder<Readonly<Record<string, T>>> {
  return (value, path, report) => {
    const source = asObject(value, path, report);
    if (source === undefined) return undefined;
    const result: Record<string, T> = {};
    for (const [name, raw] of Object.entries(source)) {
      const decoded = decode(raw, child(path, name), report);
      if (decoded !== undefined && name !== "__proto__") result[name] = decoded;
    }
    return result;
  };
}

export const string: Decoder<string> = (value, path, report) =>
  typeof value === "string" ? value : wrongType("a string", value, path, report);

export const boolean: Decoder<boolean> = (value, path, report) =>
  typeof value === "boolean" ? value : wrongType("true or false", value, path, report);

export const number: Decoder<number> = (value, path, report) =>
  typeof value === "number" && Number.isFinite(value) ? value : wrongType("a number", value, path, report);

export function integer(min: number, max: number): Decoder<number> {
  return (value, path, report) => {
    if (typeof value !== "number" || !Number.isInteger(value)) return wrongType("a whole number", value, path, report);
    if (value < min || value > max) {
      report({ path, message: `${value} is not between ${min} and ${max}` });
      return undefined;
    }
    return value;
  };
}

export const uint32: Decoder<number> = integer(0, 4_294_967_295);
export const int32: Decoder<number> = integer(-2_147_483_648, 2_147_483_647);

export function oneOf<const T extends string>(values: readonly T[]): Decoder<T> {
  return (value, path, report) => {
    const found = values.find((item) => item === value);
    if (found !== undefined) return found;
    if (typeof value !== "string") return wrongType("a string", value, path, report);
    const suggestion = nearest(value, values);
    report({
      path,
      message: `"${clip(value)}" is not one of ${values.join(", ")}`,
      ...(suggestion !== undefined && { fix: `did you mean "${suggestion}"?` }),
    });
    return undefined;
  };
}

/** A Duration string, to milliseconds. */
export const duration: Decoder<number> = (value, path, report) => {
  if (typeof value !== "string") {
    return wrongType("a duration", value, path, report, typeof value === "number" ? `${value}s` : undefined);
  }
  const ms = parseDuration(value);
  if (ms === undefined) {
    const fix = /^\d+(\.\d+)?$/.test(value) ? `"${value}s"` : "a number with a unit, as 500ms, 1.5s or 1h";
    report({ path, message: `"${clip(value)}" is not a duration`, fix });
  }
  return ms;
};

/** `{ value: 12.5 }`, to the number. */
export const percent: Decoder<number> = (value, path, report) => percentObject(value, path, report)?.value;

const percentObject: Decoder<{ value: number }> = record({ value: withDefault(number, 0) });

/** A map of strings; numbers and booleans are what YAML makes of unquoted text, and are problems with that hint. */
export const stringMap: DefaultedField<Readonly<Record<string, string>>> = map(string);

export const text: DefaultedField<string> = withDefault(string, "");
export const strings: DefaultedField<readonly string[]> = list(string);
export const flag: DefaultedField<boolean> = withDefault(boolean, false);
export const count: DefaultedField<number> = withDefault(uint32, 0);

/** Decodes the `spec` of an object; a missing spec is an empty one. */
export function decodeSpec<T>(
  object: { readonly [field: string]: unknown },
  decode: Decoder<T>,
  report: Report,
): T | undefined {
  return decode(object["spec"] ?? {}, child(undefined, "spec"), report);
}

function asObject(value: unknown, path: Path | undefined, report: Report): Record<string, unknown> | undefined {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return wrongType("an object", value, path, report);
}

function wrongType(
  expected: string,
  value: unknown,
  path: Path | undefined,
  report: Report,
  suggestion?: string,
): undefined {
  const fix =
    suggestion ??
    (expected === "a string" && (typeof value === "number" || typeof value === "boolean")
      ? `quote it: "${String(value)}"`
      : undefined);
  report({ path, message: `expected ${expected}, found ${describe(value)}`, ...(fix !== undefined && { fix }) });
  return undefined;
}

function describe(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return `the string "${clip(value)}"`;
  return `the ${typeof value} ${String(value)}`;
}

function clip(value: string): string {
  return value.length > 80 ? `${value.slice(0, 80)}...` : value;
}
