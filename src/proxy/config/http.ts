// Runtime shape of an HTTP connection manager and its route configuration.
import type { Provenance } from "#wire/xds/provenance.ts";
import type { AccessLogger } from "./access-log.ts";
import type { HeaderMatcher, StringMatcher } from "./matcher.ts";
import type { RbacRules } from "./rbac.ts";

export interface HttpConnectionManagerConfig {
  readonly statPrefix: string;
  /** Exactly one of the two is set. */
  readonly routeConfigName: string | null;
  readonly routeConfig: RouteConfig | null;
  readonly httpFilters: readonly HttpFilterConfig[];
  readonly accessLog: readonly AccessLogger[];
  readonly useRemoteAddress: boolean;
  readonly xffTrustedHops: number;
  readonly forwardClientCert: "sanitize" | "forward_only" | "append_forward" | "sanitize_set" | "always_forward_only";
  readonly clientCertDetails: {
    readonly subject: boolean;
    readonly uri: boolean;
    readonly dns: boolean;
    readonly cert: boolean;
  };
  readonly serverName: string;
  readonly serverHeader: "overwrite" | "append_if_absent" | "pass_through";
  readonly generateRequestId: boolean;
  readonly normalizePath: boolean;
  /** `%2F` and `%5C` in a path count as the slashes that they stand for, before anything else is done with it. */
  readonly unescapeSlashes?: boolean;
  readonly mergeSlashes: boolean;
  readonly upgradeTypes: readonly string[];
  /** 0 disables. */
  readonly idleTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly maxRequestHeadersBytes: number;
  readonly maxRequestHeadersCount: number;
}

/** HTTP filters known to the proxy, in chain order. The router is always last. */
export type HttpFilterConfig =
  | { readonly name: string; readonly type: "router" }
  | {
      readonly name: string;
      readonly type: "rbac";
      readonly rules: RbacRules | null;
      readonly shadowRules: RbacRules | null;
    }
  | {
      readonly name: string;
      readonly type: "istio_stats";
      /** True: a request without service metadata is not reported under its Host header, which anyone may set. */
      readonly disableHostHeaderFallback?: boolean;
    }
  | {
      readonly name: string;
      readonly type: "peer_metadata";
      readonly downstreamPropagation: boolean;
      readonly upstreamPropagation: boolean;
    }
  | { readonly name: string; readonly type: "istio_alpn" }
  | { readonly name: string; readonly type: "fault" }
  | { readonly name: string; readonly type: "cors" }
  | { readonly name: string; readonly type: "grpc_stats" };

export interface RouteConfig {
  readonly name: string;
  readonly ignorePortInHostMatching: boolean;
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
  readonly includeAttemptCount: boolean;
  readonly headers: HeaderMutations;
  readonly provenance: Provenance;
}

export interface RouteEntry {
  readonly name: string;
  readonly match: RouteMatch;
  readonly action: RouteAction;
  readonly headers: HeaderMutations;
  readonly decorator: string;
  readonly provenance: Provenance;
}

export interface RouteMatch {
  readonly path:
    | {
        readonly type: "prefix" | "path" | "path_separated_prefix";
        readonly value: string;
        readonly caseSensitive: boolean;
      }
    | { readonly type: "regex"; readonly matcher: StringMatcher };
  readonly headers: readonly HeaderMatcher[];
  readonly queryParameters: readonly {
    readonly name: string;
    readonly matches: (value: string | undefined) => boolean;
    readonly description: string;
  }[];
  /** For explain: `prefix "/api" and header end-user exact "jason"`. */
  readonly description: string;
}

export type RouteAction =
  | { readonly type: "forward"; readonly forward: ForwardAction }
  | { readonly type: "redirect"; readonly redirect: RedirectAction }
  | { readonly type: "direct_response"; readonly status: number; readonly body: string };

export interface ForwardAction {
  /** One entry with weight 1 for a plain cluster. */
  readonly clusters: readonly WeightedCluster[];
  readonly totalWeight: number;
  /** 0 disables. */
  readonly timeoutMs: number;
  readonly retry: RetryPolicy | null;
  readonly prefixRewrite: { readonly matched: string; readonly replacement: string } | null;
  readonly regexRewrite: ((path: string) => string) | null;
  readonly hostRewrite: string | null;
  readonly autoHostRewrite: boolean;
}

export interface WeightedCluster {
  readonly name: string;
  readonly weight: number;
  readonly headers: HeaderMutations;
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
  readonly retriableStatusCodes: readonly number[];
  readonly hostSelectionAttempts: number;
  readonly avoidPreviousHosts: boolean;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
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
