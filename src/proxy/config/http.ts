// Runtime shape of an HTTP connection manager and its route configuration.
import type { JsonObject } from "@bufbuild/protobuf";
import type { Provenance } from "#wire/xds/provenance.ts";
import type { AccessLogEntry, AccessLogger } from "./access-log.ts";
import type { FilterDiscovery } from "./extension.ts";
import type { Http2Config } from "./http2.ts";
import type { CidrSet, HeaderMatcher, StringMatcher } from "./matcher.ts";
import type { RateLimitRule, RouteRateLimits } from "./rate-limit.ts";
import type { RbacSubject, RbacVerdict } from "./rbac.ts";
import type { RuntimeShare } from "./runtime.ts";
import type { Trace } from "./trace.ts";
import type { TracingConfig } from "./tracing.ts";

export interface HttpConnectionManagerConfig {
  readonly statPrefix: string;
  /** Exactly one of the two is set. */
  readonly routeConfigName: string | null;
  readonly routeConfig: RouteConfig | null;
  readonly httpFilters: readonly HttpFilterConfig[];
  /** Null: no spans are made. */
  readonly tracing: TracingConfig | null;
  readonly accessLog: readonly AccessLogger[];
  readonly client: ClientAddressConfig;
  readonly forwardClientCert: "sanitize" | "forward_only" | "append_forward" | "sanitize_set" | "always_forward_only";
  readonly clientCertDetails: {
    readonly subject: boolean;
    readonly uri: boolean;
    readonly dns: boolean;
    readonly cert: boolean;
  };
  readonly serverName: string;
  readonly serverHeader: "overwrite" | "append_if_absent" | "pass_through";
  /** Appended to `via` in both directions; empty for none. */
  readonly via: string;
  /** Names the caller's cluster in `x-envoy-downstream-service-cluster`, and in `user-agent` where there is none. */
  readonly addUserAgent: boolean;
  /** Takes the place of the scheme that the client or its connection has. */
  readonly schemeOverwrite: "http" | "https" | null;
  readonly generateRequestId: boolean;
  /** Keeps an `x-request-id` that comes from outside. */
  readonly preserveExternalRequestId: boolean;
  readonly alwaysSetRequestIdInResponse: boolean;
  readonly paths: PathConfig;
  readonly stripPort: "never" | "matching" | "any";
  readonly stripTrailingHostDot: boolean;
  readonly headersWithUnderscores: "allow" | "reject" | "drop";
  /** Leaves `expect: 100-continue` to the upstream, instead of answering it here. */
  readonly proxies100Continue: boolean;
  /** In lower case. */
  readonly upgradeTypes: readonly string[];
  readonly codec: "auto" | "http1" | "http2";
  readonly http1: Http1Config;
  readonly http2: Http2Config;
  readonly localReply: LocalReplyConfig | null;
  /** 0 disables. */
  readonly idleTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly maxStreamDurationMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxRequestsPerConnection: number;
  /** How long an HTTP/2 client has to hear that it shall open no more streams, before the last one is named. */
  readonly drainTimeoutMs: number;
  /** How long a connection that was closed here waits for the client to close it too. */
  readonly delayedCloseTimeoutMs: number;
  readonly maxRequestHeadersBytes: number;
  readonly maxRequestHeadersCount: number;
}

/** Who the client is, and what is believed of what it says about itself. */
export interface ClientAddressConfig {
  /** The connection's peer is the client: this proxy stands at an edge. */
  readonly useRemoteAddress: boolean;
  readonly xffTrustedHops: number;
  readonly skipXffAppend: boolean;
  readonly appendXForwardedPort: boolean;
  /** Writes IPv4 addresses as `::ffff:1.2.3.4`. */
  readonly mapsIpv4: boolean;
  /** Addresses of the own network; null: none is. */
  readonly internalRanges: CidrSet | null;
  /** Asked in order instead of `x-forwarded-for`; empty for the default. */
  readonly detection: readonly ClientDetection[];
}

/** Tells the client's address from the headers. A status refuses the request; null passes on. */
export type ClientDetection = (header: (lowerName: string) => string | undefined) => DetectedClient | number | null;

interface DetectedClient {
  readonly ip: string;
  /** Whether the address may make the request an internal one. */
  readonly isTrusted: boolean;
}

/** How a request's path is brought into its one canonical form. */
export interface PathConfig {
  readonly normalize: boolean;
  readonly mergeSlashes: boolean;
  /** What `%2F` and `%5C` in a path lead to. */
  readonly escapedSlashes: "keep" | "reject" | "redirect" | "forward";
}

export interface Http1Config {
  readonly allowAbsoluteUrl: boolean;
  /** Host of HTTP/1.0 requests without one; empty: the address that was asked. */
  readonly defaultHost: string;
  /** Content-Length beside chunked coding is dropped and not refused. */
  readonly allowChunkedLength: boolean;
  /** Names of response headers are written as `Content-Type`, whatever the upstream wrote. */
  readonly properCaseNames: boolean;
  /** A request that is refused for what it says does not cost its connection. */
  readonly keepsOpenAfterInvalid: boolean;
}

/** Changes to replies that the proxy makes itself: the first mapper that accepts, then the format. */
export interface LocalReplyConfig {
  readonly mappers: readonly LocalReplyMapper[];
  readonly format: LocalReplyFormat | null;
}

export interface LocalReplyMapper {
  readonly accepts: (entry: AccessLogEntry) => boolean;
  readonly status: number | null;
  readonly body: string | null;
  readonly headers: readonly HeaderMutation[];
  readonly format: LocalReplyFormat | null;
}

export interface LocalReplyFormat {
  readonly contentType: string;
  /** `entry.localReplyBody` is the body so far. */
  readonly render: (entry: AccessLogEntry) => string;
}

/** One HTTP filter of a chain, in order; the router is always last. */
export interface HttpFilterConfig {
  /** Its name in the chain, by which routes address it. */
  readonly name: string;
  /** The filter's folder under `http/filters`, with underscores. */
  readonly type: string;
  /** What the folder's parser made; only that folder knows its shape. */
  readonly settings: unknown;
  /** Off, unless a route has settings for it. */
  readonly disabled: boolean;
  readonly decide: FilterDecide | null;
  /** Its settings come over ECDS: what stands here is empty. */
  readonly discovery?: FilterDiscovery<HttpFilterConfig>;
}

/** A filter's verdict on a request head. Pure: the live filter and explain call the same function. Null lets it pass. */
export type FilterDecide = (
  subject: RbacSubject,
  routeSettings: readonly unknown[],
  trace: Trace | null,
) => FilterOutcome | null;

interface FilterOutcome {
  /** The answer that the filter gives itself, with its reason in words; null lets the request pass. */
  readonly refusal: { readonly status: number; readonly reason: string } | null;
  /** Of a filter that authorizes. */
  readonly authorization: RbacVerdict | null;
  /** What it tells the filters behind. */
  readonly metadata?: readonly FilterMetadata[];
  /** What it answers to a share of the requests. */
  readonly chance?: Chance;
  /** The DNS cache in which it looks up the hosts of requests. */
  readonly dnsCache?: string;
  /** The authority that the request has from here on. */
  readonly authority?: string;
}

export interface Chance {
  /** From 0 to 1. */
  readonly share: number;
  readonly status: number;
  readonly reason: string;
}

/** Dynamic metadata under the name of the filter that writes it. */
export interface FilterMetadata {
  readonly namespace: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Settings that a route has for filters, by the filter's name in the chain: most specific first. */
export type RouteFilterConfigs = ReadonlyMap<string, readonly RouteFilterConfig[]>;

export interface RouteFilterConfig {
  /** As in HttpFilterConfig; empty when the entry only switches the filter off. */
  readonly type: string;
  readonly settings: unknown;
  readonly disabled: boolean;
}

export interface RouteConfig {
  readonly name: string;
  /** Headers of the whole table; virtual hosts and routes come before, unless `mostSpecificHeadersWin`. */
  readonly headers: HeaderMutations;
  readonly mostSpecificHeadersWin: boolean;
  /** Lower-case names of headers that only proxies of this mesh may set: taken from requests of outside. */
  readonly internalOnlyHeaders: readonly string[];
  readonly ignorePortInHostMatching: boolean;
  /** Parameters of path segments (`/a;x=1`) count for nothing, in routes and in policies. */
  readonly ignorePathParameters?: boolean;
  readonly virtualHosts: readonly VirtualHost[];
  readonly index: VirtualHostIndex;
}

/** Built at configuration time: exact host, then longest suffix (`*.x`), then longest prefix (`x.*`), then `*`. */
export interface VirtualHostIndex {
  /** The authority is in lower case, without its port when `ignorePortInHostMatching`. */
  readonly find: (authority: string) => VirtualHost | null;
}

export interface VirtualHost {
  readonly name: string;
  readonly domains: readonly string[];
  readonly routes: readonly RouteEntry[];
  /** For long lists only. */
  readonly routeIndex: RouteIndex | null;
  readonly includeAttemptCount: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly headers: HeaderMutations;
  readonly rateLimits: readonly RateLimitRule[];
  readonly provenance: Provenance;
}

/** Built at configuration time: which routes a path can match, in their order. One question at a time. */
export interface RouteIndex {
  /** The path without its query. */
  readonly start: (path: string) => void;
  /** The place of the next route to look at, or -1. */
  readonly next: () => number;
}

export interface RouteEntry {
  readonly name: string;
  readonly match: RouteMatch;
  readonly action: RouteAction;
  readonly headers: HeaderMutations;
  /** Of this route, its virtual host and its table; null: none. A weighted cluster has its own, with these behind. */
  readonly filters: RouteFilterConfigs | null;
  readonly rateLimits: RouteRateLimits | null;
  /** By filter name. */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly decorator: string;
  /** Statistics of the route's own stand under it; empty: there are none. */
  readonly statPrefix: string;
  readonly provenance: Provenance;
}

export interface RouteMatch {
  readonly path:
    | {
        readonly type: "prefix" | "path" | "path_separated_prefix";
        readonly value: string;
        readonly caseSensitive: boolean;
      }
    | { readonly type: "regex"; readonly matcher: StringMatcher }
    /** A CONNECT request, which has no path. */
    | { readonly type: "connect" };
  readonly headers: readonly HeaderMatcher[];
  readonly queryParameters: readonly {
    readonly name: string;
    readonly matches: (value: string | undefined) => boolean;
    readonly description: string;
  }[];
  /** Of dynamic metadata by filter; all must match. */
  readonly metadata: readonly {
    readonly filter: string;
    readonly matches: (value: unknown) => boolean;
    readonly description: string;
  }[];
  /** Whether the client must have presented, or proven, a certificate; null: it does not matter. */
  readonly clientCertificate: { readonly presented: boolean | null; readonly validated: boolean | null } | null;
  /** Share of the requests that the route takes; null: all. */
  readonly fraction: RuntimeShare | null;
  /** For explain: `prefix "/api" and header end-user exact "jason"`. */
  readonly description: string;
}

export type RouteAction =
  | { readonly type: "forward"; readonly forward: ForwardAction }
  | { readonly type: "redirect"; readonly redirect: RedirectAction }
  | { readonly type: "direct_response"; readonly status: number; readonly body: string; readonly bytes?: Buffer };

export interface ForwardAction {
  /** One entry with weight 1 for a plain cluster. */
  readonly clusters: readonly WeightedCluster[];
  readonly totalWeight: number;
  /** A request header that holds the draw among weights instead of chance; null: chance. */
  readonly weightHeader: string | null;
  /** Status when the cluster does not exist. */
  readonly clusterNotFoundStatus: number;
  /** From the end of the request to the end of the response; 0 disables. */
  readonly timeoutMs: number;
  /** Longest time without a byte, over the connection manager's; null: the manager's; 0 disables. */
  readonly idleTimeoutMs: number | null;
  /** Whole life of a stream, over the connection manager's; null: the manager's; 0 disables. */
  readonly maxStreamDurationMs: number | null;
  /** Whether `grpc-timeout` takes the place of the timeout: its upper bound (0: none), and what is taken off it. */
  readonly grpcTimeout: { readonly maxMs: number; readonly offsetMs: number } | null;
  readonly retry: RetryPolicy | null;
  readonly priority: RequestPriority;
  readonly hashPolicies: readonly HashPolicy[];
  readonly mirrors: readonly MirrorPolicy[];
  readonly prefixRewrite: { readonly matched: string; readonly replacement: string } | null;
  readonly regexRewrite: ((path: string) => string) | null;
  readonly hostRewrite: HostRewrite | null;
  readonly appendForwardedHost: boolean;
  /** Upgrades that the route allows or forbids, over the connection manager's: lower-case protocol, `connect` among them. */
  readonly upgrades: ReadonlyMap<string, RouteUpgrade>;
}

export type RequestPriority = "default" | "high";

export interface RouteUpgrade {
  readonly enabled: boolean;
  /** CONNECT ends here: its bytes go to the cluster as TCP. */
  readonly terminatesConnect: boolean;
}

export type HostRewrite =
  | { readonly type: "literal"; readonly value: string }
  /** The name of the endpoint that is chosen. */
  | { readonly type: "endpoint" }
  | { readonly type: "header"; readonly name: string }
  | { readonly type: "path"; readonly rewrite: (path: string) => string };

/** What a request's hash is made of. Policies are combined in order; after a terminal one that has a value, none is. */
export type HashPolicy = { readonly terminal: boolean; readonly description: string } & (
  | { readonly type: "header"; readonly name: string; readonly rewrite: ((value: string) => string) | null }
  | {
      readonly type: "cookie";
      readonly name: string;
      /** A client without the cookie gets one for this long; null: none; 0: for its session. */
      readonly ttlMs: number | null;
      readonly path: string;
      readonly attributes: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly type: "source_ip" }
  | { readonly type: "query_parameter"; readonly name: string }
);

export interface MirrorPolicy {
  readonly cluster: string;
  /** A header that names the cluster instead; null: `cluster`. */
  readonly clusterHeader: string | null;
  readonly fraction: RuntimeShare;
  /** Adds `-shadow` to the host. */
  readonly appendShadowSuffix: boolean;
}

export interface WeightedCluster {
  readonly name: string;
  /** A request header that names the cluster instead; null: `name`. */
  readonly clusterHeader: string | null;
  readonly weight: number;
  readonly headers: HeaderMutations;
  readonly filters: RouteFilterConfigs | null;
  /** What the endpoints' `envoy.lb` metadata must say, of the route and of this destination; null: nothing. */
  readonly metadataMatch: JsonObject | null;
}

export interface RedirectAction {
  readonly status: number;
  readonly scheme: string | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly path: string | null;
  readonly prefixRewrite: string | null;
  readonly regexRewrite: ((path: string) => string) | null;
  readonly stripQuery: boolean;
}

export interface RetryPolicy {
  /** Bits of `RetryOn`. */
  readonly retryOn: number;
  readonly numRetries: number;
  /** 0 uses the route timeout. */
  readonly perTryTimeoutMs: number;
  /** Longest time without a byte from the endpoint; 0 disables. */
  readonly perTryIdleTimeoutMs: number;
  readonly retriableStatusCodes: readonly number[];
  /** Of responses, for `retriable-headers`: any of them. */
  readonly retriableHeaders: readonly HeaderMatcher[];
  /** Of requests: any of them must match for a retry to happen; empty: all requests. */
  readonly retriableRequestHeaders: readonly HeaderMatcher[];
  readonly hostSelectionAttempts: number;
  readonly avoidPreviousHosts: boolean;
  readonly avoidCanaryHosts: boolean;
  /** After so many tries, and at every multiple, the priorities that were tried are left alone; 0: never. */
  readonly priorityUpdateFrequency: number;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
  /** Waits as a response header says, up to a bound; null: it is not asked. */
  readonly rateLimitedBackoff: RateLimitedBackoff | null;
}

export interface RateLimitedBackoff {
  readonly headers: readonly { readonly name: string; readonly format: "seconds" | "unix_timestamp" }[];
  readonly maxIntervalMs: number;
}

/** Envoy's `retry_on` values as bits. */
export const RetryOn = {
  FiveXx: 0x1,
  GatewayError: 0x2,
  Reset: 0x4,
  ResetBeforeRequest: 0x8,
  ConnectFailure: 0x10,
  RefusedStream: 0x20,
  Retriable4xx: 0x40,
  RetriableStatusCodes: 0x80,
  RetriableHeaders: 0x100,
  EnvoyRatelimited: 0x200,
  GrpcCancelled: 0x400,
  GrpcDeadlineExceeded: 0x800,
  GrpcInternal: 0x1000,
  GrpcResourceExhausted: 0x2000,
  GrpcUnavailable: 0x4000,
  Http3PostConnectFailure: 0x8000,
} as const;

/** Header operations in order; `null` on an owner means none. Values may hold command operators. */
export interface HeaderMutations {
  readonly request: readonly HeaderMutation[];
  readonly response: readonly HeaderMutation[];
}

export interface HeaderMutation {
  readonly name: string;
  readonly operation: "append" | "set" | "add_if_absent" | "set_if_exists" | "remove";
  readonly value: string;
}

export const noHeaderMutations: HeaderMutations = { request: [], response: [] };
