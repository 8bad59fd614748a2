import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toJson } from "@bufbuild/protobuf";
import { AnySchema, anyPack } from "@bufbuild/protobuf/wkt";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { anyRegistry } from "../xds/any-registry.ts";
import { withOpaqueTypes } from "./opaque-types.ts";

test("a type without a descriptor is shown by its name, and what is around it in full", () => {
  const unknown = create(AnySchema, { typeUrl: "type.googleapis.com/some.v1.Filter", value: Uint8Array.of(10, 1, 97) });
  const listener = create(ListenerSchema, {
    name: "in",
    filterChains: [{ filters: [{ name: "x", configType: { case: "typedConfig", value: unknown } }] }],
  });
  const options = { registry: withOpaqueTypes(anyRegistry()), useProtoFieldName: true };
  assert.deepEqual(toJson(AnySchema, anyPack(ListenerSchema, listener), options), {
    "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
    name: "in",
    filter_chains: [{ filters: [{ name: "x", typed_config: { "@type": "type.googleapis.com/some.v1.Filter" } }] }],
  });
});
