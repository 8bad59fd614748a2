// Runtime shape of clusters and their endpoints, as CDS and EDS describe them. Connection pools and balancers hang
// on these by name in `upstream/`; the objects here are immutable.
import type { JsonObject } from "@bufbuild/protobuf";
import type { Provenance } from "#wire/xds/provenance.ts";
import type { ForwardProxyConfig } from "./dns-cache.ts";
import type { HealthCheckConfig } from "./health-check.ts";
import type { Http2Config } from "./http2.ts";
import type { EndpointHealth, LoadBalancingConfig } from "./load-balancing.ts";
import type { OutlierDetectionConfig } from "./outlier-detection.ts";
import type { Keepalive, SocketOption } from "./socket.ts";
import type { UpstreamTlsConfig } from "./tls.ts";

export interface ClusterConfig {
  readonly name: string;
  /** By which statistics and logs name it. */
  readonly observabilityName: string;
  readonly type: "eds" | "static" | "strict_dns" | "logical_dns" | "original_dst" | "dynamic_forward_proxy";
  readonly edsServiceName: string;
  readonly connectTimeoutMs: number;
  readonly loadBalancing: LoadBalancingConfig;
  /** Inline load assignment of STATIC and DNS clusters. */
  readonly endpoints: EndpointSet | null;
  readonly dns: DnsConfig;
  /** Of a dynamic forward proxy; null for the others. */
  readonly forwardProxy: ForwardProxyConfig | null;
  /** After this time an ORIGINAL_DST endpoint that nobody uses is dropped. */
  readonly cleanupIntervalMs: number;
  /** By the priority of routes. */
  readonly circuitBreakers: { readonly default: CircuitBreakerThresholds; readonly high: CircuitBreakerThresholds };
  /** Null: endpoints are not asked for their health. */
  readonly healthCheck: HealthCheckConfig | null;
  /** An endpoint that discovery takes out goes at once, though its health checks pass. */
  readonly ignoresHealthOnRemoval: boolean;
  /** Connections of TCP proxies end when health checks or outlier detection find their endpoint unwell. */
  readonly closesConnectionsOnFailure: boolean;
  /** Null: no endpoint is judged by its traffic. */
  readonly outlierDetection: OutlierDetectionConfig | null;
  readonly transports: readonly TransportSocketMatch[];
  /** "http2": always; "http1": always; "downstream": what the downstream speaks; "alpn": what the server picks. */
  readonly upstreamProtocol: "http1" | "http2" | "downstream" | "alpn";
  readonly http2: Http2Config;
  /** Unsent bytes of a connection at which its sender has to wait; 0: the proxy's own measure. */
  readonly bufferLimitBytes: number;
  readonly idleTimeoutMs: number;
  /** How long a response may take, from when its request has a connection to its end; 0: as long as it likes. */
  readonly maxStreamDurationMs: number;
  /** Of a response's head. */
  readonly responseLimits: { readonly maxBytes: number; readonly maxHeaders: number };
  /** A connection that is older takes no new requests; 0: none is too old. */
  readonly maxConnectionDurationMs: number;
  readonly maxRequestsPerConnection: number;
  /** Source address for upstream connections, as 127.0.0.6. */
  readonly bindAddress: string | null;
  readonly socketOptions: readonly SocketOption[];
  /** Null: idle connections are not probed. */
  readonly keepalive: Keepalive | null;
  /** Istio's filter metadata: service host, name and namespace, for metrics. */
  readonly services: readonly { readonly host: string; readonly name: string; readonly namespace: string }[];
  readonly alpnOverride: boolean;
  readonly provenance: Provenance;
}

/** How names of DNS clusters are looked up. */
export interface DnsConfig {
  readonly refreshMs: number;
  /** After a failed lookup; null: as after a successful one. */
  readonly failureRefresh: { readonly baseMs: number; readonly maxMs: number } | null;
  /** The records say when to look again. */
  readonly respectsTtl: boolean;
  readonly family: "auto" | "v4_only" | "v6_only" | "v4_preferred" | "all";
}

export interface CircuitBreakerThresholds {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  /** Takes the place of `maxRetries`; null: none. */
  readonly retryBudget: { readonly percent: number; readonly minConcurrency: number } | null;
  /** Infinite where nothing is configured, as the next one. */
  readonly maxConnectionPools: number;
  readonly maxConnectionsPerHost: number;
  /** What is left of each limit is among the statistics. */
  readonly tracksRemaining: boolean;
}

/** Where nothing is configured. */
export const defaultThresholds: CircuitBreakerThresholds = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  retryBudget: null,
  maxConnectionPools: Number.POSITIVE_INFINITY,
  maxConnectionsPerHost: Number.POSITIVE_INFINITY,
  tracksRemaining: false,
};

/** The first entry whose labels all equal the endpoint's `envoy.transport_socket_match` metadata applies. */
export interface TransportSocketMatch {
  readonly name: string;
  readonly match: Readonly<Record<string, string>>;
  readonly tls: UpstreamTlsConfig | null;
  /** Null: connections begin without a PROXY header. */
  readonly proxyProtocol: UpstreamProxyProtocol | null;
}

export interface UpstreamProxyProtocol {
  readonly version: 1 | 2;
  /** Whether an extension of the client's header goes on; null: none does. */
  readonly passesTlv: ((type: number) => boolean) | null;
}

export interface EndpointSet {
  readonly clusterName: string;
  readonly endpoints: readonly EndpointConfig[];
  /** Localities that have a weight, for balancing by locality. */
  readonly localities: readonly LocalityConfig[];
  readonly policy: AssignmentPolicy;
}

export interface LocalityConfig {
  /** As `EndpointConfig.locality`. */
  readonly name: string;
  readonly priority: number;
  readonly weight: number;
}

/** `policy` of a ClusterLoadAssignment. */
export interface AssignmentPolicy {
  /** A priority or locality is whole as long as its usable percent times this over 100 is at least 100. */
  readonly overprovisioningPercent: number;
  /** The part of a priority that can be used is counted in weights rather than in hosts. */
  readonly countsWeights: boolean;
  /** What part of the traffic is dropped; null: none. */
  readonly dropOverload: { readonly category: string; readonly fraction: number } | null;
  /** After this time without another assignment the endpoints are not used any more. 0: never. */
  readonly staleAfterMs: number;
}

export const defaultAssignmentPolicy: AssignmentPolicy = {
  overprovisioningPercent: 140,
  countsWeights: false,
  dropOverload: null,
  staleAfterMs: 0,
};

/** Endpoints without anything else. */
export function plainEndpointSet(clusterName: string, endpoints: readonly EndpointConfig[]): EndpointSet {
  return { clusterName, endpoints, localities: [], policy: defaultAssignmentPolicy };
}

export interface EndpointConfig {
  /** Address and port, as `10.244.0.7:9080`; unique in a cluster. */
  readonly key: string;
  readonly host: string;
  readonly port: number;
  /** Others of the same endpoint and port, tried when the first does not answer. */
  readonly additionalAddresses: readonly string[];
  /** The name that belongs to the address; empty: none. */
  readonly hostname: string;
  readonly weight: number;
  readonly priority: number;
  readonly locality: string;
  readonly health: EndpointHealth;
  /** Where and how its health is asked for; null: as traffic. */
  readonly healthCheck: {
    /** Empty: the endpoint's. */
    readonly host: string;
    /** 0: the endpoint's. */
    readonly port: number;
    /** Of the Host header; empty: the health check's. */
    readonly hostname: string;
    readonly isDisabled: boolean;
  } | null;
  /** `envoy.lb` metadata, for subsets, canaries and hash keys; null: none. */
  readonly metadata: JsonObject | null;
  /** `envoy.transport_socket_match` metadata. */
  readonly transportMatch: Readonly<Record<string, string>>;
  /** `istio.workload` metadata: workload;namespace;canonicalName;canonicalRevision;clusterId. */
  readonly workload: string;
}

/** An endpoint that nothing more is known of than its address. */
export function plainEndpoint(key: string, host: string, port: number): EndpointConfig {
  return {
    key,
    host,
    port,
    additionalAddresses: [],
    hostname: "",
    weight: 1,
    priority: 0,
    locality: "",
    health: "healthy",
    healthCheck: null,
    metadata: null,
    transportMatch: {},
    workload: "",
  };
}
