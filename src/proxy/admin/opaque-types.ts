// A registry for showing what the proxy was given: a message type without a descriptor here (of an optional filter that
// was left out) is shown by its type alone, instead of making the resource around it unreadable.
import { create, createFileRegistry, type DescMessage, type Registry } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

export function withOpaqueTypes(registry: Registry): Registry {
  return {
    ...registry,
    [Symbol.iterator]: () => registry[Symbol.iterator](),
    getMessage: (typeName) => registry.getMessage(typeName) ?? opaqueType(typeName),
  };
}

/** A message without fields. */
function opaqueType(typeName: string): DescMessage | undefined {
  if (!/^([A-Za-z_]\w*\.)*[A-Za-z_]\w*$/.test(typeName)) return undefined;
  const dot = typeName.lastIndexOf(".");
  const file = create(FileDescriptorProtoSchema, {
    name: `${typeName}.proto`,
    package: dot === -1 ? "" : typeName.slice(0, dot),
    syntax: "proto3",
    messageType: [{ name: typeName.slice(dot + 1) }],
  });
  return createFileRegistry(file, () => undefined).getMessage(typeName);
}
