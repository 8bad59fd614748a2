// Envoy's messages as canonical JSON (proto3's mapping: lowerCamelCase, `@type` in an Any, durations as "1s").
import { type DescMessage, type JsonValue, type Message, type MessageShape, toJson } from "@bufbuild/protobuf";
import { withOpaqueTypes } from "#proxy/admin/opaque-types.ts";
import { anyRegistry } from "#proxy/xds/any-registry.ts";

export function envoyJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc> & Message): JsonValue {
  return toJson(schema, message, { registry: withOpaqueTypes(anyRegistry()) });
}
