// The annotation `outrigger.dev/source`: where an object was written, carried through an API server, so that an issue
// or a route still leads to a file and a line. Fields are listed level by level up to a size, so a large object loses
// its deepest positions first and those fall back to the enclosing field.
import type { SourcePosition } from "#base/issue.ts";
import { joinPath, parsePath } from "./path.ts";
import type { ParsedObject } from "./yaml.ts";

export interface SourceMap {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Path → line, column. */
  readonly fields: ReadonlyMap<string, readonly [number, number]>;
  /** Path of a text → line and column at which it starts. */
  readonly texts: ReadonlyMap<string, readonly [number, number]>;
}

const maxBytes = 32 * 1024;

/** Renders the annotation; `withFields` for Istio's kinds, whose fields are reported on. */
export function encodeSourceAnnotation(parsed: ParsedObject, withFields: boolean): string {
  const fields: Record<string, [number, number]> = {};
  let size = parsed.file.length + 60;
  if (withFields) {
    for (const [path, line, column] of parsed.fields()) {
      if (path[0] !== "spec" && path[0] !== "metadata") continue;
      const name = joinPath(path);
      size += name.length + 14;
      if (size > maxBytes) break;
      fields[name] = [line, column];
    }
  }
  const texts = textsOf(parsed);
  return JSON.stringify({
    file: parsed.file,
    line: parsed.line,
    column: parsed.column,
    ...(withFields && { fields }),
    ...(texts !== undefined && { texts }),
  });
}

/** Mesh configuration is a text within its ConfigMap. */
function textsOf(parsed: ParsedObject): Record<string, [number, number]> | undefined {
  if (parsed.object.kind !== "ConfigMap") return undefined;
  const data = parsed.object["data"];
  if (typeof data !== "object" || data === null || !("mesh" in data)) return undefined;
  const { line, column } = parsed.positionInText("data.mesh", 1, 1);
  return { "data.mesh": [line, column] };
}

/** Reads the annotation; undefined when it is absent or malformed (anybody may write annotations). */
export function decodeSourceAnnotation(annotation: string | undefined): SourceMap | undefined {
  if (annotation === undefined || annotation.length > 4 * maxBytes) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(annotation);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { file, line, column, fields, texts } = value as Record<string, unknown>;
  if (typeof file !== "string" || !isCount(line)) return undefined;
  return { file, line, column: isCount(column) ? column : 1, fields: placesOf(fields), texts: placesOf(texts) };
}

function placesOf(value: unknown): Map<string, readonly [number, number]> {
  const places = new Map<string, readonly [number, number]>();
  if (typeof value !== "object" || value === null) return places;
  for (const [path, place] of Object.entries(value)) {
    if (!Array.isArray(place)) continue;
    const [line, column] = place as unknown[];
    if (isCount(line) && isCount(column)) places.set(path, [line, column]);
  }
  return places;
}

/** Where the field, or the nearest enclosing field that is known, was written. */
export function positionIn(source: SourceMap, path: string): SourcePosition {
  const segments = parsePath(path);
  for (let length = segments.length; length > 0; length--) {
    const place = source.fields.get(joinPath(segments.slice(0, length)));
    if (place !== undefined) return { file: source.file, line: place[0], column: place[1] };
  }
  return { file: source.file, line: source.line, column: source.column };
}

/** Where a place within a text was written; undefined where that is not known. */
export function positionInText(
  source: SourceMap,
  path: string,
  line: number,
  column: number,
): SourcePosition | undefined {
  const start = source.texts.get(path);
  return start && { file: source.file, line: start[0] + line - 1, column: start[1] + column - 1 };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0;
}
