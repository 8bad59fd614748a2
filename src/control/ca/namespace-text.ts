// One key of one ConfigMap that is to be alike in every namespace: what is there, what was written last, and writing it.
import { hasCode } from "#base/error.ts";
import type { Clock } from "#base/time/clock.ts";
import { catalogKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient, ObjectKey } from "../sources/kubernetes/client.ts";

export interface NamespaceTextOptions {
  readonly client: KubernetesClient;
  readonly clock: Clock;
  readonly configMap: string;
  readonly key: string;
  /** In words, for the log. */
  readonly what: string;
  readonly text: () => string;
}

const configMaps = catalogKind("v1", "ConfigMap");
const contestedForMs = 2000;

export class NamespaceText {
  readonly #options: NamespaceTextOptions;
  readonly #textByNamespace = new Map<string, string>();
  /** What was written last, and when. */
  readonly #written = new Map<string, { readonly text: string; readonly atMs: number }>();

  constructor(options: NamespaceTextOptions) {
    this.#options = options;
  }

  get what(): string {
    return this.#options.what;
  }

  get fieldSelector(): string {
    return `metadata.name=${this.#options.configMap}`;
  }

  replace(objects: readonly KubernetesObject[]): void {
    this.#textByNamespace.clear();
    for (const object of objects) this.apply(object);
  }

  apply(object: KubernetesObject): void {
    const { configMap, key } = this.#options;
    if (object.metadata.name !== configMap) return;
    const data = object["data"] as Readonly<Record<string, unknown>> | undefined;
    this.#textByNamespace.set(object.metadata.namespace ?? "", String(data?.[key] ?? ""));
  }

  remove(object: KubernetesObject): void {
    if (object.metadata.name === this.#options.configMap) {
      this.#textByNamespace.delete(object.metadata.namespace ?? "");
    }
  }

  /** The namespace is gone. */
  forget(namespace: string): void {
    this.#written.delete(namespace);
  }

  isDue(namespace: string): boolean {
    return this.#textByNamespace.get(namespace) !== this.#options.text();
  }

  /** Somebody has just replaced what we wrote (a replica that is a step behind): who answers at once never ends. */
  isContested(namespace: string): boolean {
    const { clock, text } = this.#options;
    const written = this.#written.get(namespace);
    if (!this.#textByNamespace.has(namespace)) return false;
    return written?.text === text() && clock.now() - written.atMs <= contestedForMs;
  }

  async write(namespace: string): Promise<void> {
    const { client, clock, configMap, key } = this.#options;
    const where: ObjectKey = { name: configMap, namespace };
    const text = this.#options.text();
    try {
      await client.patch(configMaps, where, { data: { [key]: text } });
    } catch (error) {
      if (!hasCode(error, "API_NOT_FOUND")) throw error;
      await this.#create(where, text);
    }
    this.#textByNamespace.set(namespace, text);
    this.#written.set(namespace, { text, atMs: clock.now() });
  }

  async #create(where: ObjectKey, text: string): Promise<void> {
    const { client, key } = this.#options;
    try {
      await client.create(configMaps, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { ...where, labels: { "istio.io/config": "true" } },
        data: { [key]: text },
      });
    } catch (error) {
      // Gone with its namespace, or written by another replica: both are looked at again when their event comes.
      if (!hasCode(error, "API_NOT_FOUND") && !hasCode(error, "API_ALREADY_EXISTS")) throw error;
    }
  }
}
