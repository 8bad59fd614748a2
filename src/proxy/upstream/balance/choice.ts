// What a balancer may look at when it chooses for one request or connection. Callers fill what they have; a stream may
// implement this itself, so that a choice allocates nothing.
import type { EndpointConfig } from "../../config/cluster.ts";

/** 64 bits as two unsigned halves: JavaScript has no cheap 64-bit integer. */
interface Hash64 {
  readonly high: number;
  readonly low: number;
}

/** What balancers need to know of a host. */
interface BalancedHost {
  readonly config: EndpointConfig;
  readonly activeRequests: number;
}

/** What an endpoint's `envoy.lb` metadata must say: by name in order, each value as canonical JSON. */
interface MetadataMatch {
  readonly entries: readonly (readonly [name: string, value: string])[];
}

export interface ChoiceContext {
  /** Where an ORIGINAL_DST cluster goes. */
  readonly destination: { readonly ip: string; readonly port: number } | null;
  /** xxHash64 of what the hash policies name, combined as Envoy does; null: none matched. */
  readonly hash: Hash64 | null;
  /** `metadata_match` of the route and the weighted cluster, merged, for subsets; null: none. One object per route. */
  readonly metadataMatch: MetadataMatch | null;
  /** Hosts that were tried before, and how often to look for another. */
  readonly excluded: readonly BalancedHost[] | null;
  readonly attempts: number;
  /** `10.0.0.7:80`, the host that a stateful session asks for; null: none. */
  readonly overrideHost: string | null;
  /** Headers of the request, for ORIGINAL_DST by header; null for bytes. */
  readonly headers: { get(name: string): string | undefined } | null;
}

/** For traffic that asks for nothing special. */
export const anyHost: ChoiceContext = {
  destination: null,
  hash: null,
  metadataMatch: null,
  excluded: null,
  attempts: 0,
  overrideHost: null,
  headers: null,
};
