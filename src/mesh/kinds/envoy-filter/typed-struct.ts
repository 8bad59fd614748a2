// TypedStruct: a message written as JSON under the URL of its type (xds/type/v3/typed_struct.proto, and under its older
// name). Most published EnvoyFilters have it where the message itself could stand.
import type { JsonObject, JsonValue, Registry } from "@bufbuild/protobuf";

const names: ReadonlySet<string> = new Set(["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"]);

/** The JSON with the message in place of each TypedStruct whose type is known; others stay what they are. */
export function withoutTypedStructs(json: JsonObject, types: Registry): JsonObject {
  const meant = meantBy(json, types) ?? json;
  return Object.fromEntries(Object.entries(meant).map(([name, value]) => [name, replaced(value, types)]));
}

function replaced(value: JsonValue, types: Registry): JsonValue {
  if (Array.isArray(value)) return value.map((item) => replaced(item, types));
  return typeof value === "object" && value !== null ? withoutTypedStructs(value, types) : value;
}

function meantBy(json: JsonObject, types: Registry): JsonObject | undefined {
  if (!names.has(messageName(json["@type"]))) return undefined;
  const url = json["type_url"] ?? json["typeUrl"];
  const value = json["value"] ?? {};
  if (types.getMessage(messageName(url)) === undefined || typeof value !== "object" || Array.isArray(value)) {
    return undefined;
  }
  return { "@type": url as string, ...value };
}

function messageName(url: JsonValue | undefined): string {
  return typeof url === "string" ? url.slice(url.lastIndexOf("/") + 1) : "";
}
