// Takes the custom options (validation rules, versioning notes) out of the descriptors in generated protobuf code.
// Envoy reads them, our tests read them; at run time they would be a fifth of the start of a sidecar.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

const call = /fileDesc\("([A-Za-z0-9+/=]*)"(?:, \[([^\]]*)\])?\)/;
/** Files that only define such options. */
const definesOptions = /^file_(?:validate|udpa_annotations|xds_annotations|envoy_annotations)_/;

/** Rewrites the source of one generated module. */
export function leanDescriptors(code: string): string {
  return code.replace(call, (_, encoded: string, imports: string | undefined) => {
    const file = fromBinary(FileDescriptorProtoSchema, base64Decode(encoded));
    dropOptions(file);
    const kept = (imports ?? "").split(", ").filter((name) => name !== "" && !definesOptions.test(name));
    const bytes = base64Encode(toBinary(FileDescriptorProtoSchema, file), "std_raw");
    return `fileDesc("${bytes}", [${kept.join(", ")}])`;
  });
}

function dropOptions(file: FileDescriptorProto): void {
  delete file.options;
  file.messageType.forEach(dropOptionsOfMessage);
  file.enumType.forEach(dropOptionsOfEnum);
  file.extension.forEach(dropOptionsOfField);
  for (const service of file.service) {
    delete service.options;
    for (const method of service.method) delete method.options;
  }
}

function dropOptionsOfMessage(message: DescriptorProto): void {
  // What descriptor.proto itself defines (map entries, packed fields, deprecation) is part of the meaning.
  if (message.options !== undefined) delete message.options.$unknown;
  message.field.forEach(dropOptionsOfField);
  message.extension.forEach(dropOptionsOfField);
  for (const oneof of message.oneofDecl) delete oneof.options;
  message.enumType.forEach(dropOptionsOfEnum);
  message.nestedType.forEach(dropOptionsOfMessage);
}

function dropOptionsOfField(field: FieldDescriptorProto): void {
  if (field.options !== undefined) delete field.options.$unknown;
}

function dropOptionsOfEnum(list: EnumDescriptorProto): void {
  if (list.options !== undefined) delete list.options.$unknown;
  for (const value of list.value) if (value.options !== undefined) delete value.options.$unknown;
}
