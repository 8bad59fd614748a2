// Reads the blocks of a traffic policy.
import {
  boolean,
  count,
  type Decoder,
  duration,
  flag,
  list,
  map,
  number,
  oneOf,
  optional,
  record,
  string,
  strings,
  text,
  uint32,
  withDefault,
} from "../decode.ts";
import { decodePortSelector } from "./port.ts";
import {
  ClientTlsMode,
  type ClientTlsSettings,
  type ConnectionPoolSettings,
  type ConsistentHash,
  H2UpgradePolicy,
  type HttpCookie,
  type HttpSettings,
  type LoadBalancerSettings,
  type LocalityFailover,
  type LocalityLbSetting,
  type OutlierDetection,
  type PortTrafficPolicy,
  type ProxyProtocol,
  type RetryBudget,
  SimpleLb,
  type TcpKeepalive,
  type TcpSettings,
  type TrafficPolicy,
  type TunnelSettings,
  type Warmup,
  type ZoneAwareLbSetting,
} from "./traffic-policy.ts";

export const decodeTcpKeepalive: Decoder<TcpKeepalive> = record<TcpKeepalive>({
  probes: count,
  time: optional(duration),
  interval: optional(duration),
});

const decodeTcpSettings = record<TcpSettings>({
  maxConnections: count,
  connectTimeout: optional(duration),
  tcpKeepalive: optional(decodeTcpKeepalive),
  maxConnectionDuration: optional(duration),
  idleTimeout: optional(duration),
});

export const decodeH2UpgradePolicy: Decoder<H2UpgradePolicy> = oneOf(Object.values(H2UpgradePolicy));

const decodeHttpSettings = record<HttpSettings>({
  http1MaxPendingRequests: count,
  http2MaxRequests: count,
  maxRequestsPerConnection: count,
  maxRetries: count,
  idleTimeout: optional(duration),
  h2UpgradePolicy: withDefault(decodeH2UpgradePolicy, H2UpgradePolicy.Default),
  useClientProtocol: flag,
  maxConcurrentStreams: count,
  http2KeepAlive: optional(
    record<NonNullable<HttpSettings["http2KeepAlive"]>>({ interval: optional(duration), timeout: optional(duration) }),
  ),
});

export const decodeConnectionPool: Decoder<ConnectionPoolSettings> = record<ConnectionPoolSettings>({
  tcp: optional(decodeTcpSettings),
  http: optional(decodeHttpSettings),
});

export const decodeOutlierDetection: Decoder<OutlierDetection> = record<OutlierDetection>({
  consecutiveErrors: count,
  splitExternalLocalOriginErrors: flag,
  consecutiveLocalOriginFailures: optional(uint32),
  consecutiveGatewayErrors: optional(uint32),
  consecutive5xxErrors: optional(uint32),
  interval: optional(duration),
  baseEjectionTime: optional(duration),
  maxEjectionPercent: count,
  minHealthPercent: count,
  outlierDetectionHttpErrorCodes: list(uint32),
});

const decodeFailover = record<LocalityFailover>({ from: text, to: text });

export const decodeLocalityLb: Decoder<LocalityLbSetting> = record<LocalityLbSetting>({
  enabled: optional(boolean),
  distribute: list(record({ from: text, to: map(uint32) })),
  failover: list(decodeFailover),
  failoverPriority: strings,
});

export const decodeZoneAwareLb: Decoder<ZoneAwareLbSetting> = record<ZoneAwareLbSetting>({
  enabled: optional(boolean),
  failover: list(decodeFailover),
  failoverPriority: strings,
  minClusterSize: optional(uint32),
});

const decodeCookie = record<HttpCookie>({
  name: text,
  path: text,
  ttl: optional(duration),
  attributes: list(record({ name: text, value: text })),
});

const decodeConsistentHash = record<ConsistentHash>({
  httpHeaderName: optional(string),
  httpCookie: optional(decodeCookie),
  useSourceIp: optional(boolean),
  httpQueryParameterName: optional(string),
  ringHash: optional(record({ minimumRingSize: withDefault(uint32, 1024) })),
  maglev: optional(record({ tableSize: count })),
  minimumRingSize: count,
});

const decodeWarmup = record<Warmup>({
  duration: optional(duration),
  minimumPercent: withDefault(number, 10),
  aggression: withDefault(number, 1),
});

const decodeLoadBalancer = record<LoadBalancerSettings>({
  simple: optional(oneOf(Object.values(SimpleLb))),
  consistentHash: optional(decodeConsistentHash),
  localityLbSetting: optional(decodeLocalityLb),
  zoneAwareLbSetting: optional(decodeZoneAwareLb),
  warmupDurationSecs: optional(duration),
  warmup: optional(decodeWarmup),
});

export const decodeClientTls: Decoder<ClientTlsSettings> = record<Omit<ClientTlsSettings, "showsGatewayCertificate">>({
  mode: withDefault(oneOf(Object.values(ClientTlsMode)), ClientTlsMode.Disable),
  clientCertificate: text,
  privateKey: text,
  caCertificates: text,
  credentialName: text,
  subjectAltNames: strings,
  sni: text,
  insecureSkipVerify: optional(boolean),
  caCrl: text,
});

const decodePortPolicy = record<PortTrafficPolicy>({
  port: optional(decodePortSelector),
  loadBalancer: optional(decodeLoadBalancer),
  connectionPool: optional(decodeConnectionPool),
  outlierDetection: optional(decodeOutlierDetection),
  tls: optional(decodeClientTls),
});

export const decodeTrafficPolicy: Decoder<TrafficPolicy> = record<TrafficPolicy>({
  loadBalancer: optional(decodeLoadBalancer),
  connectionPool: optional(decodeConnectionPool),
  outlierDetection: optional(decodeOutlierDetection),
  tls: optional(decodeClientTls),
  portLevelSettings: list(decodePortPolicy, 4096),
  tunnel: optional(record<TunnelSettings>({ protocol: text, targetHost: text, targetPort: count })),
  proxyProtocol: optional(record<ProxyProtocol>({ version: withDefault(oneOf(["V1", "V2"]), "V1") })),
  retryBudget: optional(
    record<RetryBudget>({
      percent: optional(number),
      minRetryConcurrency: withDefault(uint32, 3),
      budgetInterval: optional(duration),
    }),
  ),
});
