// `?mask=` of `/config_dump`: a FieldMask over what is shown. Paths are checked against the message's descriptor, and go on
// inside of a resource that the message holds as an Any.
import { type DescMessage, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { anyRegistry } from "../xds/any-registry.ts";

/** By field; null takes everything below. */
export interface FieldMask {
  readonly [field: string]: FieldMask | null;
}

export function parseMask(text: string): FieldMask {
  const root: Record<string, FieldMask | null> = {};
  for (const path of text.split(",").filter((it) => it !== "")) {
    let at = root;
    const names = path.trim().split(".");
    for (const [i, name] of names.entries()) {
      const below = at[name];
      if (below === null) break;
      if (i === names.length - 1) at[name] = null;
      else at = (at[name] = { ...below }) as Record<string, FieldMask | null>;
    }
  }
  return root;
}

/** Whether the message has all these fields; a repeated one has nothing below it that could be named. */
export function isMaskOf(mask: FieldMask, message: DescMessage): boolean {
  return Object.entries(mask).every(([name, below]) => {
    const field = message.fields.find((it) => it.name === name);
    if (field === undefined) return false;
    if (below === null) return true;
    if (field.fieldKind !== "message") return false;
    // Of an Any it is known when the resource is.
    return field.message.typeName === "google.protobuf.Any" || isMaskOf(below, field.message);
  });
}

/** What the mask leaves of a message in JSON; null when a resource inside has no such field. */
export function masked(value: JsonObject, mask: FieldMask): JsonObject | null {
  const type = value["@type"];
  const resource =
    typeof type === "string" ? anyRegistry().getMessage(type.slice(type.lastIndexOf("/") + 1)) : undefined;
  if (resource !== undefined && !isMaskOf(mask, resource)) return null;
  const left: JsonObject = typeof type === "string" ? { "@type": type } : {};
  for (const [name, below] of Object.entries(mask)) {
    const inner = value[name];
    if (inner === undefined) continue;
    if (below === null || !isObject(inner)) {
      left[name] = inner;
      continue;
    }
    const trimmed = masked(inner, below);
    if (trimmed === null) return null;
    left[name] = trimmed;
  }
  return left;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
