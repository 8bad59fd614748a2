import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toJson } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { anyRegistry } from "./any-registry.ts";

test("a path template can be shown, although its message is not among the generated ones", () => {
  const typeUrl = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
  const any = create(AnySchema, { typeUrl, value: new BinaryWriter().uint32(10).string("/users/*").finish() });
  const json = toJson(AnySchema, any, { registry: anyRegistry(), useProtoFieldName: true });
  assert.deepEqual(json, { "@type": typeUrl, path_template: "/users/*" });
});
