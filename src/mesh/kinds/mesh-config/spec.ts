// Mesh configuration (ConfigMap `istio`, key `mesh`) as decoded: the fields that are in force today, with defaults.
import type { GatewayTopology } from "../../objects/fields/gateway-topology.ts";
import type { HttpRetry } from "../../objects/fields/http-retry.ts";
import type { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import type { Labels } from "../../objects/fields/selector.ts";
import type { TlsVersion } from "../../objects/fields/server-tls.ts";
import type {
  ClientTlsSettings,
  ConnectionPoolSettings,
  H2UpgradePolicy,
  LocalityLbSetting,
  OutlierDetection,
  TcpKeepalive,
  ZoneAwareLbSetting,
} from "../../objects/fields/traffic-policy.ts";
import type { Milliseconds } from "../../objects/fields/units.ts";

/** Roots that the mesh trusts besides its CA's own. */
export interface CaCertificates {
  /** PEM. */
  readonly pem: string;
  /** Signers of the Kubernetes CSR API whose certificates lead to them; all of them where none is named. */
  readonly certSigners: readonly string[];
}

export interface MeshConfig {
  readonly proxyListenPort: number;
  readonly proxyInboundListenPort: number;
  /** 0 means no HTTP proxy listener. */
  readonly proxyHttpPort: number;
  readonly connectTimeout: Milliseconds;
  /** 0 waits for the first bytes without limit. */
  readonly protocolDetectionTimeout: Milliseconds;
  readonly tcpKeepalive?: TcpKeepalive;
  readonly enableTracing: boolean;
  /** Empty switches the access log off. */
  readonly accessLogFile: string;
  readonly accessLogFormat: string;
  readonly accessLogEncoding: "TEXT" | "JSON";
  readonly disableEnvoyListenerLog: boolean;
  readonly defaultConfig: ProxyConfig;
  readonly outboundTrafficPolicy: {
    readonly mode: OutboundMode;
    /** To unknown hosts that are resolved. */
    readonly tls?: ClientTlsSettings;
  };
  readonly inboundTrafficPolicy: { readonly mode: "PASSTHROUGH" | "LOCALHOST" };
  readonly enableAutoMtls: boolean;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly caCertificates: readonly CaCertificates[];
  readonly defaultServiceExportTo: readonly string[];
  readonly defaultVirtualServiceExportTo: readonly string[];
  readonly defaultDestinationRuleExportTo: readonly string[];
  readonly rootNamespace: string;
  readonly localityLbSetting?: LocalityLbSetting;
  /** Comes before `localityLbSetting` unless it is switched off. */
  readonly zoneAwareLbSetting?: ZoneAwareLbSetting;
  readonly dnsRefreshRate: Milliseconds;
  readonly h2UpgradePolicy: H2UpgradePolicy;
  readonly inboundClusterStatName: string;
  readonly outboundClusterStatName: string;
  readonly enablePrometheusMerge: boolean;
  /** Value of the annotation `kubernetes.io/ingress.class` of Ingresses that are the mesh's. */
  readonly ingressClass: string;
  /** DEFAULT also takes Ingresses that name no class. */
  readonly ingressControllerMode: "UNSPECIFIED" | "OFF" | "DEFAULT" | "STRICT";
  /** Label `istio` of the gateway's pods. */
  readonly ingressSelector: string;
  /** Service in the root namespace whose addresses Ingresses show. */
  readonly ingressService: string;
  readonly pathNormalization: {
    readonly normalization: "DEFAULT" | "NONE" | "BASE" | "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES";
  };
  /** Undefined means the built-in policy. */
  readonly defaultHttpRetryPolicy?: HttpRetry;
  readonly meshMTLS: { readonly minProtocolVersion: TlsVersion; readonly cipherSuites: readonly string[] };
  /** Of TLS that is not the mesh's own mutual TLS, where a Gateway says nothing of its own. */
  readonly tlsDefaults: { readonly cipherSuites: readonly string[]; readonly ecdhCurves: readonly string[] };
  readonly defaultTrafficPolicy?: {
    readonly connectionPool?: ConnectionPoolSettings;
    readonly outlierDetection?: OutlierDetection;
  };
  readonly discoverySelectors: readonly DiscoverySelector[];
  readonly serviceEntryVisibility?: ServiceEntryVisibility;
  /** Of the ConfigMap's other key. */
  readonly meshNetworks: readonly MeshNetwork[];
  /** Fields of the API that are accepted and not in force; kept as written. */
  readonly rest: Readonly<Record<string, unknown>>;
}

export const Visibility = {
  Unspecified: "UNSPECIFIED",
  Public: "PUBLIC",
  Namespace: "NAMESPACE",
  None: "NONE",
} as const;
export type Visibility = (typeof Visibility)[keyof typeof Visibility];

/** How far ServiceEntries are seen at most. */
export interface ServiceEntryVisibility {
  readonly defaultVisibility: Visibility;
  /** Without it only Istio's ambient mode asks for this. */
  readonly applyToSidecars: boolean;
  /** The first one counts of which all rules match. */
  readonly policies: readonly {
    readonly visibility: Visibility;
    readonly matchingRules: readonly { readonly namespaceSelector?: DiscoverySelector }[];
  }[];
}

export interface MeshNetwork {
  readonly name: string;
  /** One of both is said: a block of addresses, or the cluster that knows the endpoints. */
  readonly endpoints: readonly { readonly fromCidr: string; readonly fromRegistry: string }[];
  readonly gateways: readonly {
    /** An IP address, or a host name that the control plane resolves; empty: that of a Service, by its full name. */
    readonly address: string;
    readonly registryServiceName: string;
    readonly port: number;
    readonly locality: string;
  }[];
}

export interface DiscoverySelector {
  readonly matchLabels: Labels;
  readonly matchExpressions: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values: readonly string[];
  }[];
}

/** `defaultConfig`, also the pod annotation `proxy.istio.io/config`. */
export interface ProxyConfig {
  readonly configPath: string;
  readonly serviceCluster: string;
  readonly drainDuration: Milliseconds;
  readonly terminationDrainDuration: Milliseconds;
  readonly discoveryAddress: string;
  readonly proxyAdminPort: number;
  readonly statusPort: number;
  /** Undefined follows the container's CPU limit; 0 means all cores. */
  readonly concurrency?: number;
  readonly interceptionMode: "REDIRECT" | "TPROXY" | "NONE";
  readonly proxyMetadata: Readonly<Record<string, string>>;
  readonly holdApplicationUntilProxyStarts: boolean;
  readonly gatewayTopology: GatewayTopology;
  readonly rest: Readonly<Record<string, unknown>>;
}
