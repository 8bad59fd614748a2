// Envoy's messages as canonical JSON (proto3's mapping: lowerCamelCase, `@type` in an Any, durations as "1s").
import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import { envoyTypes } from "#mesh/objects/envoy-types.ts";
import { withOpaqueTypes } from "#proxy/admin/opaque-types.ts";

export function envoyJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  return toJson(schema, message, { registry: withOpaqueTypes(envoyTypes()) });
}
