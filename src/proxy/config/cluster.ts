// Runtime shape of clusters and their endpoints, as CDS and EDS describe them. Connection pools and balancers hang
// on these by name in `upstream/`; the objects here are immutable.
import type { Provenance } from "#wire/xds/provenance.ts";
import type { StringMatcher } from "./matcher.ts";

export interface ClusterConfig {
  readonly name: string;
  readonly type: "eds" | "static" | "strict_dns" | "logical_dns" | "original_dst";
  readonly edsServiceName: string;
  readonly connectTimeoutMs: number;
  readonly lbPolicy: "round_robin" | "least_request" | "random" | "ring_hash" | "maglev" | "cluster_provided";
  /** Inline load assignment of STATIC and DNS clusters. */
  readonly endpoints: EndpointSet | null;
  readonly dnsRefreshMs: number;
  readonly thresholds: CircuitBreakerThresholds;
  readonly transports: readonly TransportSocketMatch[];
  /** "http2": always; "http1": always; "downstream": what the downstream speaks. */
  readonly upstreamProtocol: "http1" | "http2" | "downstream";
  readonly idleTimeoutMs: number;
  readonly maxRequestsPerConnection: number;
  /** Source address for upstream connections, as 127.0.0.6. */
  readonly bindAddress: string | null;
  /** Istio's filter metadata: service host, name and namespace, for metrics. */
  readonly services: readonly { readonly host: string; readonly name: string; readonly namespace: string }[];
  readonly alpnOverride: boolean;
  readonly commonLb: { readonly healthyPanicPercent: number };
  readonly provenance: Provenance;
}

export interface CircuitBreakerThresholds {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
}

/** The first entry whose labels all equal the endpoint's `envoy.transport_socket_match` metadata applies. */
export interface TransportSocketMatch {
  readonly name: string;
  readonly match: Readonly<Record<string, string>>;
  readonly tls: UpstreamTlsConfig | null;
}

export interface UpstreamTlsConfig {
  readonly sni: string;
  readonly alpnProtocols: readonly string[];
  /** SDS name of the client certificate, or null. */
  readonly certificateName: string | null;
  /** SDS name of trusted roots; null verifies nothing, "system" uses the platform's roots. */
  readonly validationName: string | null;
  readonly sanMatchers: readonly StringMatcher[];
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion: "TLSv1.2" | "TLSv1.3";
}

export interface EndpointSet {
  readonly clusterName: string;
  readonly endpoints: readonly EndpointConfig[];
}

export interface EndpointConfig {
  /** Address and port, as `10.244.0.7:9080`; unique in a cluster. */
  readonly key: string;
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  readonly priority: number;
  readonly locality: string;
  readonly health: "healthy" | "unhealthy" | "draining" | "degraded";
  /** `envoy.transport_socket_match` metadata. */
  readonly transportMatch: Readonly<Record<string, string>>;
  /** `istio.workload` metadata: workload;namespace;canonicalName;canonicalRevision;clusterId. */
  readonly workload: string;
}
