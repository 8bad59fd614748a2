// Values that a module reads by path, as `request`, `headers`, `user-agent`. They cross the border in the form that Envoy
// gives its attributes: texts as they are, integers, times and durations as 64 bits (times and durations in
// nanoseconds), numbers as doubles, booleans as one byte, maps and lists as pairs, messages as protobuf.
import { type DescMessage, isMessage, type Message, type MessageShape, toBinary, toJson } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { encodePairs, type Pair } from "./pairs.ts";

export type PropertyValue = string | bigint | number | boolean | Uint8Array | PropertyNode | readonly PropertyValue[];

/** Something with named parts. */
export interface PropertyNode {
  get(name: string): PropertyValue | undefined;
  /** The whole; null when it can only be read part by part. */
  encode(): Buffer | null;
}

/** Follows a path from a value; undefined where there is nothing. */
export function propertyAt(start: PropertyValue | undefined, path: readonly string[]): PropertyValue | undefined {
  let value = start;
  for (const name of path) {
    if (Array.isArray(value)) {
      const items = value as readonly PropertyValue[];
      value = /^\d{1,9}$/.test(name) ? items[Number(name)] : undefined;
    } else if (isNode(value)) {
      value = value.get(name);
    } else {
      return undefined;
    }
    if (value === undefined) return undefined;
  }
  return value;
}

function isNode(value: PropertyValue | undefined): value is PropertyNode {
  return typeof value === "object" && "encode" in value;
}

/** Null when the value has no serialized form. */
export function encodeProperty(value: PropertyValue): Buffer | null {
  switch (typeof value) {
    case "string":
      return Buffer.from(value, "utf8");
    case "bigint": {
      const out = Buffer.allocUnsafe(8);
      out.writeBigUInt64LE(BigInt.asUintN(64, value));
      return out;
    }
    case "number": {
      const out = Buffer.allocUnsafe(8);
      out.writeDoubleLE(value);
      return out;
    }
    case "boolean":
      return Buffer.of(value ? 1 : 0);
    default:
      if (value instanceof Uint8Array) return Buffer.from(value);
      return isNode(value) ? value.encode() : encodeList(value);
  }
}

/** A list is encoded as a map from its items to nothing. */
function encodeList(items: readonly PropertyValue[]): Buffer | null {
  const pairs: Pair[] = [];
  for (const item of items) {
    const encoded = encodeProperty(item);
    if (encoded === null) return null;
    pairs.push([encoded.toString("latin1"), ""]);
  }
  return encodePairs(pairs);
}

/** Named parts that are read on demand; `names` are those of the whole. */
export function propertyMap(
  names: readonly string[] | null,
  get: (name: string) => PropertyValue | undefined,
): PropertyNode {
  return {
    get,
    encode: () => {
      if (names === null) return null;
      const pairs: Pair[] = [];
      for (const name of names) {
        const value = get(name);
        if (value === undefined) continue;
        const encoded = encodeProperty(value);
        if (encoded === null) return null;
        pairs.push([Buffer.from(name, "utf8").toString("latin1"), encoded.toString("latin1")]);
      }
      return encodePairs(pairs);
    },
  };
}

/** Plain data, as filters write metadata. */
export function propertyFromJson(value: unknown): PropertyValue | undefined {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) return value.flatMap((item) => propertyFromJson(item) ?? []);
  const record = value as Readonly<Record<string, unknown>>;
  return propertyMap(Object.keys(record), (name) =>
    Object.hasOwn(record, name) ? propertyFromJson(record[name]) : undefined,
  );
}

/** A message by its field names. */
export function propertyFromMessage<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): PropertyNode {
  return {
    get: (name) => {
      const field = schema.fields.find((it) => it.name === name);
      if (field === undefined) return undefined;
      return fieldProperty(reflect(schema, message), field);
    },
    encode: () => Buffer.from(toBinary(schema, message)),
  };
}

function fieldProperty(message: ReflectMessage, field: DescMessage["fields"][number]): PropertyValue | undefined {
  if (field.fieldKind === "list") {
    return [...message.get(field)].flatMap((item) => singleProperty(item) ?? []);
  }
  if (field.fieldKind === "map") {
    const map = message.get(field);
    return propertyMap([...map.keys()].map(String), (name) => singleProperty(map.get(name)));
  }
  return singleProperty(message.get(field));
}

function singleProperty(value: unknown): PropertyValue | undefined {
  if (typeof value === "bigint" || value instanceof Uint8Array) return value;
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (!isReflected(value)) return propertyFromJson(value);
  const { message, desc } = value;
  if (isMessage(message, StructSchema)) return propertyFromJson(toJson(StructSchema, message));
  return propertyFromMessage(desc, message);
}

function isReflected(value: unknown): value is { readonly message: Message; readonly desc: DescMessage } {
  return typeof value === "object" && value !== null && "message" in value && "desc" in value;
}
