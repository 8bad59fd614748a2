// Configuration from an API server: one reflector per kind that the mesh looks at. A kind that the server does not have
// counts as empty.
import type { Issue } from "#base/issue.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { type CatalogEntry, catalog } from "#mesh/catalog.ts";
import { infrastructureParts } from "#mesh/kinds/config-map/spec.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { type ConfigSource, type ObjectIdentity, type SourceChange, SourceObjects } from "../config-source.ts";
import type { KubernetesClient, Selection } from "./client.ts";
import { Reflector } from "./reflector.ts";
import { withoutOtherContent } from "./secret-content.ts";

export interface KubernetesSourceOptions {
  readonly client: KubernetesClient;
  /** Where the mesh's own ConfigMaps are. */
  readonly rootNamespace: string;
  readonly log: Logger;
  readonly clock: Clock;
}

/** On ConfigMaps by which replicas of the control plane tell each other of their proxies: no configuration. */
export const reportLabel = "outrigger.dev/distribution-report";

/** Types of Secrets that are many, and never hold the certificates of a gateway or what pulls a module. */
const unwantedSecrets = [
  "kubernetes.io/service-account-token",
  "kubernetes.io/dockercfg",
  "helm.sh/release.v1",
  "bootstrap.kubernetes.io/token",
]
  .map((type) => `type!=${type}`)
  .join(",");

const keysOfMaps = ["ca.crt", "cacert", ...infrastructureParts];

const watchedKinds: ReadonlySet<string> = new Set([
  "Namespace",
  "Node",
  "Pod",
  "Service",
  "ServiceAccount",
  "EndpointSlice",
]);

export class KubernetesSource implements ConfigSource {
  readonly name = "kubernetes";
  readonly #options: KubernetesSourceOptions;
  readonly #objects = new SourceObjects();
  readonly #reflectors: Reflector[] = [];

  constructor(options: KubernetesSourceOptions) {
    this.#options = options;
  }

  async start(onChange: (changes: readonly SourceChange[]) => void): Promise<void> {
    const started = this.#watches().map(([kind, selection]) => this.#startReflector(kind, selection, onChange));
    await Promise.all(started);
  }

  objects(): ReturnType<SourceObjects["values"]> {
    return this.#objects.values();
  }

  stored(object: ObjectIdentity): KubernetesObject | undefined {
    return this.#objects.find(object)?.object;
  }

  issues(): readonly Issue[] {
    return [];
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
  }

  #watches(): [CatalogEntry, Selection][] {
    const watches: [CatalogEntry, Selection][] = [];
    for (const kind of catalog) {
      if (kind.mesh || watchedKinds.has(kind.kind)) watches.push([kind, {}]);
      if (kind.kind === "ConfigMap") watches.push([kind, { labelSelector: `!${reportLabel}` }]);
      if (kind.kind === "Secret") watches.push([kind, { fieldSelector: unwantedSecrets }]);
    }
    return watches;
  }

  /** Of the many ConfigMaps of a cluster those are kept that hold settings of the mesh, trusted roots or parameters. */
  #isWantedMap(object: KubernetesObject): boolean {
    if (object.metadata.namespace === this.#options.rootNamespace) return true;
    const data = object["data"];
    return typeof data === "object" && data !== null && keysOfMaps.some((key) => key in data);
  }

  #startReflector(
    kind: CatalogEntry,
    selection: Selection,
    onChange: (changes: readonly SourceChange[]) => void,
  ): Promise<void> {
    const { client, log, clock } = this.#options;
    const belongs = (object: KubernetesObject): boolean =>
      object.kind === kind.kind &&
      groupOf(object) === kind.group &&
      (selection.namespace === undefined || object.metadata.namespace === selection.namespace);
    const report = (changes: readonly SourceChange[]): void => {
      if (changes.length > 0) onChange(changes);
    };
    const isWanted = (object: KubernetesObject): boolean => kind.kind !== "ConfigMap" || this.#isWantedMap(object);
    const one = (change: SourceChange | undefined): void => report(change === undefined ? [] : [change]);
    const reflector = new Reflector({
      client,
      kind,
      selection,
      log,
      clock,
      handlers: {
        replace: (objects) =>
          report(
            this.#objects.replace(
              objects.filter(isWanted).map((object) => ({ object: withoutOtherContent(object) })),
              belongs,
            ),
          ),
        apply: (object) =>
          one(
            isWanted(object)
              ? this.#objects.put({ object: withoutOtherContent(object) })
              : this.#objects.delete(object),
          ),
        remove: (object) => one(this.#objects.delete(object)),
      },
    });
    this.#reflectors.push(reflector);
    return reflector.start();
  }
}

function groupOf(object: KubernetesObject): string {
  const slash = object.apiVersion.indexOf("/");
  return slash === -1 ? "" : object.apiVersion.slice(0, slash);
}
