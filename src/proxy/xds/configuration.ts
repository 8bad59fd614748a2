// Turns xDS updates into running configuration, make before break: a cluster is used when its endpoints are there, a
// route when its clusters are, a listener when its routes are; what is gone is removed after nothing leads to it any
// more. A refused resource leaves the one before in place. Knows no stream: ADS, a bootstrap file and tests feed it.

import { describeError, OutriggerError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import type { DeltaUpdate, Refusals } from "#wire/xds/delta-state.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { type ClusterConfig, type EndpointSet, plainEndpointSet } from "../config/cluster.ts";
import type { ExtensionConfig } from "../config/extension.ts";
import type { RouteConfig } from "../config/http.ts";
import type { ListenerConfig } from "../config/listener.ts";
import type { LocalNode } from "../config/local-node.ts";
import type { ProxyView } from "../decide/view.ts";
import { ReceivedResources } from "./received-resources.ts";
import {
  clustersOfListener,
  clustersOfRoutes,
  discoveriesOfListener,
  edsNameOf,
  type NeededSecrets,
  routesOfListener,
  secretsOfCluster,
  secretsOfListener,
} from "./references.ts";
import type { ResourceTable } from "./resource-table.ts";
import { Warming } from "./warming.ts";

/** The running parts that configuration is applied to. */
interface ConfigurationTargets {
  readonly clusters: {
    update(config: ClusterConfig): void;
    setEndpoints(set: EndpointSet): void;
    remove(name: string): void;
  };
  readonly routes: { set(config: RouteConfig): void; remove(name: string): void };
  readonly extensions: { set(config: ExtensionConfig): void; remove(name: string): void };
  readonly secrets: Pick<SecretStore, "setCertificate" | "setTrustedRoots" | "remove" | "setWanted">;
  /** An update that binds a socket ends when it is bound, and is rejected when it cannot be. */
  readonly listeners: { update(config: ListenerConfig): void | Promise<void>; remove(name: string): void };
}

/** After this time a listener that could not be bound is tried again. */
const bindRetryMs = 1000;

export interface ConfigurationOptions {
  readonly targets: ConfigurationTargets;
  readonly log: Logger;
  readonly clock: Clock;
  /** After this time of waiting for endpoints or routes that do not come, what waits is used without. 0 waits on. */
  readonly initialFetchTimeoutMs: number;
  /** How long a removed cluster may still be used by routes that name it. */
  readonly removalGraceMs: number;
  /** Whose endpoints are asked for although no cluster of the configuration needs them: the proxy's own peers. */
  readonly local?: LocalNode | null;
}

export class Configuration {
  readonly #options: ConfigurationOptions;
  readonly #received: ReceivedResources;
  /** What the targets run, by name. Differs from the tables while something warms or is being removed. */
  readonly #liveClusters = new Map<string, ClusterConfig>();
  readonly #liveEndpoints = new Map<string, EndpointSet>();
  readonly #liveRoutes = new Map<string, RouteConfig>();
  readonly #liveListeners = new Map<string, ListenerConfig>();
  readonly #liveExtensions = new Map<string, ExtensionConfig>();
  readonly #warming: Warming;
  readonly #removedAt = new Map<string, number>();
  /** Listeners whose socket is being bound now, and when others may be tried again. */
  readonly #binding = new Map<string, Promise<void>>();
  readonly #bindAgainAt = new Map<string, number>();
  readonly #seen = new Set<string>();
  readonly #changed = new Set<() => void>();
  readonly #updated = new Set<(update: DeltaUpdate) => void>();
  #cancelTimer: (() => void) | null = null;
  #isReady = false;

  constructor(options: ConfigurationOptions) {
    this.#options = options;
    const { clock, log, initialFetchTimeoutMs, targets } = options;
    this.#received = new ReceivedResources({ clock, log, secrets: targets.secrets });
    this.#warming = new Warming({ clock, log, timeoutMs: initialFetchTimeoutMs });
  }

  get clusters(): ResourceTable<ClusterConfig> {
    return this.#received.clusters;
  }

  get endpoints(): ResourceTable<EndpointSet> {
    return this.#received.endpoints;
  }

  get listeners(): ResourceTable<ListenerConfig> {
    return this.#received.listeners;
  }

  get routes(): ResourceTable<RouteConfig> {
    return this.#received.routes;
  }

  get extensions(): ResourceTable<ExtensionConfig> {
    return this.#received.extensions;
  }

  /** Takes an update: valid resources are kept and applied as soon as they are warm; answers which are refused. */
  accept(update: DeltaUpdate): Refusals {
    const refusals = this.#received.store(update, () => this.#discoveries());
    this.#seen.add(update.typeUrl);
    this.settle();
    for (const callback of this.#updated) callback(update);
    return refusals;
  }

  /** An extension could not be made ready: what waits for it goes on with its default, or lets nothing through. */
  missed(type: string, name: string): void {
    if (type !== typeUrl.extensionConfig || this.extensions.get(name) !== undefined) return;
    this.accept({ typeUrl: type, version: this.extensions.version, added: [], removed: [name] });
  }

  /** Calls back with every update that comes, whatever of it is refused. */
  onUpdate(callback: (update: DeltaUpdate) => void): void {
    this.#updated.add(callback);
  }

  /** EDS names that the clusters need. */
  wantedEndpoints(): Set<string> {
    const { local = null } = this.#options;
    const names = new Set<string>(local === null ? [] : [local.cluster]);
    for (const { value } of this.clusters.values()) {
      const name = edsNameOf(value);
      if (name !== null) names.add(name);
    }
    // A cluster that is on its way out keeps its endpoints up to date.
    for (const value of this.#liveClusters.values()) {
      const name = edsNameOf(value);
      if (name !== null) names.add(name);
    }
    return names;
  }

  /** RDS names that the listeners need. */
  wantedRoutes(): Set<string> {
    const names = new Set<string>();
    for (const { value } of this.listeners.values()) for (const name of routesOfListener(value)) names.add(name);
    for (const value of this.#liveListeners.values()) for (const name of routesOfListener(value)) names.add(name);
    return names;
  }

  /** ECDS names that filters of the listeners need. */
  wantedExtensions(): Set<string> {
    return new Set(this.#discoveries().flatMap((byName) => [...byName.keys()]));
  }

  #discoveries(): ReturnType<typeof discoveriesOfListener>[] {
    const listeners = [...this.listeners.values()].map(({ value }) => value);
    return [...listeners, ...this.#liveListeners.values()].map(discoveriesOfListener);
  }

  /** Names of secrets to ask the control plane for. */
  wantedSecrets(): Set<string> {
    return new Set(this.#neededSecrets().flatMap(({ overAds }) => overAds));
  }

  #neededSecrets(): NeededSecrets[] {
    const listeners = [...this.listeners.values()].map(({ value }) => value);
    const clusters = [...this.clusters.values()].map(({ value }) => value);
    return [
      ...[...listeners, ...this.#liveListeners.values()].flatMap(secretsOfListener),
      ...[...clusters, ...this.#liveClusters.values()].flatMap(secretsOfCluster),
    ];
  }

  /** True since the first complete configuration was applied. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Resolves when no socket is being bound; rejects when one could not be. */
  async bound(): Promise<void> {
    while (this.#binding.size > 0) await Promise.all(this.#binding.values());
    const failed = [...this.#bindAgainAt.keys()];
    if (failed.length > 0) throw new OutriggerError("LISTENER_BIND", `can't bind listener ${failed.join(", ")}`);
  }

  /** Calls back after something was applied; the returned function ends that. */
  onChange(callback: () => void): () => void {
    this.#changed.add(callback);
    return () => this.#changed.delete(callback);
  }

  isClusterLive(name: string): boolean {
    return this.#liveClusters.has(name);
  }

  isListenerLive(name: string): boolean {
    return this.#liveListeners.has(name);
  }

  /** What runs now, for the evaluator. */
  view(): ProxyView {
    return {
      listeners: this.#liveListeners,
      routes: this.#liveRoutes,
      clusters: this.#liveClusters,
      endpoints: this.#liveEndpoints,
      extensions: this.#liveExtensions,
      local: this.#options.local ?? null,
    };
  }

  /** Names that wait, as `cluster x waits for endpoints`; for logs and the admin API. */
  waiting(): string[] {
    return this.#warming.names();
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#changed.clear();
  }

  /** Applies everything that has become possible, in the order clusters, endpoints, routes, listeners, removals. */
  settle(): void {
    this.#warming.begin();
    this.#applyClusters();
    // Before the first CDS answer nothing can be said about the clusters that routes name.
    if (this.#seen.has(typeUrl.cluster)) {
      this.#applyRoutes();
      this.#applyExtensions();
      this.#applyListeners();
    }
    this.#removeOld();
    this.#followSecrets();
    const isWarm = this.#warming.end();
    if (!this.#isReady && this.#seen.has(typeUrl.cluster) && this.#seen.has(typeUrl.listener)) {
      this.#isReady = isWarm && this.#binding.size === 0 && this.#bindAgainAt.size === 0;
    }
    this.#schedule();
    for (const callback of this.#changed) callback();
  }

  /** Listeners and clusters go without a secret that is missing; only the first readiness waits for answers. */
  #followSecrets(): void {
    const { secrets } = this.#options.targets;
    const needed = this.#neededSecrets();
    const overAds = new Set(needed.flatMap((it) => it.overAds));
    for (const name of this.#received.answeredSecrets) {
      if (overAds.has(name)) continue;
      this.#received.answeredSecrets.delete(name);
      secrets.remove(name);
    }
    secrets.setWanted(new Set(needed.flatMap(({ all }) => all)));
    if (this.#isReady) return;
    for (const name of overAds)
      if (!this.#received.answeredSecrets.has(name)) this.#warming.mustWait(`secret ${name} is asked for`);
  }

  #applyClusters(): void {
    const { clusters } = this.#options.targets;
    for (const { name, value } of this.endpoints.values()) {
      if (this.#liveEndpoints.get(name) === value) continue;
      this.#liveEndpoints.set(name, value);
      this.#apply(`endpoints of ${name}`, () => clusters.setEndpoints(value));
    }
    for (const name of this.#received.absentEndpoints) this.#dropEndpoints(name);
    for (const { name, value } of this.clusters.values()) {
      this.#removedAt.delete(name);
      if (this.#liveClusters.get(name) === value) continue;
      const eds = edsNameOf(value);
      const isWarm = eds === null || this.#liveEndpoints.has(eds) || this.#received.absentEndpoints.has(eds);
      if (!isWarm && this.#warming.mustWait(`cluster ${name} waits for its endpoints`)) continue;
      this.#liveClusters.set(name, value);
      this.#apply(`cluster ${name}`, () => clusters.update(value));
    }
  }

  /** Endpoints that the server says do not exist: the cluster goes on, with none. */
  #dropEndpoints(name: string): void {
    if (!this.#liveEndpoints.has(name)) return;
    const none = plainEndpointSet(name, []);
    this.#liveEndpoints.delete(name);
    this.#apply(`endpoints of ${name}`, () => this.#options.targets.clusters.setEndpoints(none));
  }

  #applyRoutes(): void {
    for (const { name, value } of this.routes.values()) {
      if (this.#liveRoutes.get(name) === value) continue;
      const cold = this.#coldCluster(clustersOfRoutes(value));
      if (cold !== null && this.#warming.mustWait(`route ${name} waits for cluster ${cold}`)) continue;
      this.#liveRoutes.set(name, value);
      this.#apply(`route ${name}`, () => this.#options.targets.routes.set(value));
    }
  }

  /** Streams and connections that begin from now on have them; nothing else is touched. */
  #applyExtensions(): void {
    const { extensions } = this.#options.targets;
    for (const { name, value } of this.extensions.values()) {
      if (this.#liveExtensions.get(name) === value) continue;
      this.#liveExtensions.set(name, value);
      this.#apply(`extension ${name}`, () => extensions.set(value));
    }
    const wanted = this.wantedExtensions();
    for (const name of this.extensions.names()) if (!wanted.has(name)) this.extensions.delete(name);
    for (const name of this.#received.absentExtensions)
      if (!wanted.has(name)) this.#received.absentExtensions.delete(name);
    for (const name of this.#liveExtensions.keys()) {
      if (this.extensions.get(name) !== undefined) continue;
      this.#liveExtensions.delete(name);
      this.#apply(`removal of extension ${name}`, () => extensions.remove(name));
    }
  }

  /** The first of those that have to be there before traffic is served. */
  #missingExtension(listener: ListenerConfig): { readonly name: string; readonly isPatient: boolean } | undefined {
    for (const [name, discoveries] of discoveriesOfListener(listener)) {
      if (this.#liveExtensions.has(name) || this.#received.absentExtensions.has(name)) continue;
      const waiting = discoveries.filter(({ appliesFallbackAtOnce }) => !appliesFallbackAtOnce);
      if (waiting.length > 0) return { name, isPatient: waiting.some(({ isPatient }) => isPatient) };
    }
    return undefined;
  }

  #applyListeners(): void {
    for (const { name, value } of this.listeners.values()) {
      if (this.#liveListeners.get(name) === value) continue;
      const missing = [...routesOfListener(value)].find(
        (route) => !this.#liveRoutes.has(route) && !this.#received.absentRoutes.has(route),
      );
      const cold = this.#coldCluster(clustersOfListener(value));
      const extension = this.#missingExtension(value);
      const why =
        missing !== undefined
          ? `route ${missing}`
          : cold !== null
            ? `cluster ${cold}`
            : extension === undefined
              ? null
              : `extension ${extension.name}`;
      if (why !== null && this.#warming.mustWait(`listener ${name} waits for ${why}`, extension?.isPatient)) continue;
      this.#applyListener(name, value);
    }
  }

  #applyListener(name: string, value: ListenerConfig): void {
    // While a socket is being bound, the newest configuration waits for the outcome.
    if (this.#binding.has(name)) return;
    const { targets, clock, log } = this.#options;
    if ((this.#bindAgainAt.get(name) ?? 0) > clock.now()) return;
    this.#bindAgainAt.delete(name);
    this.#liveListeners.set(name, value);
    let bound: unknown;
    this.#apply(`listener ${name}`, () => {
      bound = targets.listeners.update(value);
    });
    if (!(bound instanceof Promise)) return;
    const done = (failure: string | null): void => {
      this.#binding.delete(name);
      if (failure !== null) {
        const retryAt = clock.now() + bindRetryMs;
        log.error(`${failure}; trying again`);
        if (this.#liveListeners.get(name) === value) this.#liveListeners.delete(name);
        this.#bindAgainAt.set(name, retryAt);
      }
      this.settle();
    };
    this.#binding.set(
      name,
      bound.then(
        () => done(null),
        (error: unknown) => done(describeError(error)),
      ),
    );
  }

  /** A cluster that is known and not yet in use. A name that no cluster has is not waited for. */
  #coldCluster(names: ReadonlySet<string>): string | null {
    for (const name of names) {
      if (!this.#liveClusters.has(name) && this.clusters.get(name) !== undefined) return name;
    }
    return null;
  }

  #removeOld(): void {
    const { targets, clock, removalGraceMs } = this.#options;
    for (const name of this.#liveListeners.keys()) {
      if (this.listeners.get(name) !== undefined) continue;
      if (this.#binding.has(name)) continue;
      this.#liveListeners.delete(name);
      this.#apply(`removal of listener ${name}`, () => targets.listeners.remove(name));
    }
    for (const name of this.#bindAgainAt.keys()) if (!this.listeners.get(name)) this.#bindAgainAt.delete(name);
    const wantedRoutes = this.wantedRoutes();
    for (const name of this.#liveRoutes.keys()) {
      if (wantedRoutes.has(name) && this.routes.get(name) !== undefined) continue;
      this.#liveRoutes.delete(name);
      this.#apply(`removal of route ${name}`, () => targets.routes.remove(name));
    }
    for (const name of this.routes.names()) if (!wantedRoutes.has(name)) this.routes.delete(name);
    for (const name of this.#received.absentRoutes)
      if (!wantedRoutes.has(name)) this.#received.absentRoutes.delete(name);
    this.#removeClusters(clock.now(), removalGraceMs);
    this.#forgetEndpoints();
  }

  #removeClusters(now: number, graceMs: number): void {
    const gone = [...this.#liveClusters.keys()].filter((name) => this.clusters.get(name) === undefined);
    if (gone.length === 0) return;
    const used = this.#usedClusters();
    for (const name of gone) {
      const since = this.#removedAt.get(name) ?? now;
      this.#removedAt.set(name, since);
      if (used.has(name) && now - since < graceMs) continue;
      this.#removedAt.delete(name);
      this.#liveClusters.delete(name);
      this.#apply(`removal of cluster ${name}`, () => this.#options.targets.clusters.remove(name));
    }
  }

  #usedClusters(): Set<string> {
    const used = new Set<string>();
    for (const routes of this.#liveRoutes.values()) for (const name of clustersOfRoutes(routes)) used.add(name);
    for (const it of this.#liveListeners.values()) for (const name of clustersOfListener(it)) used.add(name);
    return used;
  }

  #forgetEndpoints(): void {
    const wanted = this.wantedEndpoints();
    for (const name of this.endpoints.names()) if (!wanted.has(name)) this.endpoints.delete(name);
    for (const name of this.#liveEndpoints.keys()) if (!wanted.has(name)) this.#liveEndpoints.delete(name);
    for (const name of this.#received.absentEndpoints)
      if (!wanted.has(name)) this.#received.absentEndpoints.delete(name);
  }

  /** One timer for the earliest thing that time alone will change. */
  #schedule(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    const { clock, removalGraceMs } = this.#options;
    const due: number[] = [...this.#warming.due(), ...this.#bindAgainAt.values()];
    for (const since of this.#removedAt.values()) due.push(since + removalGraceMs);
    if (due.length === 0) return;
    this.#cancelTimer = clock.after(Math.max(1, Math.min(...due) - clock.now()), () => this.settle());
  }

  /** A part that throws keeps its old state; the others go on. */
  #apply(what: string, change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#options.log.error(`${what} could not be applied: ${describeError(error)}`);
    }
  }
}
