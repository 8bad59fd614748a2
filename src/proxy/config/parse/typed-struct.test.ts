import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { BufferSchema } from "#wire/gen/envoy/extensions/filters/http/buffer/v3/buffer_pb.ts";
import { TypedStructSchema } from "#wire/gen/xds/type/v3/typed_struct_pb.ts";
import { Problems } from "../problems.ts";
import { typeName, unpack } from "./values.ts";

const buffer = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer";

function packed(name: string, typeUrl: string, value: JsonObject): Any {
  const bytes = toBinary(TypedStructSchema, create(TypedStructSchema, { typeUrl, value }));
  return create(AnySchema, { typeUrl: `type.googleapis.com/${name}.TypedStruct`, value: bytes });
}

test("a TypedStruct, under both of its names, is read as the message that it stands for", () => {
  for (const name of ["xds.type.v3", "udpa.type.v1"]) {
    const any = packed(name, buffer, { max_request_bytes: 7 });
    const problems = new Problems("listener", "l");
    assert.equal(typeName(any), BufferSchema.typeName);
    assert.equal(unpack(any, BufferSchema, "f", problems)?.maxRequestBytes, 7);
    assert.deepEqual(problems.done(null).issues, []);
  }
});

test("JSON that is not such a message is a problem with the reason; bytes that are no TypedStruct name its own type", () => {
  const problems = new Problems("listener", "l");
  assert.equal(unpack(packed("xds.type.v3", buffer, { max_request_bytes: "x" }), BufferSchema, "f", problems), null);
  const [issue] = problems.done(null).issues;
  assert.match(
    issue?.message ?? "",
    /^the value is not a envoy\.extensions\.filters\.http\.buffer\.v3\.Buffer: .*got "x"/,
  );
  const broken = create(AnySchema, {
    typeUrl: "type.googleapis.com/xds.type.v3.TypedStruct",
    value: Buffer.from([0x0a]),
  });
  assert.equal(typeName(broken), "xds.type.v3.TypedStruct");
});
