// A resource as bytes: encoded once as `google.protobuf.Any`, named by its content, shared by every proxy and every
// stream that receives the same content.
import { createHash } from "node:crypto";
import { type DescMessage, isMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Interned } from "#base/interned.ts";
import { layered, layersOf } from "#base/layered-map.ts";
import type { AppliedPatches } from "#mesh/compile/compile.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import type { Piece } from "./pieces.ts";
import { originsOf } from "./resource-origins.ts";
import { routeConfigurationBytes } from "./route-bytes.ts";

export interface EncodedResource {
  readonly name: string;
  /** Hash of the content: equal versions mean equal bytes. */
  readonly version: string;
  /** A whole `google.protobuf.Any`, without the tag and length that stand before it in a response. */
  readonly any: EncodedAny;
  /** Keys of the user's objects that it was made from. */
  readonly origins: readonly string[];
}

/** Bytes, the large ones in pieces that others have in common with it. */
export interface EncodedAny {
  readonly length: number;
  readonly head: Buffer;
  /** What comes after the head. */
  readonly pieces: readonly Piece[];
}

export type ResourcesByName = ReadonlyMap<string, EncodedResource>;

/** A message of any kind: what it is known by, and what is only asked for when it is new. */
interface ResourceSource {
  readonly message: object;
  /** With the pieces that come after them, if any. */
  readonly bytes: () => Uint8Array | { readonly head: Uint8Array; readonly pieces: readonly Piece[] };
  readonly origins: () => readonly string[];
}

/** Everything one proxy should have, by type URL. */
export interface ProxyResources {
  /** Of the snapshot that it was compiled from. */
  readonly snapshotVersion: string;
  readonly byType: ReadonlyMap<string, ResourcesByName>;
  /** Secrets stand apart: each is made when the proxy asks for its name, and only for who may have it. */
  readonly secret: SecretLookup;
  /** Which patches of EnvoyFilters changed something; absent where none could. */
  readonly patches?: AppliedPatches;
}

/** Undefined: there is none for this proxy. "undecided": nobody knows yet whether it may have it. */
export type SecretLookup = (name: string) => EncodedResource | "undecided" | undefined;

const noSecrets: SecretLookup = () => undefined;

export const noResources: ProxyResources = { snapshotVersion: "", byType: new Map(), secret: noSecrets };

/**
 * Encodes messages and keeps one copy of equal content: of a resource, and of a whole set of them. What nobody holds any
 * more is collected; what was encoded from the same message object is not encoded again.
 */
export class ResourceEncoder {
  readonly #byMessage = new WeakMap<object, EncodedResource>();
  readonly #resources = new Interned<EncodedResource>();
  readonly #sets = new Interned<ResourcesByName>();
  readonly #byMessages = new WeakMap<ReadonlyMap<string, object>, ResourcesByName>();
  /** The last replacement in a set: proxies that share it all need the same one. */
  readonly #replacements = new WeakMap<ResourcesByName, { readonly key: string; readonly made: ResourcesByName }>();

  encode<D extends DescMessage>(typeUrl: string, schema: D, name: string, message: MessageShape<D>): EncodedResource {
    return this.encodeSource(typeUrl, name, {
      message,
      bytes: () =>
        isMessage(message, RouteConfigurationSchema) ? routeConfigurationBytes(message) : toBinary(schema, message),
      origins: () => originsOf(message),
    });
  }

  encodeSource(typeUrl: string, name: string, source: ResourceSource): EncodedResource {
    const known = this.#byMessage.get(source.message);
    if (known !== undefined && known.name === name) return known;
    const any = encodeAny(typeUrl, source.bytes());
    const hash = createHash("sha256").update(any.head);
    for (const piece of any.pieces) hash.update(piece.hash);
    const version = hash.digest("base64url").slice(0, 22);
    const make = (): EncodedResource => ({ name, version, any, origins: source.origins() });
    const resource = this.#resources.get(`${version} ${name}`, make);
    this.#byMessage.set(source.message, resource);
    return resource;
  }

  encodeSources(typeUrl: string, sources: ReadonlyMap<string, ResourceSource>): ResourcesByName {
    const resources = new Map<string, EncodedResource>();
    for (const [name, source] of sources) resources.set(name, this.encodeSource(typeUrl, name, source));
    return this.#sets.get(versionOf(resources), () => resources);
  }

  /** Layer by layer: what is encoded of a layer is kept as long as the layer. */
  encodeAll<D extends DescMessage>(
    typeUrl: string,
    schema: D,
    messages: ReadonlyMap<string, MessageShape<D>>,
  ): ResourcesByName {
    const layers = layersOf(messages).map((layer) => this.#encodeLayer(typeUrl, schema, layer));
    return layers.reduce((shared, own) => this.#join(shared, own));
  }

  /** A shared layer, with what stood beside the shared layer of another set. */
  withOwnOf(shared: ResourcesByName, other: ResourcesByName | undefined): ResourcesByName {
    return (other === undefined ? [] : layersOf(other).slice(1)).reduce((below, own) => this.#join(below, own), shared);
  }

  #join(shared: ResourcesByName, own: ResourcesByName): ResourcesByName {
    return this.#sets.get(`${versionOf(shared)} ${versionOf(own)}`, () => layered(shared, own));
  }

  #encodeLayer<D extends DescMessage>(
    typeUrl: string,
    schema: D,
    messages: ReadonlyMap<string, MessageShape<D>>,
  ): ResourcesByName {
    const known = this.#byMessages.get(messages);
    if (known !== undefined) return known;
    const resources = new Map<string, EncodedResource>();
    for (const [name, message] of messages) resources.set(name, this.encode(typeUrl, schema, name, message));
    const set = this.#sets.get(versionOf(resources), () => resources);
    this.#byMessages.set(messages, set);
    return set;
  }

  /** How many contents are shared now. */
  counts(): { readonly resources: number; readonly sets: number } {
    return { resources: this.#resources.size, sets: this.#sets.size };
  }

  /** The set with other clusters or endpoints of some hosts, in the layer that proxies share. */
  exchange(set: ResourcesByName, hostnames: ReadonlySet<string>, replaced: ResourcesByName): ResourcesByName {
    const shared = layersOf(set)[0] ?? set;
    const key = `${[...hostnames].join()} ${versionOf(replaced)}`;
    const known = this.#replacements.get(shared);
    const next = known?.key === key ? known.made : this.#exchanged(shared, hostnames, replaced);
    if (next !== known?.made) this.#replacements.set(shared, { key, made: next });
    return next === shared ? set : this.withOwnOf(next, set);
  }

  /** In the order of a whole compilation, as far as services come last: clusters of no host stand behind theirs. */
  #exchanged(set: ResourcesByName, hostnames: ReadonlySet<string>, replaced: ResourcesByName): ResourcesByName {
    const left = new Map(replaced);
    const ofHosts: EncodedResource[] = [];
    const others: EncodedResource[] = [];
    for (const resource of set.values()) {
      const host = hostOfCluster(resource.name);
      const next = host !== undefined && hostnames.has(host) ? left.get(resource.name) : resource;
      left.delete(resource.name);
      if (next !== undefined) (host === undefined ? others : ofHosts).push(next);
    }
    const next = new Map([...ofHosts, ...left.values(), ...others].map((resource) => [resource.name, resource]));
    return this.#sets.get(versionOf(next), () => next);
  }

  /** The set with some resources replaced; the same set when nothing differs. */
  replace(set: ResourcesByName, replaced: ResourcesByName): ResourcesByName {
    const key = versionOf(replaced);
    const known = this.#replacements.get(set);
    if (known !== undefined && known.key === key) return known.made;
    const differs = [...replaced.values()].some(({ name, version }) => set.get(name)?.version !== version);
    const next = differs ? new Map([...set, ...replaced]) : set;
    const made = differs ? this.#sets.get(versionOf(next), () => next) : set;
    this.#replacements.set(set, { key, made });
    return made;
  }
}

/** `outbound|80|v1|reviews.default.svc.cluster.local` and `outbound_.80_.v1_.reviews.default...` are of reviews. */
export function hostOfCluster(name: string): string | undefined {
  const sni = name.lastIndexOf("_.");
  const at = Math.max(name.lastIndexOf("|"), sni === -1 ? -1 : sni + 1);
  return at === -1 ? undefined : name.slice(at + 1);
}

const versions = new WeakMap<ResourcesByName, string>();

/** Names may have several contents over time, and one content several names. */
function versionOf(resources: ResourcesByName): string {
  let version = versions.get(resources);
  if (version === undefined) {
    const hash = createHash("sha256");
    for (const resource of resources.values()) hash.update(`${resource.name} ${resource.version}\n`);
    version = hash.digest("base64url");
    versions.set(resources, version);
  }
  return version;
}

function encodeAny(typeUrl: string, value: ReturnType<ResourceSource["bytes"]>): EncodedAny {
  const { head, pieces } = value instanceof Uint8Array ? { head: value, pieces: [] } : value;
  const rest = pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const url = Buffer.from(typeUrl, "utf8");
  const start = [Buffer.of(0x0a), varint(url.length), url, Buffer.of(0x12), varint(head.length + rest), head];
  const joined = Buffer.concat(start);
  return { length: joined.length + rest, head: joined, pieces };
}

export function anyBytes({ head, pieces }: EncodedAny): Buffer {
  return pieces.length === 0 ? head : Buffer.concat([head, ...pieces.map(({ bytes }) => bytes)]);
}

/** Protobuf's variable-length form of a size below 2^31. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left >>>= 7) bytes.push((left & 0x7f) | 0x80);
  bytes.push(left);
  return Buffer.from(bytes);
}
