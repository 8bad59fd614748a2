// Builds a data path from small configurations, for tests: every field has a sensible value, and a test names only what
// it is about.
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Logger, silentLogger } from "#base/log/log.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { noProvenance } from "#wire/xds/provenance.ts";
import type { AccessLogEntry } from "../../config/access-log.ts";
import {
  type CircuitBreakerThresholds,
  type ClusterConfig,
  defaultThresholds,
  type EndpointConfig,
  plainEndpoint,
  plainEndpointSet,
} from "../../config/cluster.ts";
import type {
  ClientAddressConfig,
  ForwardAction,
  Http1Config,
  HttpConnectionManagerConfig,
  HttpFilterConfig,
  RetryPolicy,
  RouteAction,
  RouteConfig,
  RouteEntry,
  VirtualHost,
  WeightedCluster,
} from "../../config/http.ts";
import { noHeaderMutations } from "../../config/http.ts";
import { meshHttp2 } from "../../config/http2.ts";
import {
  type FilterChainConfig,
  type ListenerConfig,
  matchesEverything,
  type NetworkFilterConfig,
} from "../../config/listener.ts";
import { type BalancingPolicy, defaultLoadBalancing, type LoadBalancingConfig } from "../../config/load-balancing.ts";
import { standardRules } from "../../config/metric-rules.ts";
import { httpFilterTypes } from "../../http/filters/all.ts";
import type { RequestFacts, TcpFacts, TrafficObserver } from "../../http/observer.ts";
import { networkFilterTypes } from "../../network/filters/all.ts";
import type { TcpProxySettings } from "../../network/filters/tcp-proxy/settings.ts";
import { EventLoop, type EventLoopOptions } from "../../transport/event-loop.ts";
import { ClusterManager } from "../../upstream/cluster-manager.ts";
import { ListenerManager, type ListenerManagerOptions } from "../listener-manager.ts";

/** Without panic, so that a test sees what health does. */
export function balancedBy(policy: BalancingPolicy): LoadBalancingConfig {
  return { ...defaultLoadBalancing, policy, panicThresholdPercent: 0 };
}

export const byTurns: LoadBalancingConfig = balancedBy({ type: "round_robin", slowStart: null });

export const originalDestination: LoadBalancingConfig = balancedBy({
  type: "cluster_provided",
  originalDst: { headerName: null, portOverride: 0 },
});

/** Circuit breakers without limits but these. */
export function limitedTo(limits: Partial<CircuitBreakerThresholds>): ClusterConfig["circuitBreakers"] {
  const none = { maxConnections: 1e9, maxPendingRequests: 1e9, maxRequests: 1e9, maxRetries: 1e9 };
  return {
    default: { ...defaultThresholds, ...none, ...limits },
    high: { ...defaultThresholds, ...none },
  };
}

export function clusterConfig(overrides: Partial<ClusterConfig> & { readonly name: string }): ClusterConfig {
  return {
    observabilityName: overrides.name,
    type: "static",
    edsServiceName: "",
    connectTimeoutMs: 2000,
    loadBalancing: balancedBy({ type: "least_request", choiceCount: 2, activeRequestBias: 1, slowStart: null }),
    endpoints: null,
    dns: { refreshMs: 60_000, failureRefresh: null, respectsTtl: false, family: "all" },
    forwardProxy: null,
    cleanupIntervalMs: 5000,
    circuitBreakers: limitedTo({}),
    healthCheck: null,
    ignoresHealthOnRemoval: false,
    closesConnectionsOnFailure: false,
    outlierDetection: null,
    transports: [{ name: "plaintext", match: {}, tls: null, proxyProtocol: null }],
    upstreamProtocol: "http1",
    http2: meshHttp2,
    bufferLimitBytes: 0,
    idleTimeoutMs: 3_600_000,
    maxStreamDurationMs: 0,
    responseLimits: { maxBytes: 64 * 1024, maxHeaders: 200 },
    maxConnectionDurationMs: 0,
    maxRequestsPerConnection: 0,
    bindAddress: null,
    socketOptions: [],
    keepalive: null,
    services: [],
    alpnOverride: true,
    provenance: noProvenance,
    ...overrides,
  };
}

export function endpointConfig(port: number, overrides: Partial<EndpointConfig> = {}): EndpointConfig {
  return { ...plainEndpoint(`127.0.0.1:${port}`, "127.0.0.1", port), ...overrides };
}

/** A static cluster on local ports. */
export function clusterOn(
  name: string,
  ports: readonly number[],
  overrides: Partial<ClusterConfig> = {},
): ClusterConfig {
  return clusterConfig({
    name,
    endpoints: plainEndpointSet(
      name,
      ports.map((port) => endpointConfig(port)),
    ),
    ...overrides,
  });
}

export function forward(cluster: string, overrides: Partial<ForwardAction> = {}): RouteAction {
  return {
    type: "forward",
    forward: {
      clusters: [weightedCluster(cluster, 1)],
      totalWeight: 1,
      weightHeader: null,
      clusterNotFoundStatus: 503,
      timeoutMs: 0,
      idleTimeoutMs: null,
      maxStreamDurationMs: null,
      grpcTimeout: null,
      retry: null,
      priority: "default",
      hashPolicies: [],
      mirrors: [],
      prefixRewrite: null,
      regexRewrite: null,
      hostRewrite: null,
      appendForwardedHost: false,
      upgrades: new Map(),
      ...overrides,
    },
  };
}

export function weightedCluster(name: string, weight: number): WeightedCluster {
  return { name, clusterHeader: null, weight, headers: noHeaderMutations, filters: null, metadataMatch: null };
}

export function retryPolicy(overrides: Partial<RetryPolicy>): RetryPolicy {
  return {
    retryOn: 0,
    numRetries: 1,
    perTryTimeoutMs: 0,
    perTryIdleTimeoutMs: 0,
    retriableStatusCodes: [],
    retriableHeaders: [],
    retriableRequestHeaders: [],
    hostSelectionAttempts: 1,
    avoidPreviousHosts: false,
    avoidCanaryHosts: false,
    priorityUpdateFrequency: 0,
    backoffBaseMs: 1,
    backoffMaxMs: 1,
    rateLimitedBackoff: null,
    ...overrides,
  };
}

export function routeEntry(prefix: string, action: RouteAction, overrides: Partial<RouteEntry> = {}): RouteEntry {
  return {
    name: "default",
    match: {
      path: { type: "prefix", value: prefix, caseSensitive: true },
      headers: [],
      queryParameters: [],
      metadata: [],
      clientCertificate: null,
      fraction: null,
      description: `prefix "${prefix}"`,
    },
    action,
    headers: noHeaderMutations,
    filters: null,
    rateLimits: null,
    metadata: {},
    decorator: "",
    statPrefix: "",
    provenance: noProvenance,
    ...overrides,
  };
}

export function routeConfig(routes: readonly RouteEntry[], overrides: Partial<VirtualHost> = {}): RouteConfig {
  const host: VirtualHost = {
    name: "all",
    domains: ["*"],
    routes,
    routeIndex: null,
    includeAttemptCount: true,
    includeAttemptCountInResponse: false,
    headers: noHeaderMutations,
    rateLimits: [],
    provenance: noProvenance,
    ...overrides,
  };
  return {
    name: "test",
    headers: noHeaderMutations,
    mostSpecificHeadersWin: false,
    internalOnlyHeaders: [],
    ignorePortInHostMatching: true,
    virtualHosts: [host],
    index: { find: () => host },
  };
}

/** A filter of a chain by its type, with settings as its parser would make them. */
export function filterConfig(
  type: string,
  settings: unknown,
  overrides: Partial<HttpFilterConfig> = {},
): HttpFilterConfig {
  const decide = httpFilterTypes.find((it) => it.type === type)?.decide(settings) ?? null;
  return { name: type, type, settings, disabled: false, decide, ...overrides };
}

export function managerConfig(
  routes: RouteConfig | readonly RouteEntry[],
  overrides: Partial<HttpConnectionManagerConfig> = {},
): HttpConnectionManagerConfig {
  return {
    statPrefix: "test",
    routeConfigName: null,
    routeConfig: Array.isArray(routes) ? routeConfig(routes as RouteEntry[]) : (routes as RouteConfig),
    httpFilters: [filterConfig("istio_stats", standardRules), filterConfig("router", {})],
    tracing: null,
    accessLog: [{ path: "test", render: (entry) => JSON.stringify(logged(entry)), accepts: null }],
    client: clientAddress(),
    forwardClientCert: "append_forward",
    clientCertDetails: { subject: true, uri: true, dns: true, cert: false },
    serverName: "istio-envoy",
    serverHeader: "overwrite",
    generateRequestId: true,
    preserveExternalRequestId: false,
    alwaysSetRequestIdInResponse: false,
    via: "",
    addUserAgent: false,
    schemeOverwrite: null,
    paths: { normalize: true, mergeSlashes: false, escapedSlashes: "keep" },
    stripPort: "never",
    stripTrailingHostDot: false,
    headersWithUnderscores: "allow",
    proxies100Continue: true,
    upgradeTypes: ["websocket"],
    codec: "auto",
    http2: meshHttp2,
    http1: http1Options(),
    localReply: null,
    idleTimeoutMs: 3_600_000,
    streamIdleTimeoutMs: 0,
    requestTimeoutMs: 0,
    requestHeadersTimeoutMs: 0,
    maxStreamDurationMs: 0,
    maxConnectionDurationMs: 0,
    maxRequestsPerConnection: 0,
    drainTimeoutMs: 5000,
    delayedCloseTimeoutMs: 1000,
    maxRequestHeadersBytes: 60 * 1024,
    maxRequestHeadersCount: 100,
    ...overrides,
  };
}

export function clientAddress(overrides: Partial<ClientAddressConfig> = {}): ClientAddressConfig {
  return {
    useRemoteAddress: false,
    xffTrustedHops: 0,
    skipXffAppend: false,
    appendXForwardedPort: false,
    mapsIpv4: false,
    internalRanges: null,
    detection: [],
    ...overrides,
  };
}

export function http1Options(overrides: Partial<Http1Config> = {}): Http1Config {
  return {
    allowAbsoluteUrl: true,
    defaultHost: "",
    allowChunkedLength: false,
    properCaseNames: false,
    keepsOpenAfterInvalid: false,
    ...overrides,
  };
}

function logged(entry: AccessLogEntry): unknown {
  return { ...entry, userAgent: entry.requestHeader("user-agent") };
}

export function httpFilter(config: HttpConnectionManagerConfig): NetworkFilterConfig {
  return networkFilter("http_connection_manager", config);
}

export function tcpFilter(cluster: string, overrides: Partial<TcpProxySettings> = {}): NetworkFilterConfig {
  return networkFilter("tcp_proxy", {
    statPrefix: "tcp.test.",
    clusters: [{ name: cluster, weight: 1, metadataMatch: null }],
    totalWeight: 1,
    idleTimeoutMs: 0,
    maxDurationMs: 0,
    maxConnectAttempts: 1,
    hashesSourceIp: false,
    tunnel: null,
    accessLog: [{ path: "test", render: (entry: AccessLogEntry) => JSON.stringify(entry), accepts: null }],
    accessLogIntervalMs: 0,
    logsOnConnect: false,
    ...overrides,
  } satisfies TcpProxySettings);
}

/** A network filter with settings as its own parser makes them. */
export function networkFilter(type: string, settings: unknown): NetworkFilterConfig {
  const filter = networkFilterTypes.find((it) => it.type === type);
  if (filter === undefined) throw new Error(`no network filter ${type}`);
  return {
    name: type,
    type,
    settings,
    isTerminal: filter.isTerminal,
    clusters: filter.clusters(settings),
    readsServerName: filter.readsServerName(settings),
    http: filter.http(settings),
    decide: filter.decide(settings),
  };
}

let chainCount = 0;

export function chain(
  filters: readonly NetworkFilterConfig[],
  overrides: Partial<FilterChainConfig> = {},
): FilterChainConfig {
  return {
    name: "chain",
    match: matchesEverything,
    connectTimeoutMs: 0,
    fingerprint: String(++chainCount),
    tls: null,
    filters,
    provenance: noProvenance,
    ...overrides,
  };
}

export function listenerConfig(
  filterChains: readonly FilterChainConfig[],
  overrides: Partial<ListenerConfig> = {},
): ListenerConfig {
  return {
    name: "test",
    direction: 1,
    host: "127.0.0.1",
    port: 0,
    mode: 0,
    additionalAddresses: [],
    backlog: 0,
    socketOptions: [],
    statPrefix: "",
    isInGlobalLimit: true,
    drainsOnlyWhenModified: false,
    isTransparent: false,
    bindToPort: true,
    useOriginalDst: false,
    originalDst: false,
    bufferLimitBytes: 0,
    tlsInspector: null,
    httpInspector: null,
    proxyProtocol: null,
    listenerFiltersTimeoutMs: 0,
    continueOnListenerFiltersTimeout: true,
    filterChains,
    filterChainMatcher: null,
    defaultFilterChain: null,
    accessLog: [],
    provenance: noProvenance,
    ...overrides,
  };
}

export interface TestDataPath {
  readonly loop: EventLoop;
  readonly clusters: ClusterManager;
  readonly listeners: ListenerManager;
  readonly secrets: SecretStore;
  readonly logs: Record<string, unknown>[];
  readonly requests: RequestFacts[];
  readonly tcp: { opened: number; closed: number; facts: TcpFacts[] };
  readonly broken: unknown[];
  /** Port of the listener `test`. */
  port(): number;
  stop(): void;
}

/** A running data path. Exceptions at a border are collected and fail the test in `stop`. */
export function dataPath(
  options: EventLoopOptions & { readonly log?: Logger } & Partial<ListenerManagerOptions> = {},
): TestDataPath {
  const broken: unknown[] = [];
  const loop = options.loop ?? new EventLoop({ sweepMs: 20, onBroken: (error) => void broken.push(error), ...options });
  const secrets = new SecretStore();
  const log = options.log ?? silentLogger;
  const clusters = options.clusters ?? new ClusterManager({ loop, secrets, log });
  const logs: Record<string, unknown>[] = [];
  const requests: RequestFacts[] = [];
  const tcp = { opened: 0, closed: 0, facts: [] as TcpFacts[] };
  const observer: TrafficObserver = {
    peerOf: () => null,
    onRequestComplete: (facts) => void requests.push(facts),
    onTcpOpened: () => void tcp.opened++,
    onTcpProgress: () => {},
    onTcpClosed: (facts) => {
      tcp.closed++;
      tcp.facts.push(facts);
    },
  };
  const listeners = new ListenerManager({
    loop,
    clusters,
    routes: { get: () => undefined },
    secrets,
    log,
    observer,
    writeAccessLog: (_path, line) => void logs.push(JSON.parse(line) as Record<string, unknown>),
    ...options,
  });
  return {
    loop,
    clusters,
    listeners,
    secrets,
    logs,
    requests,
    tcp,
    broken,
    port: () => listeners.port("test") ?? 0,
    stop: () => {
      listeners.destroy();
      clusters.stop();
      loop.stop();
      if (broken.length > 0) throw broken[0];
    },
  };
}

/** An independent HTTP peer. */
export async function httpServer(
  handler: RequestListener,
): Promise<{ port: number; server: Server; stop: () => void }> {
  const server = createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, server, stop };
}
