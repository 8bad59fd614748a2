// All listeners by name: those that bind a socket and those that are reached through `use_original_dst`. Updates are in
// place and close nothing; a removed listener stops accepting and drains.
import type { Socket } from "node:net";
import { OutriggerError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import { type OriginalDestination, OriginalDestinationReader } from "#base/net/original-destination.ts";
import { SocketCalls } from "#base/net/socket-calls.ts";
import type { ProcessCells } from "#base/threads/process-cells.ts";
import type { SecretReader } from "#wire/tls/secrets.ts";
import { type ExtensionSource, ExtensionStore } from "../config/extension.ts";
import type { ListenerConfig } from "../config/listener.ts";
import { Runtime } from "../config/runtime.ts";
import { listenerKey, selectListener } from "../decide/listener.ts";
import type { HttpEnvironment, OwnPeerMetadata, RouteSource } from "../http/environment.ts";
import type { HttpFilterType } from "../http/filter.ts";
import { httpFilterTypes } from "../http/filters/all.ts";
import { LogServices } from "../http/log-services.ts";
import type { TrafficObserver } from "../http/observer.ts";
import { Tracers } from "../http/tracing/tracers.ts";
import { createNetworkEnvironment } from "../network/environment.ts";
import type { NetworkFilterType } from "../network/filter.ts";
import { networkFilterTypes } from "../network/filters/all.ts";
import { LoadShedding } from "../overload/load-shedding.ts";
import { codecCounters, codecStats } from "../stats/codec-stats.ts";
import type { HistogramValue } from "../stats/histogram.ts";
import { InboundTraffic } from "../stats/inbound-traffic.ts";
import { Stats } from "../stats/stats.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import { TlsContexts } from "../transport/tls-contexts.ts";
import type { ClusterManager } from "../upstream/cluster-manager.ts";
import { clusterClients } from "../wasm/cluster-clients.ts";
import { WasmHost } from "../wasm/wasm-host.ts";
import { ActiveListener } from "./active-listener.ts";
import { Allowance } from "./allowance.ts";
import { ConnectionLimits } from "./connection-limits.ts";
import type { ListenerEnvironment } from "./environment.ts";
import { HandshakeGate } from "./handshake-gate.ts";
import { inspectorCounters } from "./inspection.ts";
import type { ListenerCounters } from "./listener-counters.ts";
import { RefusalLog } from "./refusal-log.ts";

/** Most bytes that are held of connections whose filter chain is not known, all together. */
const maxUndecidedBytes = 64 * 1024 * 1024;
/** How long the reports of what was drained are waited for. */
const reportPatienceMs = 1000;

export interface ListenerManagerOptions {
  readonly loop: EventLoop;
  /** Unless given, nothing is configured there. */
  readonly runtime?: Runtime;
  /** Counts of the whole process; unless given there is one thread. */
  readonly cells?: ProcessCells | null;
  readonly clusters: ClusterManager;
  readonly routes: RouteSource;
  /** Unless given, nothing is discovered. */
  readonly extensions?: ExtensionSource;
  readonly secrets: SecretReader;
  readonly log: Logger;
  readonly observer: TrafficObserver;
  readonly stats?: Stats;
  /** Unless given, who calls this workload is counted for nobody. */
  readonly arrivals?: InboundTraffic;
  /** Runs Wasm plugins; without it one is made that knows no node and no environment variables. */
  readonly wasm?: WasmHost;
  readonly writeAccessLog: (path: string, line: string) => void;
  readonly ownPeerMetadata?: OwnPeerMetadata | null;
  readonly node?: HttpEnvironment["node"];
  readonly hostEnvironment?: HttpEnvironment["hostEnvironment"];
  readonly ownTracer?: HttpEnvironment["ownTracer"];
  readonly explainToClients?: boolean;
  readonly shedding?: LoadShedding;
  readonly dualStack?: boolean;
  readonly sharesPorts?: boolean;
  /** Replaces the list of HTTP filters, for tests. */
  readonly filterTypes?: readonly HttpFilterType[];
  /** Replaces the list of network filters, for tests. */
  readonly networkFilterTypes?: readonly NetworkFilterType[];
  /** Replaces the question to the kernel, for tests. */
  readonly originalDestination?: (socket: Socket) => OriginalDestination | null;
}

export interface ListenerDescription {
  readonly name: string;
  readonly config: ListenerConfig;
  /** The address in use; differs from the configured one for port 0. */
  readonly port: number;
  /** All addresses in use, the main one first. */
  readonly addresses: readonly [BoundAddress, ...BoundAddress[]];
  readonly activeConnections: number;
  /** Of these, the ones that have no filter chain yet. */
  readonly openingConnections: number;
  readonly connectionsTotal: number;
  /** How long connections were open; null before the first ended. */
  readonly connectionTimes: HistogramValue | null;
  readonly counters: Readonly<ListenerCounters>;
}

interface BoundAddress {
  readonly host: string;
  readonly port: number;
}

export interface DrainScope {
  /** Only what comes to this workload from others. */
  readonly inboundOnly: boolean;
  /** So long more and more responses ask their clients to go, and no connection is told otherwise; absent: all at once. */
  readonly gradualMs?: number;
}

const everything: DrainScope = { inboundOnly: false };
/** Envoy's TrafficDirection. */
const INBOUND = 1;

export class ListenerManager {
  /** How many connections there may be; what the configuration says of them is set here. */
  readonly limits: ConnectionLimits = new ConnectionLimits();
  readonly #environment: ListenerEnvironment;
  readonly #contexts: TlsContexts;
  readonly #byName = new Map<string, ActiveListener>();
  readonly #byAddress = new Map<string, ActiveListener>();
  /** Removed listeners whose connections have not ended. */
  readonly #retired = new Set<ActiveListener>();
  /** An operator wants clients to go elsewhere: every response asks them to. */
  isHealthFailed = false;
  #lastConnectionId = 0;
  #isDraining = false;
  #drainsInboundOnly = false;
  /** Envoy's gradual strategy; null: everybody is asked at once. */
  #gradual: { readonly beganMs: number; readonly lastsMs: number } | null = null;
  #onIdle: (() => void)[] = [];

  constructor(options: ListenerManagerOptions) {
    const {
      loop,
      log,
      clusters,
      routes,
      observer,
      writeAccessLog,
      stats = new Stats(),
      shedding = new LoadShedding(),
    } = options;
    const calls = new SocketCalls((reason) =>
      log.warn(
        `the system can't be asked about sockets: options are not set, and redirected connections keep their local ` +
          `address: ${reason}`,
      ),
    );
    const reader = new OriginalDestinationReader(calls);
    this.#contexts = new TlsContexts(options.secrets);
    const codecs = codecCounters();
    stats.addSource(() => codecStats("", codecs));
    const node = options.node ?? { id: "", cluster: "" };
    const hostEnvironment = options.hostEnvironment ?? {};
    const http: HttpEnvironment = {
      loop,
      runtime: options.runtime ?? new Runtime(),
      cells: options.cells ?? null,
      clusters,
      routes,
      extensions: options.extensions ?? new ExtensionStore(),
      log,
      stats,
      codecs,
      observer,
      wasm: options.wasm ?? new WasmHost({ loop, log, stats, ...clusterClients(clusters, loop) }),
      filterTypes: options.filterTypes ?? httpFilterTypes,
      writeAccessLog,
      ownPeerMetadata: options.ownPeerMetadata ?? null,
      node,
      hostEnvironment,
      tracers: new Tracers({ loop, clusters, stats, node, hostEnvironment }),
      ownTracer: options.ownTracer ?? null,
      logServices: new LogServices({ loop, clusters, stats, node, hostEnvironment }),
      explainToClients: options.explainToClients ?? false,
      shedding,
      isDraining: (connection) => this.#drains(connection),
      asksToClose: (connection) => this.#drains(connection) || (shedding.isActive && shedding.asksToClose(loop.random)),
    };
    this.#environment = {
      loop,
      log,
      contexts: this.#contexts,
      network: createNetworkEnvironment(http, options.networkFilterTypes ?? networkFilterTypes),
      dualStack: options.dualStack ?? true,
      sharesPorts: options.sharesPorts ?? false,
      calls,
      limits: this.limits,
      refusals: new RefusalLog(log, loop),
      arrivals: options.arrivals ?? new InboundTraffic(),
      nextConnectionId: () => ++this.#lastConnectionId,
      handshakes: new HandshakeGate(),
      inspectors: inspectorCounters(stats),
      undecided: new Allowance(maxUndecidedBytes),
      originalDestination: options.originalDestination ?? ((socket) => reader.read(socket)),
      route: (acceptedBy, info) => this.#route(acceptedBy, info),
      onIdle: (listener) => this.#listenerIdle(listener),
    };
  }

  /** Adds a listener or gives it a new configuration. Resolves when its sockets are bound; rejects when they can't be. */
  async update(config: ListenerConfig): Promise<void> {
    const known = this.#byName.get(config.name);
    const listener = known ?? new ActiveListener(config, this.#environment);
    const before = listener.config;
    try {
      await listener.update(config);
    } catch (error) {
      throw new OutriggerError("LISTENER_BIND", `listener ${config.name} can't listen on ${addressNames(config)}`, {
        cause: error,
      });
    }
    // It may have been removed while its sockets were bound.
    if (known !== undefined && this.#byName.get(config.name) !== known) {
      listener.stopAccepting();
      return;
    }
    this.#forgetAddresses(listener, before);
    this.#byName.set(config.name, listener);
    for (const key of addressKeys(config)) this.#byAddress.set(key, listener);
  }

  #forgetAddresses(listener: ActiveListener, config: ListenerConfig): void {
    for (const key of addressKeys(config)) if (this.#byAddress.get(key) === listener) this.#byAddress.delete(key);
  }

  /** Stops accepting; connections that are open end at their next safe point. */
  remove(name: string): void {
    const listener = this.#byName.get(name);
    if (listener !== undefined) this.#retire(listener);
  }

  #retire(listener: ActiveListener): void {
    if (this.#byName.get(listener.config.name) === listener) this.#byName.delete(listener.config.name);
    this.#forgetAddresses(listener, listener.config);
    listener.stopAccepting();
    this.#retired.add(listener);
    listener.drain();
  }

  get(name: string): ListenerConfig | undefined {
    return this.#byName.get(name)?.config;
  }

  names(): string[] {
    return [...this.#byName.keys()];
  }

  /** The port that a listener is bound to. */
  port(name: string): number | undefined {
    return this.#byName.get(name)?.boundPort;
  }

  describe(): ListenerDescription[] {
    return [...this.#byName.entries()].map(([name, listener]) => ({
      name,
      config: listener.config,
      port: listener.boundPort,
      addresses: listener.boundAddresses,
      activeConnections: listener.connectionCount,
      openingConnections: listener.openingCount,
      connectionsTotal: listener.counters.connectionsTotal,
      connectionTimes: listener.counters.connectionTimes?.value(this.#environment.loop.clock.now()) ?? null,
      counters: listener.counters,
    }));
  }

  #drains({ isDrainExempt, direction }: ConnectionInfo): boolean {
    if (this.isHealthFailed) return true;
    const isMeant = this.#isDraining && !isDrainExempt && (!this.#drainsInboundOnly || direction === INBOUND);
    if (!isMeant || this.#gradual === null) return isMeant;
    const { loop } = this.#environment;
    return loop.random() < (loop.clock.now() - this.#gradual.beganMs) / this.#gradual.lastsMs;
  }

  #route(acceptedBy: ActiveListener, info: ConnectionInfo): ActiveListener {
    if (!acceptedBy.config.useOriginalDst || !info.isRedirected) return acceptedBy;
    const found = selectListener(this.#byAddress, info.destinationIp, info.destinationPort, null);
    return found ?? acceptedBy;
  }

  #listenerIdle(listener: ActiveListener): void {
    this.#retired.delete(listener);
    this.#checkIdle();
  }

  #checkIdle(): void {
    if (!this.#isDraining || this.connectionCount > 0) return;
    const callbacks = this.#onIdle;
    this.#onIdle = [];
    for (const callback of callbacks) callback();
  }

  get connectionCount(): number {
    let count = 0;
    for (const listener of this.#byName.values()) count += listener.connectionCount;
    for (const listener of this.#retired) count += listener.connectionCount;
    return count;
  }

  /** Begins the end: responses ask for `connection: close`, idle connections go. Sockets still accept. */
  startDraining({ inboundOnly, gradualMs = 0 }: DrainScope = everything): void {
    this.#drainsInboundOnly = inboundOnly && (!this.#isDraining || this.#drainsInboundOnly);
    this.#isDraining = true;
    this.#gradual = gradualMs > 0 ? { beganMs: this.#environment.loop.clock.now(), lastsMs: gradualMs } : null;
    if (this.#gradual !== null) return;
    for (const listener of this.#inScope({ inboundOnly }))
      if (!listener.config.drainsOnlyWhenModified) listener.drain();
  }

  /** Closes the sockets that accept; open connections go on. */
  stopAccepting(scope: DrainScope): void {
    for (const listener of this.#inScope(scope)) listener.stopAccepting();
  }

  #inScope({ inboundOnly }: DrainScope): ActiveListener[] {
    return [...this.#byName.values()].filter(({ config }) => !inboundOnly || config.direction === INBOUND);
  }

  /**
   * Drains: asks every connection to end, stops accepting, and resolves when none is left or the deadline has passed;
   * the result is the number of connections that were cut.
   */
  async drain(deadlineMs: number): Promise<number> {
    const cut = await this.#drainConnections(deadlineMs);
    await this.#reported();
    return cut;
  }

  /** Spans and log records of the last requests go out, if their collectors take them soon. */
  #reported(): Promise<void> {
    const { loop, network } = this.#environment;
    const { tracers, logServices } = network.http;
    return new Promise((resolve) => {
      const cancel = loop.after(reportPatienceMs, resolve);
      Promise.all([tracers.emptied(), logServices.emptied()]).then(() => {
        cancel();
        resolve();
      });
    });
  }

  #drainConnections(deadlineMs: number): Promise<number> {
    this.startDraining();
    for (const listener of this.#byName.values()) listener.stopAccepting();
    return new Promise((resolve) => {
      const cancel = this.#environment.loop.after(deadlineMs, () => {
        const cut = this.connectionCount;
        this.#onIdle = [];
        this.destroy();
        resolve(cut);
      });
      this.#onIdle.push(() => {
        cancel();
        resolve(0);
      });
      this.#checkIdle();
    });
  }

  /** Closes everything at once. */
  destroy(): void {
    for (const listener of [...this.#byName.values(), ...this.#retired]) listener.destroy();
    this.#byName.clear();
    this.#byAddress.clear();
    this.#retired.clear();
    this.#contexts.close();
  }
}

function addressKeys(config: ListenerConfig): string[] {
  return [listenerKey(config), ...config.additionalAddresses.map(listenerKey)];
}

function addressNames(config: ListenerConfig): string {
  return addressKeys(config).join(", ");
}
