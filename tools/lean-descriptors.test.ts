import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { type DescriptorProto, type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { leanDescriptors } from "./lean-descriptors.ts";

const source = readFileSync(
  join(import.meta.dirname, "../src/wire/gen/envoy/config/route/v3/route_components_pb.ts"),
  "utf8",
);
const lean = leanDescriptors(source);

function descriptorIn(code: string): FileDescriptorProto {
  return fromBinary(FileDescriptorProtoSchema, base64Decode(/fileDesc\("([^"]*)"/.exec(code)?.[1] ?? ""));
}

/** What encodes, decodes and names a message. */
function shape(message: DescriptorProto): unknown {
  return {
    name: message.name,
    isMap: message.options?.mapEntry,
    fields: message.field.map(({ name, number, type, label, typeName, oneofIndex, proto3Optional, options }) => ({
      name,
      number,
      type,
      label,
      typeName,
      oneofIndex,
      proto3Optional,
      isDeprecated: options?.deprecated,
    })),
    oneofs: message.oneofDecl.map(({ name }) => name),
    enums: message.enumType.map(({ name, value }) => [name, value.map((one) => [one.name, one.number])]),
    nested: message.nestedType.map(shape),
  };
}

test("a lean descriptor describes the same messages", () => {
  const before = descriptorIn(source);
  assert.ok(before.messageType.length > 10);
  assert.deepEqual(descriptorIn(lean).messageType.map(shape), before.messageType.map(shape));
});

test("custom options and the files that define them are gone", () => {
  assert.match(source, /file_validate_validate\]\)/);
  assert.doesNotMatch(lean, /fileDesc\([^)]*file_(?:validate|udpa|envoy_annotations)/);
  assert.match(lean, /fileDesc\([^)]*file_envoy_config_core_v3_base/);
  const options = (code: string): number =>
    descriptorIn(code).messageType.flatMap(({ field }) => field.filter((one) => one.options?.$unknown !== undefined))
      .length;
  assert.ok(options(source) > 10);
  assert.equal(options(lean), 0);
});

test("a module without a descriptor stays as it is", () => {
  assert.equal(leanDescriptors("export const a = 1;"), "export const a = 1;");
});
