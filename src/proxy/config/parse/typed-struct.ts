// TypedStruct: a message written as JSON, for a control plane that does not know its schema
// (xds/type/v3/typed_struct.proto, and the same message under its older name).
import { createRegistry, fromBinary, type JsonObject, type Registry } from "@bufbuild/protobuf";
import {
  type Any,
  BoolValueSchema,
  BytesValueSchema,
  DurationSchema,
  StringValueSchema,
  StructSchema,
} from "@bufbuild/protobuf/wkt";
import { TypedStructSchema } from "#wire/gen/xds/type/v3/typed_struct_pb.ts";

/** What may be packed once more inside of such JSON, as the configuration of a Wasm module. */
export const jsonRegistry: Registry = createRegistry(
  BoolValueSchema,
  BytesValueSchema,
  DurationSchema,
  StringValueSchema,
  StructSchema,
);

export interface JsonMessage {
  readonly typeUrl: string;
  readonly value: JsonObject;
}

/** What a TypedStruct stands for. Null: it is another message, or its bytes are no TypedStruct. */
export function typedStruct(any: Any): JsonMessage | null {
  if (!any.typeUrl.endsWith("/xds.type.v3.TypedStruct") && !any.typeUrl.endsWith("/udpa.type.v1.TypedStruct")) {
    return null;
  }
  try {
    const { typeUrl, value = {} } = fromBinary(TypedStructSchema, any.value);
    return { typeUrl, value };
  } catch {
    return null;
  }
}
