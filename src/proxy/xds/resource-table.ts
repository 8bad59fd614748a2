// All resources of one xDS type: the wire bytes as they were accepted (for the admin API), what they were decoded to,
// and which updates were refused.
import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { PackedBytes } from "./packed-bytes.ts";

export interface HeldResource<T> {
  readonly name: string;
  readonly version: string;
  readonly any: Any;
  readonly value: T;
  readonly lastUpdatedMs: number;
}

export interface RefusedResource {
  readonly name: string;
  readonly version: string;
  readonly reason: string;
  readonly lastAttemptMs: number;
}

export class ResourceTable<T> {
  readonly #held = new Map<string, HeldResource<T>>();
  readonly #refused = new Map<string, RefusedResource>();
  /** The server's version of the type, as of the last response. */
  version = "";
  lastUpdatedMs = 0;
  acceptedUpdates = 0;
  refusedUpdates = 0;

  get(name: string): HeldResource<T> | undefined {
    return this.#held.get(name);
  }

  /** The server says the same again, under another version. */
  confirm(name: string, version: string): void {
    const held = this.#held.get(name);
    if (held instanceof PackedResource) held.version = version;
    else if (held !== undefined) this.#held.set(name, { ...held, version });
  }

  /** Keeps the bytes of these small until somebody asks for them. */
  pack(names: readonly string[]): void {
    const held = names.flatMap((name) => this.#held.get(name) ?? []);
    const bytes = new PackedBytes(held.map(({ any }) => any.value));
    for (const [i, resource] of held.entries()) this.#held.set(resource.name, new PackedResource(resource, bytes, i));
  }

  set(resource: HeldResource<T>): void {
    this.#held.set(resource.name, resource);
    this.#refused.delete(resource.name);
  }

  delete(name: string): boolean {
    this.#refused.delete(name);
    return this.#held.delete(name);
  }

  /** Notes a refused update; what was accepted before stays. */
  refuse(refused: RefusedResource): void {
    this.#refused.set(refused.name, refused);
  }

  values(): IterableIterator<HeldResource<T>> {
    return this.#held.values();
  }

  refusals(): IterableIterator<RefusedResource> {
    return this.#refused.values();
  }

  names(): string[] {
    return [...this.#held.keys()];
  }

  get size(): number {
    return this.#held.size;
  }
}

class PackedResource<T> implements HeldResource<T> {
  readonly name: string;
  version: string;
  readonly value: T;
  readonly lastUpdatedMs: number;
  readonly #typeUrl: string;
  readonly #bytes: PackedBytes;
  readonly #index: number;

  constructor({ name, version, value, lastUpdatedMs, any }: HeldResource<T>, bytes: PackedBytes, index: number) {
    this.name = name;
    this.version = version;
    this.value = value;
    this.lastUpdatedMs = lastUpdatedMs;
    this.#typeUrl = any.typeUrl;
    this.#bytes = bytes;
    this.#index = index;
  }

  get any(): Any {
    return create(AnySchema, { typeUrl: this.#typeUrl, value: this.#bytes.part(this.#index) });
  }
}
