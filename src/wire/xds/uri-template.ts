// The description of Envoy's message for path templates, which is not among the protos that the code is generated from:
// for rendering configuration as JSON. Packing and reading its one field needs no description.
import { create, createFileRegistry, type FileRegistry } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";

/** Describes `envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig`. */
export function uriTemplateFile(): FileRegistry {
  const pathTemplate = {
    name: "path_template",
    jsonName: "pathTemplate",
    number: 1,
    label: FieldDescriptorProto_Label.OPTIONAL,
    type: FieldDescriptorProto_Type.STRING,
  };
  const file = create(FileDescriptorProtoSchema, {
    name: "envoy/extensions/path/match/uri_template/v3/uri_template_match.proto",
    package: "envoy.extensions.path.match.uri_template.v3",
    syntax: "proto3",
    messageType: [{ name: "UriTemplateMatchConfig", field: [pathTemplate] }],
  });
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
}
