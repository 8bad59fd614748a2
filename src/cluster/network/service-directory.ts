// Services with their EndpointSlices as they are now, for whoever acts on them: the rules, the DNS server, the host's
// forwarded ports. One watch on each of the two resources.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { endpointSlices, services } from "../store/resources.ts";
import type { ObjectStore, WatchEvent } from "../store/store.ts";
import { serviceKeyOfSlice } from "./service-endpoints.ts";
import type { ServiceView } from "./service-rules.ts";

export class ServiceDirectory {
  readonly #services = new Map<string, KubernetesObject>();
  readonly #slicesByService = new Map<string, Map<string, KubernetesObject>>();
  readonly #listeners = new Set<() => void>();
  readonly #unwatch: readonly (() => void)[];

  constructor(store: ObjectStore) {
    for (const service of store.list(services).items) this.#services.set(keyOf(service), service);
    for (const slice of store.list(endpointSlices).items) this.#putSlice(slice);
    const fromVersion = store.resourceVersion;
    this.#unwatch = [
      store.watch(services, { fromVersion }, (event) => this.#onService(event)),
      store.watch(endpointSlices, { fromVersion }, (event) => this.#onSlice(event)),
    ];
  }

  get(namespace: string, name: string): ServiceView | undefined {
    const key = `${namespace}/${name}`;
    const service = this.#services.get(key);
    return service === undefined ? undefined : { service, slices: this.#slices(key) };
  }

  all(): ServiceView[] {
    return [...this.#services].map(([key, service]) => ({ service, slices: this.#slices(key) }));
  }

  hasNamespace(namespace: string): boolean {
    return [...this.#services.keys()].some((key) => key.startsWith(`${namespace}/`));
  }

  /** Calls back after each change; returns the unsubscribe function. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    for (const unwatch of this.#unwatch) unwatch();
    this.#listeners.clear();
  }

  #slices(key: string): KubernetesObject[] {
    return [...(this.#slicesByService.get(key)?.values() ?? [])];
  }

  #putSlice(slice: KubernetesObject): void {
    const key = serviceKeyOfSlice(slice);
    const slices = this.#slicesByService.get(key) ?? new Map<string, KubernetesObject>();
    slices.set(slice.metadata.name, slice);
    this.#slicesByService.set(key, slices);
  }

  #onService(event: WatchEvent): void {
    if (event.type === "BOOKMARK") return;
    if (event.type === "DELETED") this.#services.delete(keyOf(event.object));
    else this.#services.set(keyOf(event.object), event.object);
    this.#changed();
  }

  #onSlice(event: WatchEvent): void {
    if (event.type === "BOOKMARK") return;
    const key = serviceKeyOfSlice(event.object);
    if (event.type === "DELETED") {
      const slices = this.#slicesByService.get(key);
      slices?.delete(event.object.metadata.name);
      if (slices?.size === 0) this.#slicesByService.delete(key);
    } else {
      this.#putSlice(event.object);
    }
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

function keyOf(object: KubernetesObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}
