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
  return JSON.stringify({ file: parsed.file, line: parsed.line, column: parsed.column, ...(withFields && { fields }) });
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
  const { file, line, column, fields } = value as Record<string, unknown>;
  if (typeof file !== "string" || !isCount(line)) return undefined;
  const positions = new Map<string, readonly [number, number]>();
  if (typeof fields === "object" && fields !== null) {
    for (const [path, place] of Object.entries(fields)) {
      if (!Array.isArray(place)) continue;
      const [fieldLine, fieldColumn] = place as unknown[];
      if (isCount(fieldLine) && isCount(fieldColumn)) positions.set(path, [fieldLine, fieldColumn]);
    }
  }
  return { file, line, column: isCount(column) ? column : 1, fields: positions };
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

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0;
}
