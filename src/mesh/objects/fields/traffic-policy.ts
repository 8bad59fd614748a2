// What a client does with connections to a destination: the policy of a DestinationRule, and the parts of it that
// Sidecar and mesh configuration share. Absent blocks mean "nothing said here".
import type { PortSelector } from "./port.ts";
import type { Milliseconds, Percent } from "./units.ts";

export interface TrafficPolicy {
  readonly loadBalancer?: LoadBalancerSettings;
  readonly connectionPool?: ConnectionPoolSettings;
  readonly outlierDetection?: OutlierDetection;
  readonly tls?: ClientTlsSettings;
  /** Replaces the destination-level settings for a port; nothing is inherited. */
  readonly portLevelSettings: readonly PortTrafficPolicy[];
  readonly tunnel?: TunnelSettings;
  readonly proxyProtocol?: ProxyProtocol;
  readonly retryBudget?: RetryBudget;
}

export interface PortTrafficPolicy {
  readonly port?: PortSelector;
  readonly loadBalancer?: LoadBalancerSettings;
  readonly connectionPool?: ConnectionPoolSettings;
  readonly outlierDetection?: OutlierDetection;
  readonly tls?: ClientTlsSettings;
}

export const SimpleLb = {
  Unspecified: "UNSPECIFIED",
  LeastConn: "LEAST_CONN",
  Random: "RANDOM",
  Passthrough: "PASSTHROUGH",
  RoundRobin: "ROUND_ROBIN",
  LeastRequest: "LEAST_REQUEST",
} as const;
export type SimpleLb = (typeof SimpleLb)[keyof typeof SimpleLb];

export interface LoadBalancerSettings {
  /** UNSPECIFIED and LEAST_CONN mean LEAST_REQUEST. */
  readonly simple?: SimpleLb;
  readonly consistentHash?: ConsistentHash;
  readonly localityLbSetting?: LocalityLbSetting;
  readonly zoneAwareLbSetting?: ZoneAwareLbSetting;
  /** Legacy spelling of `warmup.duration`. */
  readonly warmupDurationSecs?: Milliseconds;
  readonly warmup?: Warmup;
}

export interface Warmup {
  readonly duration?: Milliseconds;
  readonly minimumPercent: Percent;
  readonly aggression: number;
}

export interface ConsistentHash {
  readonly httpHeaderName?: string;
  readonly httpCookie?: HttpCookie;
  readonly useSourceIp?: boolean;
  readonly httpQueryParameterName?: string;
  readonly ringHash?: { readonly minimumRingSize: number };
  readonly maglev?: { readonly tableSize: number };
  /** Legacy spelling of `ringHash.minimumRingSize`; 0 when not set. */
  readonly minimumRingSize: number;
}

export interface HttpCookie {
  readonly name: string;
  readonly path: string;
  readonly ttl?: Milliseconds;
  readonly attributes: readonly { readonly name: string; readonly value: string }[];
}

export interface LocalityLbSetting {
  readonly enabled?: boolean;
  readonly distribute: readonly { readonly from: string; readonly to: Readonly<Record<string, number>> }[];
  readonly failover: readonly LocalityFailover[];
  readonly failoverPriority: readonly string[];
}

export interface LocalityFailover {
  readonly from: string;
  readonly to: string;
}

export interface ZoneAwareLbSetting {
  readonly enabled?: boolean;
  readonly failover: readonly LocalityFailover[];
  readonly failoverPriority: readonly string[];
  readonly minClusterSize?: number;
}

export interface ConnectionPoolSettings {
  readonly tcp?: TcpSettings;
  readonly http?: HttpSettings;
}

export interface TcpSettings {
  /** 0 means not set. */
  readonly maxConnections: number;
  readonly connectTimeout?: Milliseconds;
  readonly tcpKeepalive?: TcpKeepalive;
  readonly maxConnectionDuration?: Milliseconds;
  readonly idleTimeout?: Milliseconds;
}

export interface TcpKeepalive {
  readonly probes: number;
  readonly time?: Milliseconds;
  readonly interval?: Milliseconds;
}

export const H2UpgradePolicy = { Default: "DEFAULT", DoNotUpgrade: "DO_NOT_UPGRADE", Upgrade: "UPGRADE" } as const;
export type H2UpgradePolicy = (typeof H2UpgradePolicy)[keyof typeof H2UpgradePolicy];

export interface HttpSettings {
  /** In these four, 0 means not set (unlimited). */
  readonly http1MaxPendingRequests: number;
  readonly http2MaxRequests: number;
  readonly maxRequestsPerConnection: number;
  readonly maxRetries: number;
  readonly idleTimeout?: Milliseconds;
  readonly h2UpgradePolicy: H2UpgradePolicy;
  readonly useClientProtocol: boolean;
  readonly maxConcurrentStreams: number;
  readonly http2KeepAlive?: { readonly interval?: Milliseconds; readonly timeout?: Milliseconds };
}

export interface OutlierDetection {
  /** Deprecated. */
  readonly consecutiveErrors: number;
  readonly splitExternalLocalOriginErrors: boolean;
  readonly consecutiveLocalOriginFailures?: number;
  readonly consecutiveGatewayErrors?: number;
  /** 0 disables; undefined is Envoy's 5. */
  readonly consecutive5xxErrors?: number;
  readonly interval?: Milliseconds;
  readonly baseEjectionTime?: Milliseconds;
  /** 0 means not set (10). */
  readonly maxEjectionPercent: Percent;
  readonly minHealthPercent: Percent;
  readonly outlierDetectionHttpErrorCodes: readonly number[];
}

export const ClientTlsMode = {
  Disable: "DISABLE",
  Simple: "SIMPLE",
  Mutual: "MUTUAL",
  IstioMutual: "ISTIO_MUTUAL",
} as const;
export type ClientTlsMode = (typeof ClientTlsMode)[keyof typeof ClientTlsMode];

export interface ClientTlsSettings {
  readonly mode: ClientTlsMode;
  readonly clientCertificate: string;
  readonly privateKey: string;
  readonly caCertificates: string;
  readonly credentialName: string;
  readonly subjectAltNames: readonly string[];
  /** Empty: taken from the Host header, or Istio's own SNI for ISTIO_MUTUAL. */
  readonly sni: string;
  readonly insecureSkipVerify?: boolean;
  readonly caCrl: string;
  /** Of BackendTLSPolicies: a gateway shows the certificate that its Gateway names for backends. */
  readonly showsGatewayCertificate?: boolean;
}

export interface TunnelSettings {
  /** Empty means CONNECT. */
  readonly protocol: string;
  readonly targetHost: string;
  readonly targetPort: number;
}

export interface ProxyProtocol {
  readonly version: "V1" | "V2";
}

export interface RetryBudget {
  readonly percent?: Percent;
  readonly minRetryConcurrency: number;
  readonly budgetInterval?: Milliseconds;
}
