// What routes say of rate limits: rules that make descriptors out of a request. The filters `local_ratelimit` and
// `ratelimit` count by descriptor.
import type { RateLimitUnit } from "#wire/gen/envoy/type/v3/ratelimit_unit_pb.ts";

export interface DescriptorEntry {
  readonly key: string;
  readonly value: string;
}

/** What a request counts as. Two requests with equal entries share a limit. */
export interface RateLimitDescriptor {
  readonly entries: readonly DescriptorEntry[];
  /** A limit that the request's metadata asks for; null: the service's own. */
  readonly limit: RateLimitOverride | null;
}

interface RateLimitOverride {
  readonly requestsPerUnit: number;
  readonly unit: RateLimitUnit;
}

/** What rules look at. A stream is this, with its cluster and the proxy's own. */
export interface RateLimitSubject {
  /** With query. */
  readonly path: string;
  readonly remoteIp: string;
  /** Name of the cluster that the route chose; empty without one. */
  readonly destinationCluster: string;
  /** The proxy's own, from its bootstrap. */
  readonly sourceCluster: string;
  header(name: string): string | undefined;
  metadata(namespace: string): unknown;
  /** As it is configured at the route. */
  routeMetadata(namespace: string): unknown;
}

/** Makes one entry. `skip`: the descriptor does without it. Null: there is no descriptor. */
export type RateLimitAction = (subject: RateLimitSubject) => DescriptorEntry | "skip" | null;

export interface RateLimitRule {
  /** Filters take the rules of their own stage. */
  readonly stage: number;
  readonly actions: readonly RateLimitAction[];
  readonly override: ((subject: RateLimitSubject) => RateLimitOverride | null) | null;
}

/** What a route has of its own. */
export interface RouteRateLimits {
  readonly rules: readonly RateLimitRule[];
  /** Those of the virtual host apply as well, whatever the filter says. */
  readonly includesVirtualHost: boolean;
}

/** What applies of the virtual host's rules: `override`: they do where the route has none. */
export type VirtualHostRules = "override" | "include" | "ignore";
