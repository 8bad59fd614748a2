// EnvoyFilter as decoded: changes to the generated Envoy configuration, in the order in which they apply.
import type { JsonObject } from "@bufbuild/protobuf";
import type { LabelSelector, PolicyTargetReference } from "../../objects/fields/selector.ts";

export interface EnvoyFilterSpec {
  readonly workloadSelector?: LabelSelector;
  readonly targetRefs: readonly PolicyTargetReference[];
  /** Lower ones apply first. */
  readonly priority: number;
  readonly configPatches: readonly ConfigPatch[];
}

export const ApplyTo = {
  Invalid: "INVALID",
  Listener: "LISTENER",
  FilterChain: "FILTER_CHAIN",
  NetworkFilter: "NETWORK_FILTER",
  HttpFilter: "HTTP_FILTER",
  RouteConfiguration: "ROUTE_CONFIGURATION",
  VirtualHost: "VIRTUAL_HOST",
  HttpRoute: "HTTP_ROUTE",
  Cluster: "CLUSTER",
  ExtensionConfig: "EXTENSION_CONFIG",
  Bootstrap: "BOOTSTRAP",
  ListenerFilter: "LISTENER_FILTER",
} as const;
export type ApplyTo = (typeof ApplyTo)[keyof typeof ApplyTo];

export const PatchContext = {
  Any: "ANY",
  SidecarInbound: "SIDECAR_INBOUND",
  SidecarOutbound: "SIDECAR_OUTBOUND",
  Gateway: "GATEWAY",
  Waypoint: "WAYPOINT",
} as const;
export type PatchContext = (typeof PatchContext)[keyof typeof PatchContext];

export const Operation = {
  Invalid: "INVALID",
  Merge: "MERGE",
  Add: "ADD",
  Remove: "REMOVE",
  InsertBefore: "INSERT_BEFORE",
  InsertAfter: "INSERT_AFTER",
  InsertFirst: "INSERT_FIRST",
  Replace: "REPLACE",
  MergeAndReplaceList: "MERGE_AND_REPLACE_LIST",
} as const;
export type Operation = (typeof Operation)[keyof typeof Operation];

export const FilterClass = { Unspecified: "UNSPECIFIED", Authn: "AUTHN", Authz: "AUTHZ", Stats: "STATS" } as const;
export type FilterClass = (typeof FilterClass)[keyof typeof FilterClass];

export interface ConfigPatch {
  readonly applyTo: ApplyTo;
  readonly match?: PatchMatch;
  readonly patch?: Patch;
}

export interface Patch {
  readonly operation: Operation;
  /** JSON of the Envoy message that `applyTo` names. */
  readonly value?: JsonObject;
  readonly filterClass: FilterClass;
}

/** Empty strings, zeros and absent members match everything. */
export interface PatchMatch {
  readonly context: PatchContext;
  readonly proxy?: { readonly proxyVersion: string; readonly metadata: Readonly<Record<string, string>> };
  readonly listener?: ListenerMatch;
  readonly routeConfiguration?: RouteConfigurationMatch;
  readonly cluster?: ClusterMatch;
  readonly waypoint?: JsonObject;
}

export interface ListenerMatch {
  readonly portNumber: number;
  readonly portName: string;
  readonly name: string;
  readonly listenerFilter: string;
  readonly filterChain?: FilterChainMatch;
}

interface FilterChainMatch {
  readonly name: string;
  readonly sni: string;
  readonly transportProtocol: string;
  /** Separated by commas; all of them must be there. */
  readonly applicationProtocols: string;
  readonly destinationPort: number;
  readonly filter?: { readonly name: string; readonly subFilter?: { readonly name: string } };
}

export const RouteKind = {
  Any: "ANY",
  Route: "ROUTE",
  Redirect: "REDIRECT",
  DirectResponse: "DIRECT_RESPONSE",
} as const;
export type RouteKind = (typeof RouteKind)[keyof typeof RouteKind];

export interface RouteConfigurationMatch {
  readonly portNumber: number;
  readonly portName: string;
  /** `namespace/name` */
  readonly gateway: string;
  readonly name: string;
  readonly vhost?: {
    /** `host:port` */
    readonly name: string;
    readonly domainName: string;
    readonly route?: { readonly name: string; readonly action: RouteKind };
  };
}

export interface ClusterMatch {
  readonly portNumber: number;
  readonly service: string;
  readonly subset: string;
  readonly name: string;
}
