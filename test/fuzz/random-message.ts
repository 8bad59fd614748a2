// Protobuf messages nobody would write: every field of a message may be set, to values at the edges of its type, and what
// is packed in an Any may be any message that configuration knows.
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  type Registry,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";

export type Random = () => number;

/** A repeatable stream of draws from [0, 1). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

const texts: readonly string[] = [
  "",
  "a",
  "*",
  "*.a",
  "a.*",
  "/",
  "/a/b",
  "(a+)+$",
  "[",
  "\\1",
  "%REQ(X)%",
  "%",
  "1.2.3.4",
  "::1",
  "10.0.0.0",
  "__proto__",
  "x-a: b\r\nc",
  "\0",
  "http/1.1",
  "a".repeat(5000),
  "\u{1f600}",
  ":path",
  "envoy.filters.http.router",
];
const numbers: readonly number[] = [0, 1, 2, 8, 32, 33, 100, 101, 128, 129, 443, 65_535, 65_536, 2 ** 31 - 1];

const maxDepth = 7;

export class MessageMaker {
  readonly #random: Random;
  readonly #packable: readonly DescMessage[];

  constructor(random: Random, registry: Registry) {
    this.#random = random;
    this.#packable = [...registry].filter((it) => it.kind === "message");
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#below(values.length)] as T;
  }

  make(desc: DescMessage, depth = 0): Message {
    const message = reflect(desc, create(desc), false);
    if (desc.typeName === AnySchema.typeName) return this.#any(depth);
    // Few fields of many: a message in which everything is set is refused for the first of them.
    const wanted = depth >= maxDepth ? 0 : 1 + this.#below(4);
    for (let i = 0; i < wanted && desc.fields.length > 0; i++) this.#set(message, this.#pick(desc.fields), depth);
    return message.message;
  }

  /** Changes a few things in a message, at any depth. */
  change(desc: DescMessage, message: Message, depth = 0): void {
    if (desc.typeName === AnySchema.typeName && this.#random() < 0.9 && this.#changePacked(message as Any, depth))
      return;
    const inside = reflect(desc, message, false);
    const set = desc.fields.filter((field) => inside.isSet(field));
    const nested = set.filter((field) => field.message !== undefined);
    if (nested.length > 0 && this.#random() < 0.8) this.#changeInside(inside, this.#pick(nested), depth);
    else if (set.length > 0 && this.#random() < 0.2) inside.clear(this.#pick(set));
    else if (desc.fields.length > 0) this.#set(inside, this.#pick(desc.fields), depth);
  }

  #changePacked(any: Any, depth: number): boolean {
    const desc = this.#packable.find((it) => any.typeUrl.endsWith(`/${it.typeName}`));
    if (desc === undefined) return false;
    try {
      const content = fromBinary(desc, any.value);
      this.change(desc, content, depth + 1);
      any.value = toBinary(desc, content);
      return true;
    } catch {
      return false; // what was packed has been damaged before
    }
  }

  #changeInside(message: ReflectMessage, field: DescField, depth: number): void {
    if (field.fieldKind === "message") {
      this.change(field.message, message.get(field).message, depth + 1);
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      const items = [...message.get(field)] as ReflectMessage[];
      const item = this.#pick(items);
      this.change(field.message, item.message, depth + 1);
    } else {
      this.#set(message, field, depth);
    }
  }

  #set(message: ReflectMessage, field: DescField, depth: number): void {
    switch (field.fieldKind) {
      case "scalar":
        message.set(field, this.#scalar(field.scalar));
        return;
      case "enum":
        message.set(field, this.#random() < 0.8 ? this.#pick(field.enum.values).number : this.#pick(numbers));
        return;
      case "message":
        message.set(field, reflect(field.message, this.make(field.message, depth + 1), false));
        return;
      case "list": {
        const list = message.get(field);
        for (let i = 1 + this.#below(2); i > 0; i--) {
          if (field.listKind === "scalar") list.add(this.#scalar(field.scalar));
          else if (field.listKind === "enum") list.add(this.#pick(field.enum.values).number);
          else list.add(reflect(field.message, this.make(field.message, depth + 1), false));
        }
        return;
      }
      case "map": {
        const map = message.get(field);
        const key = field.mapKey === ScalarType.STRING ? this.#pick(texts) : 1;
        if (field.mapKind === "scalar") map.set(key, this.#scalar(field.scalar));
        else if (field.mapKind === "enum") map.set(key, this.#pick(field.enum.values).number);
        else map.set(key, reflect(field.message, this.make(field.message, depth + 1), false));
      }
    }
  }

  #scalar(type: ScalarType): unknown {
    switch (type) {
      case ScalarType.STRING:
        return this.#pick(texts);
      case ScalarType.BOOL:
        return this.#random() < 0.5;
      case ScalarType.BYTES:
        return Buffer.from(this.#pick(texts));
      case ScalarType.DOUBLE:
      case ScalarType.FLOAT:
        return this.#pick([0, -1, 0.5, 100, Number.NaN, Number.POSITIVE_INFINITY, 1e30]);
      case ScalarType.INT64:
      case ScalarType.SINT64:
      case ScalarType.SFIXED64:
        return BigInt(this.#pick([...numbers, -1, 2 ** 53])) * (this.#random() < 0.1 ? 1023n : 1n);
      case ScalarType.UINT64:
      case ScalarType.FIXED64:
        return BigInt(this.#pick([...numbers, 2 ** 53]));
      case ScalarType.UINT32:
      case ScalarType.FIXED32:
        return this.#pick([...numbers, 2 ** 32 - 1]);
      default:
        return this.#pick([...numbers, -1]);
    }
  }

  #any(depth: number): Any {
    const desc = this.#pick(this.#packable);
    const value =
      this.#random() < 0.1 ? Buffer.from(this.#pick(texts)) : toBinary(desc, this.make(desc, Math.max(depth, 3)));
    return create(AnySchema, { typeUrl: `type.googleapis.com/${desc.typeName}`, value });
  }
}
