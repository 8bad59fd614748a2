// A resource as bytes: encoded once as `google.protobuf.Any`, named by its content, shared by every proxy and every
// stream that receives the same content.
import { createHash } from "node:crypto";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { originsOf } from "./resource-origins.ts";

export interface EncodedResource {
  readonly name: string;
  /** Hash of the content: equal versions mean equal bytes. */
  readonly version: string;
  /** A whole `google.protobuf.Any`, without the tag and length that stand before it in a response. */
  readonly any: Buffer;
  /** Keys of the user's objects that it was made from. */
  readonly origins: readonly string[];
}

export type ResourcesByName = ReadonlyMap<string, EncodedResource>;

/** A message of any kind: what it is known by, and what is only asked for when it is new. */
interface ResourceSource {
  readonly message: object;
  readonly bytes: () => Uint8Array;
  readonly origins: () => readonly string[];
}

/** Everything one proxy should have, by type URL. */
export interface ProxyResources {
  /** Of the snapshot that it was compiled from. */
  readonly snapshotVersion: string;
  readonly byType: ReadonlyMap<string, ResourcesByName>;
}

export const noResources: ProxyResources = { snapshotVersion: "", byType: new Map() };

/**
 * Encodes messages and keeps one copy of equal content. What nobody holds any more is collected; what was encoded from
 * the same message object is not encoded again.
 */
export class ResourceEncoder {
  readonly #byMessage = new WeakMap<object, EncodedResource>();
  readonly #byContent = new Map<string, WeakRef<EncodedResource>>();
  readonly #forget = new FinalizationRegistry<string>((key) => {
    if (this.#byContent.get(key)?.deref() === undefined) this.#byContent.delete(key);
  });

  encode<D extends DescMessage>(typeUrl: string, schema: D, name: string, message: MessageShape<D>): EncodedResource {
    return this.encodeSource(typeUrl, name, {
      message,
      bytes: () => toBinary(schema, message),
      origins: () => originsOf(message),
    });
  }

  encodeSource(typeUrl: string, name: string, source: ResourceSource): EncodedResource {
    const known = this.#byMessage.get(source.message);
    if (known !== undefined && known.name === name) return known;
    const any = encodeAny(typeUrl, source.bytes());
    const version = createHash("sha256").update(any).digest("base64url").slice(0, 22);
    const key = `${version} ${name}`;
    let resource = this.#byContent.get(key)?.deref();
    if (resource === undefined) {
      resource = { name, version, any, origins: source.origins() };
      this.#byContent.set(key, new WeakRef(resource));
      this.#forget.register(resource, key);
    }
    this.#byMessage.set(source.message, resource);
    return resource;
  }

  encodeAll<D extends DescMessage>(
    typeUrl: string,
    schema: D,
    messages: ReadonlyMap<string, MessageShape<D>>,
  ): ResourcesByName {
    const resources = new Map<string, EncodedResource>();
    for (const [name, message] of messages) resources.set(name, this.encode(typeUrl, schema, name, message));
    return resources;
  }
}

function encodeAny(typeUrl: string, value: Uint8Array): Buffer {
  const url = Buffer.from(typeUrl, "utf8");
  return Buffer.concat([Buffer.of(0x0a), varint(url.length), url, Buffer.of(0x12), varint(value.length), value]);
}

/** Protobuf's variable-length form of a size below 2^31. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left >>>= 7) bytes.push((left & 0x7f) | 0x80);
  bytes.push(left);
  return Buffer.from(bytes);
}
