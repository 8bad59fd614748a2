// Composes one proxy: clusters, listeners, routes, configuration from ADS or a bootstrap file, metrics, access log and
// the admin servers. What this starts, `stop` ends.
import { create } from "@bufbuild/protobuf";
import { describeError, OutriggerError } from "#base/error.ts";
import { Lifecycle } from "#base/lifecycle.ts";
import { Compaction } from "#base/memory/compaction.ts";
import { ProcessCells, type ProcessCellsMemory, processCellsMemory } from "#base/threads/process-cells.ts";
import { systemClock } from "#base/time/clock.ts";
import { type Node, NodeSchema } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { type Address, type AdminServer, startAdmin, startPrometheus, startReadiness } from "./admin/admin-server.ts";
import { CounterReset } from "./admin/counter-reset.ts";
import type { ListenerDrain, ProxyNode, ProxyState, ServerState } from "./admin/proxy-state.ts";
import { prometheusText } from "./admin/stats.ts";
import { statsInclusion } from "./admin/stats-inclusion.ts";
import { loadBootstrap } from "./bootstrap-file.ts";
import { ExtensionStore } from "./config/extension.ts";
import { selfDiscovery, selfDiscoveryCluster } from "./config/local-node.ts";
import { defaultOverload } from "./config/overload.ts";
import { Runtime, type RuntimeChanges } from "./config/runtime.ts";
import { type DrainScope, ListenerManager } from "./listener/listener-manager.ts";
import { AccessLogSink } from "./observe/access-log/sink.ts";
import { histogramBounds } from "./observe/histogram-bounds.ts";
import { encodePeerMetadata, localMetadata } from "./observe/peer-metadata.ts";
import { StandardObserver } from "./observe/standard-observer.ts";
import type { ProxyOptions, RunningProxy } from "./options.ts";
import { LoadShedding } from "./overload/load-shedding.ts";
import { OverloadManager } from "./overload/overload-manager.ts";
import { processReadings } from "./overload/readings.ts";
import { memoryReleaser } from "./overload/release-memory.ts";
import { Readiness } from "./readiness.ts";
import { RouteStore } from "./route/route-store.ts";
import { InboundTraffic, mergeCallers } from "./stats/inbound-traffic.ts";
import { Stats } from "./stats/stats.ts";
import { EventLoop } from "./transport/event-loop.ts";
import type { EjectedEndpoint } from "./upstream/cluster.ts";
import { ClusterManager } from "./upstream/cluster-manager.ts";
import { clusterClients } from "./wasm/cluster-clients.ts";
import { propertyFromMessage } from "./wasm/properties.ts";
import { WasmHost } from "./wasm/wasm-host.ts";
import { reportOf, sumClusters, sumListeners, sumMetrics, sumStats, type WorkerReport } from "./worker/report.ts";
import type { WorkerPool, WorkerPoolOptions } from "./worker/worker-pool.ts";
import type { AdsClient } from "./xds/ads-client.ts";
import { Configuration } from "./xds/configuration.ts";
import type { ConnectionLimits } from "./xds/connection-limits.ts";
import { zipkinOfNode } from "./xds/own-tracer.ts";
import { peersCluster } from "./xds/peers-cluster.ts";
import type { RuntimeLayers } from "./xds/runtime-layers.ts";

/** Envoy's. */
const defaultDrainMs = 600_000;
const noLayers: RuntimeLayers = { layers: [], hasAdmin: true };
/** How long a removed cluster may still be used by routes that name it. */
const removalGraceMs = 5000;

export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { secrets, log: registry, clock = systemClock } = options;
  const sources = [options.ads, options.bootstrap, options.feed].filter((source) => source !== undefined);
  if (sources.length !== 1) {
    throw new OutriggerError("PROXY_CONFIG_SOURCE", "a proxy needs either a control plane or a bootstrap file");
  }
  const concurrency = options.concurrency ?? 1;
  const fromFile = options.bootstrap === undefined ? null : await loadBootstrap(options.bootstrap.path, registry);
  const overload = fromFile?.overload ?? options.overload ?? defaultOverload;
  const layers = fromFile?.runtime ?? options.runtime ?? noLayers;
  const runtime = new Runtime(layers.layers, layers.hasAdmin);
  const loops = options.loops ?? concurrency;
  const memory = concurrency > 1 ? processCellsMemory(concurrency) : null;
  const cells = memory === null ? (options.cells ?? null) : new ProcessCells(memory, 0);
  const lifecycle = new Lifecycle();
  let workers: WorkerPool | null = null;
  const log = registry.scope("proxy");
  const startedAtMs = clock.now();
  const releaseMemory = memoryReleaser();

  const accessLog = new AccessLogSink({
    onError: (path, error) => log.error(`the access log ${path} can't be written: ${error.message}`),
  });
  lifecycle.add(accessLog);
  const loop = new EventLoop({
    clock,
    onBroken: (error) => log.error(`a connection was ended by an error of this proxy: ${describeError(error)}`),
  });
  lifecycle.onStop(() => loop.stop());
  const onEjected = (ejected: EjectedEndpoint): void => {
    options.onEjected?.(ejected);
    workers?.tell({ type: "ejection", ejected });
  };
  const stats = new Stats();
  const local = fromFile?.local ?? options.local ?? selfDiscovery(options.node);
  const clusters = new ClusterManager({
    loop,
    secrets,
    log: registry.scope("upstream"),
    stats,
    cells,
    onEjected,
    local,
  });
  lifecycle.onStop(() => clusters.stop());
  const own = fromFile?.tracer ?? options.tracer ?? zipkinOfNode(options.node.metadata);
  if (own !== null && own.cluster !== null) clusters.update(own.cluster);
  if (local?.cluster === selfDiscoveryCluster && fromFile === null) clusters.update(peersCluster(local.cluster));
  const routes = new RouteStore();
  const extensions = new ExtensionStore();
  const observer = new StandardObserver(
    localMetadata(options.node.metadata),
    histogramBounds(options.node.metadata, (message) => log.warn(message)),
  );
  const arrivals = new InboundTraffic(options.role === "router");
  const peer = encodePeerMetadata(options.node);
  const wasm = new WasmHost({
    loop,
    log: registry.scope("wasm"),
    logLevel: () => registry.level("wasm"),
    stats,
    ...clusterClients(clusters, loop),
    node: propertyFromMessage(NodeSchema, xdsNode(options.node)),
    hostEnvironment: options.hostEnvironment ?? {},
  });
  lifecycle.add(wasm);
  const shedding = new LoadShedding();
  const listeners = new ListenerManager({
    loop,
    runtime,
    cells,
    wasm,
    shedding,
    clusters,
    routes,
    extensions,
    secrets,
    log: registry.scope("listener"),
    observer,
    stats,
    arrivals,
    writeAccessLog: (path, line) => accessLog.write(path, line),
    ownPeerMetadata: { id: peer.id, value: peer.metadata },
    node: { id: options.node.id, cluster: options.node.cluster, zone: options.node.locality.zone },
    hostEnvironment: options.hostEnvironment ?? {},
    ownTracer: own?.tracer ?? null,
    explainToClients: options.explainToClients ?? false,
    sharesPorts: concurrency > 1 || options.sharesPorts === true,
    ...(options.originalDestination !== undefined && { originalDestination: options.originalDestination }),
  });
  lifecycle.onStop(() => listeners.destroy());
  lifecycle.add(
    new OverloadManager({
      config: overload,
      shedding,
      readings: {
        ...processReadings({ connections: () => listeners.limits.open, nodeOptions: nodeOptions(options) }),
        ...options.readings,
      },
      loops,
      clock,
      stats,
      log,
      shrinkHeap: releaseMemory,
    }),
  );
  const configuration = new Configuration({
    targets: { clusters, routes, listeners, secrets, extensions },
    log: registry.scope("xds"),
    clock,
    initialFetchTimeoutMs: options.initialFetchTimeoutMs ?? 15_000,
    removalGraceMs,
    local,
  });
  lifecycle.onStop(() => configuration.stop());
  const compaction = new Compaction({ clock, collect: releaseMemory });
  lifecycle.onStop(() => compaction.stop());
  lifecycle.onStop(configuration.onChange(() => compaction.soon()));
  compaction.soon();

  const connectionLimits = fromFile?.connectionLimits ??
    options.connectionLimits ?? { total: metadataLimit(options.node.metadata), byListener: new Map() };
  listeners.limits.set(...shareOf(connectionLimits, loops));

  let isDraining = false;
  const startDraining = (scope: DrainScope = { inboundOnly: false }): void => {
    if (!isDraining) log.info(`draining begins: ${listeners.limits.open} connections are open here`);
    isDraining = true;
    listeners.startDraining(scope);
    workers?.tell({ type: "startDraining", scope });
  };
  const stopAccepting = (scope: DrainScope): void => {
    listeners.stopAccepting(scope);
    workers?.tell({ type: "stopAccepting", scope });
  };
  const modifyRuntime = (changes: RuntimeChanges): void => {
    runtime.modify(changes);
    workers?.tell({ type: "runtime", changes });
  };
  const failHealthChecks = (isFailed: boolean): void => {
    listeners.isHealthFailed = isFailed;
    workers?.tell({ type: "failHealthChecks", isFailed });
  };
  let cancelDrainEnd: (() => void) | null = null;
  const drainTimeMs = options.drainTimeMs ?? defaultDrainMs;
  lifecycle.onStop(() => cancelDrainEnd?.());
  const drainListeners = ({ inboundOnly, isGraceful, skipsExit }: ListenerDrain): void => {
    const gradualMs = isGraceful && options.drainStrategy === "gradual" ? drainTimeMs : 0;
    startDraining({ inboundOnly, gradualMs });
    if (!isGraceful) {
      stopAccepting({ inboundOnly });
      return;
    }
    cancelDrainEnd ??= clock.after(drainTimeMs, () => {
      if (gradualMs > 0) startDraining({ inboundOnly });
      if (!skipsExit) stopAccepting({ inboundOnly });
    });
  };
  workers =
    memory === null || cells === null
      ? null
      : await startWorkers(
          { ...options, overload, connectionLimits, runtime: layers, tracer: own, local },
          concurrency - 1,
          {
            runtime,
            cells,
            memory,
            clock,
            onEjected: (ejected) => clusters.adoptEjection(ejected),
          },
        );
  if (workers !== null) {
    lifecycle.add(workers);
    configuration.onUpdate((update) => workers.update(update));
  }
  const reports = (): readonly WorkerReport[] => workers?.reports ?? [];
  const readiness = new Readiness(configuration, secrets);
  const isReached = (): boolean => readiness.isReached() && (workers === null || workers.isReady);
  const serverState = (): ServerState =>
    isDraining || listeners.isHealthFailed ? "DRAINING" : isReached() ? "LIVE" : "INITIALIZING";

  const fail = async (error: unknown): Promise<never> => {
    await lifecycle.stop();
    throw error;
  };
  let ads: AdsClient | null = null;
  try {
    if (options.ads !== undefined) {
      const { AdsClient } = await import("./xds/ads-client.ts");
      ads = new AdsClient(configuration, {
        ...options.ads,
        node: xdsNode(options.node),
        log: registry.scope("xds"),
        clock,
      });
      lifecycle.onStop(() => ads?.stop());
    } else if (fromFile !== null) {
      fromFile.apply(secrets, configuration);
      await configuration.bound();
    }
    options.feed?.(configuration);
  } catch (error) {
    return fail(error);
  }

  const state: ProxyState = {
    node: options.node,
    version: options.version,
    startedAtMs,
    now: () => clock.now(),
    configuration,
    secrets,
    log: registry,
    bootstrap: fromFile?.json ?? null,
    serverState,
    concurrency,
    refresh: () => workers?.refresh() ?? Promise.resolve(),
    clusters: () => sumClusters(clusters.describe(), reports()),
    listeners: () => sumListeners(listeners.describe(), reports()),
    ads: () => ads?.status ?? null,
    stats: () => sumStats(stats.values(), reports()),
    callers: () => mergeCallers([arrivals.rows(), ...reports().map(({ callers }) => callers)]),
    trafficMetrics: () => sumMetrics([observer.expose(), ...reports().map(({ metrics }) => metrics)]),
    drainListeners,
    failHealthChecks,
    runtime,
    modifyRuntime,
    counterReset: new CounterReset(),
    includesStat: statsInclusion(options.node.metadata, (message) => log.warn(message)),
    quit: options.quit ?? (() => {}),
  };
  let servers: Servers;
  try {
    servers = await startServers(options.servers, state, lifecycle);
  } catch (error) {
    return fail(error);
  }
  ads?.start();

  return {
    ready: () => serverState() === "LIVE",
    view: () => configuration.view(),
    adsStatus: () => ads?.status ?? null,
    reportHealth: (health) => ads?.reportHealth(health),
    metrics: async () => {
      await workers?.refresh();
      return prometheusText(state);
    },
    report: () =>
      reportOf({
        connectionCount: listeners.connectionCount,
        clusters: clusters.describe(),
        listeners: listeners.describe(),
        stats: stats.values(),
        metrics: observer.expose(),
        callers: arrivals.rows(),
      }),
    connectionCount: () => listeners.connectionCount + (workers?.connectionCount ?? 0),
    startDraining,
    stopAccepting,
    failHealthChecks,
    modifyRuntime,
    adoptEjection: (ejected) => clusters.adoptEjection(ejected),
    drain: async (deadlineMs) => {
      await workers?.refresh();
      const open = listeners.connectionCount + (workers?.connectionCount ?? 0);
      const beganMs = clock.now();
      log.info(`draining: accepts no more; ${open} connections are open and have ${deadlineMs} ms`);
      isDraining = true;
      const [own, others] = await Promise.all([listeners.drain(deadlineMs), workers?.drain(deadlineMs) ?? 0]);
      const cut = own + others;
      log.info(`drained after ${clock.now() - beganMs} ms: ${open - cut} connections ended, ${cut} were cut`);
      return cut;
    },
    listenerPort: (name) => listeners.port(name),
    adminPort: servers.admin?.port,
    prometheusPort: servers.prometheus?.port,
    readinessPort: servers.readiness?.port,
    stop: () => lifecycle.stop(),
  };
}

function nodeOptions({ hostEnvironment }: ProxyOptions): string[] {
  return [...process.execArgv, ...(hostEnvironment?.["NODE_OPTIONS"] ?? "").split(/\s+/)];
}

/** Each event loop accepts for itself, so each has its part of what is allowed to all. */
function shareOf(
  { total, byListener }: ConnectionLimits,
  loops: number,
): [total: number, byListener: ReadonlyMap<string, number>] {
  const share = (limit: number): number => Math.ceil(limit / loops);
  return [share(total), new Map([...byListener].map(([name, limit]) => [name, share(limit)]))];
}

/** Imported where there are workers only. */
async function startWorkers(
  options: ProxyOptions &
    Required<Pick<ProxyOptions, "overload" | "connectionLimits" | "runtime" | "tracer" | "local">>,
  count: number,
  {
    memory,
    ...live
  }: Omit<WorkerPoolOptions, "count" | "settings" | "secrets" | "log"> & {
    readonly memory: ProcessCellsMemory;
  },
): Promise<WorkerPool> {
  const { WorkerPool } = await import("./worker/worker-pool.ts");
  const { node, role, version, secrets, log, overload, connectionLimits, runtime, tracer, local } = options;
  const settings = {
    overload,
    connectionLimits,
    runtime,
    tracer,
    local,
    cells: memory,
    loops: count + 1,
    node,
    role,
    version,
    explainToClients: options.explainToClients ?? false,
    hostEnvironment: { ...options.hostEnvironment },
    logLevel: log.level("proxy"),
    logAsJson: log.json,
  };
  return new WorkerPool({ ...live, count, settings, secrets, log: log.scope("worker") });
}

/** Istio's `ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS`. */
function metadataLimit(metadata: ProxyNode["metadata"]): number {
  const limit = Number(metadata["GLOBAL_DOWNSTREAM_MAX_CONNECTIONS"] ?? Number.POSITIVE_INFINITY);
  return limit > 0 ? limit : Number.POSITIVE_INFINITY;
}

interface Servers {
  readonly admin: AdminServer | undefined;
  readonly prometheus: AdminServer | undefined;
  readonly readiness: AdminServer | undefined;
}

async function startServers(
  wanted: ProxyOptions["servers"],
  state: ProxyState,
  lifecycle: Lifecycle,
): Promise<Servers> {
  const log = state.log.scope("admin");
  const start = async (address: Address | undefined, starter: typeof startAdmin): Promise<AdminServer | undefined> =>
    address === undefined ? undefined : lifecycle.add(await starter(address, state, log));
  return {
    admin: await start(wanted.admin, startAdmin),
    prometheus: await start(wanted.prometheus, startPrometheus),
    readiness: await start(wanted.readiness, startReadiness),
  };
}

function xdsNode(node: ProxyNode): Node {
  const { id, cluster, locality, metadata } = node;
  return create(NodeSchema, {
    id,
    cluster,
    metadata,
    locality: { region: locality.region, zone: locality.zone, subZone: locality.subZone },
    userAgentName: "outrigger",
  });
}
