// All resources of one xDS type: the wire bytes as they were accepted (for the admin API), what they were decoded to,
// and which updates were refused.
import type { Any } from "@bufbuild/protobuf/wkt";

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
