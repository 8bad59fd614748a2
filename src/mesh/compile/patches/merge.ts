// How MERGE joins messages: fields that are set replace, messages are merged field by field, lists are appended to and
// entries of maps are replaced, as protobuf merges; a Duration is replaced as a whole (Istio's pkg/proto/merge).
// MERGE_AND_REPLACE_LIST replaces lists.
import { clone, type DescField, type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import {
  isReflectMessage,
  type ReflectList,
  type ReflectMap,
  type ReflectMessage,
  reflect,
} from "@bufbuild/protobuf/reflect";
import { type Any, anyPack, DurationSchema } from "@bufbuild/protobuf/wkt";
import { envoyTypes } from "../../objects/envoy-types.ts";

export interface MergeOptions {
  readonly replaceLists: boolean;
}

/** Changes `target`; `source` stays as it is. */
export function mergeInto(schema: DescMessage, target: Message, source: Message, options: MergeOptions): void {
  merge(reflect(schema, target), reflect(schema, clone(schema, source)), options);
}

function merge(target: ReflectMessage, source: ReflectMessage, options: MergeOptions): void {
  for (const field of source.fields) {
    if (source.isSet(field)) mergeField(target, source, field, options);
  }
}

function mergeField(target: ReflectMessage, source: ReflectMessage, field: DescField, options: MergeOptions): void {
  switch (field.fieldKind) {
    case "list":
      mergeList(target.get(field), source.get(field), options);
      return;
    case "map":
      mergeMap(target.get(field), source.get(field));
      return;
    case "message": {
      const value = source.get(field);
      const isWhole = !target.isSet(field) || field.message.typeName === DurationSchema.typeName;
      // A wrapper's value is a plain one to the reflection API.
      if (isWhole || !isReflectMessage(value)) target.set(field, value);
      else {
        const into = target.get(field);
        merge(into, value, options);
        target.set(field, into);
      }
      return;
    }
    default:
      target.set(field, source.get(field));
  }
}

function mergeList(target: ReflectList, source: ReflectList, { replaceLists }: MergeOptions): void {
  if (replaceLists) target.clear();
  for (const item of source) target.add(item);
}

function mergeMap(target: ReflectMap, source: ReflectMap): void {
  for (const [key, value] of source) target.set(key, value);
}

/**
 * Merges packed messages of one type. Of another type, the source's bytes are read as the target's, as istiod does for
 * older versions of a message. Undefined when they can't be merged.
 */
export function mergeAny(target: Any, source: Any, options: MergeOptions): Any | undefined {
  const schema = envoyTypes().getMessage(target.typeUrl.slice(target.typeUrl.lastIndexOf("/") + 1));
  if (schema === undefined) return undefined;
  try {
    const message = fromBinary(schema, target.value);
    mergeInto(schema, message, fromBinary(schema, source.value), options);
    return anyPack(schema, message);
  } catch {
    return undefined;
  }
}

interface TypedConfig {
  readonly case: string | undefined;
  readonly value?: unknown;
}

/**
 * Merges `name` and the packed configuration of a filter or transport socket; other kinds of configuration stay. False
 * when nothing could be merged.
 */
export function mergeTypedConfig(
  target: { name: string; configType: TypedConfig },
  source: { readonly name: string; readonly configType: TypedConfig },
  options: MergeOptions,
): boolean {
  if (target.configType.case !== "typedConfig") return false;
  const isRenamed = source.name !== "" && source.name !== target.name;
  if (isRenamed) target.name = source.name;
  if (source.configType.case !== "typedConfig") return isRenamed;
  const value = mergeAny(target.configType.value as Any, source.configType.value as Any, options);
  if (value !== undefined) target.configType = { case: "typedConfig", value };
  return isRenamed || value !== undefined;
}
