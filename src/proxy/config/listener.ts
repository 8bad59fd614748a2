// Runtime shape of listeners: what an LDS resource becomes once, at configuration time. Immutable. The data path
// reads these objects and never a protobuf.
import type { Provenance } from "#wire/xds/provenance.ts";
import type { AccessLogger } from "./access-log.ts";
import type { FilterDiscovery } from "./extension.ts";
import type { FilterMetadata, HttpConnectionManagerConfig } from "./http.ts";
import type { CidrSet } from "./matcher.ts";
import type { RbacSubject, RbacVerdict } from "./rbac.ts";
import type { ListenAddress, SocketOption } from "./socket.ts";
import type { DownstreamTlsConfig } from "./tls.ts";
import type { Trace } from "./trace.ts";

export const TrafficDirection = { Unspecified: 0, Inbound: 1, Outbound: 2 } as const;
export type TrafficDirection = (typeof TrafficDirection)[keyof typeof TrafficDirection];

export interface ListenerConfig {
  readonly name: string;
  readonly direction: TrafficDirection;
  readonly host: string;
  readonly port: number;
  /** Permissions of a Unix socket; 0 leaves them. */
  readonly mode: number;
  /** More addresses of the same listener. */
  readonly additionalAddresses: readonly AdditionalAddress[];
  /** Connections that the kernel keeps until they are accepted; 0 takes our own number. */
  readonly backlog: number;
  readonly socketOptions: readonly SocketOption[];
  /** What statistics call it; empty: its address. */
  readonly statPrefix: string;
  /** Connections count and are refused for the whole proxy's limit. */
  readonly isInGlobalLimit: boolean;
  /** Goes on as it is when the proxy drains; only its own removal drains it. */
  readonly drainsOnlyWhenModified: boolean;
  /** It gets connections that are meant for other addresses, as TPROXY hands them over. */
  readonly isTransparent: boolean;
  /** False: reached only through a listener with `useOriginalDst`. */
  readonly bindToPort: boolean;
  /** Hand an accepted connection to the listener that matches its original destination. */
  readonly useOriginalDst: boolean;
  /** Read the original destination (SO_ORIGINAL_DST) before filter chains are matched. */
  readonly originalDst: boolean;
  readonly tlsInspector: ListenerFilter | null;
  readonly httpInspector: ListenerFilter | null;
  /** Read before the inspectors look. Null: connections have no PROXY header. */
  readonly proxyProtocol: ProxyProtocolConfig | null;
  /** Unsent bytes of a connection at which its sender has to wait; 0: the proxy's own measure. */
  readonly bufferLimitBytes: number;
  /** 0 waits for ever. */
  readonly listenerFiltersTimeoutMs: number;
  readonly continueOnListenerFiltersTimeout: boolean;
  readonly filterChains: readonly FilterChainConfig[];
  /** Chooses among the chains by name, instead of their own matches. */
  readonly filterChainMatcher: ChainMatcher | null;
  readonly defaultFilterChain: FilterChainConfig | null;
  readonly accessLog: readonly AccessLogger[];
  readonly provenance: Provenance;
}

interface AdditionalAddress extends ListenAddress {
  readonly socketOptions: readonly SocketOption[];
}

/** What the proxy_protocol listener filter does with a header, and with none. */
export interface ProxyProtocolConfig {
  /** Connections without a header are served as they are. */
  readonly allowsAbsent: boolean;
  /** Versions that are not read: 1, 2. */
  readonly disallowedVersions: ReadonlySet<number>;
  /** Extensions that become dynamic metadata. */
  readonly rules: readonly { readonly tlvType: number; readonly namespace: string; readonly key: string }[];
  /** Whether an extension goes on to endpoints that get a PROXY header; null: none does. */
  readonly passesTlv: ((type: number) => boolean) | null;
  /** `proxy_proto.` with the filter's own prefix. */
  readonly statPrefix: string;
}

/** A listener filter can be switched off for some destination ports. */
export interface ListenerFilter {
  readonly disabledForPort: (port: number) => boolean;
}

export interface FilterChainConfig {
  readonly name: string;
  readonly match: FilterChainMatch;
  readonly tls: DownstreamTlsConfig | null;
  /** Longest time for the TLS handshake; 0 takes the default. */
  readonly connectTimeoutMs: number;
  /** Equal for chains that are equal in every field. */
  readonly fingerprint: string;
  /** Network filters in order; the last is terminal. */
  readonly filters: readonly NetworkFilterConfig[];
  readonly provenance: Provenance;
}

/** Envoy's FilterChainMatch. Empty lists and nulls match everything. */
export interface FilterChainMatch {
  readonly destinationPort: number | null;
  readonly destinationRanges: CidrSet | null;
  readonly serverNames: readonly string[];
  readonly transportProtocol: "tls" | "raw_buffer" | null;
  readonly applicationProtocols: readonly string[];
  /** The address that the connection came from, whatever a PROXY header says. */
  readonly directSourceRanges: CidrSet | null;
  /** `local`: from this host itself. */
  readonly sourceType: "any" | "local" | "external";
  readonly sourceRanges: CidrSet | null;
  readonly sourcePorts: readonly number[];
}

export const matchesEverything: FilterChainMatch = {
  destinationPort: null,
  destinationRanges: null,
  serverNames: [],
  transportProtocol: null,
  applicationProtocols: [],
  directSourceRanges: null,
  sourceType: "any",
  sourceRanges: null,
  sourcePorts: [],
};

/** What a listener knows of a connection before it chooses a chain. */
export interface ConnectionFacts {
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly sourceIp: string;
  readonly sourcePort: number;
  /** The same as `sourceIp` unless a PROXY header spoke. */
  readonly directSourceIp: string;
  readonly transportProtocol: "" | "tls" | "raw_buffer";
  /** Lower case. */
  readonly serverName: string;
  readonly applicationProtocols: readonly string[];
}

/** A compiled `filter_chain_matcher`: the name of the chain, or null when nothing matched. */
export type ChainMatcher = (facts: ConnectionFacts) => string | null;

export interface NetworkFilterConfig {
  readonly name: string;
  /** As its folder, with underscores: `tcp_proxy`. */
  readonly type: string;
  /** What the filter's own parser made of its message. */
  readonly settings: unknown;
  /** It ends the chain: it has the connection to itself. */
  readonly isTerminal: boolean;
  /** Clusters that it may send to. */
  readonly clusters: readonly string[];
  /** It decides by the server name of a hello, which has to be read for it. */
  readonly readsServerName: boolean;
  /** Of the HTTP connection manager; null for the others. */
  readonly http: HttpConnectionManagerConfig | null;
  /** Null: it has no say in where connections go. */
  readonly decide: ConnectionDecide | null;
  /** Its settings come over ECDS: what stands here is empty. */
  readonly discovery?: FilterDiscovery<NetworkFilterConfig>;
}

/** A filter's verdict on a connection. Pure, for explain; the live filter calls the same functions. */
export type ConnectionDecide = (question: ConnectionQuestion, trace: Trace | null) => ConnectionOutcome;

interface ConnectionQuestion {
  readonly subject: RbacSubject;
  /** A draw from [0, 1) for weights. */
  readonly draw: number;
  /** What a filter before chose, over what the TCP proxy is configured for. */
  readonly cluster: string | null;
}

export interface ConnectionOutcome {
  /** Why the connection is closed; null lets it pass. */
  readonly refusal: string | null;
  /** Of a filter that authorizes. */
  readonly authorization: RbacVerdict | null;
  /** Where it goes, as far as this filter says. */
  readonly cluster: string | null;
  /** Those that it draws among, with their weights. */
  readonly clusters?: readonly { readonly name: string; readonly weight: number }[];
  /** What the filter answers itself, in words. */
  readonly answer: string | null;
  /** The host that it looks up, for a dynamic forward proxy. */
  readonly dynamicHost?: { readonly key: string; readonly cache: string };
  /** What it tells the filters behind. */
  readonly metadata?: readonly FilterMetadata[];
}

/** For filters that say only some of it. */
export const noOutcome: ConnectionOutcome = { refusal: null, authorization: null, cluster: null, answer: null };
