// What a balancer may look at when it chooses for one request or connection. Callers fill what they have; a stream may
// implement this itself, so that a choice allocates nothing.
import type { JsonObject } from "@bufbuild/protobuf";
import type { Hash64 } from "#base/hash/hash64.ts";
import type { BalancedHost } from "./host.ts";

export interface ChoiceContext {
  /** Where an ORIGINAL_DST cluster goes. */
  readonly destination: { readonly ip: string; readonly port: number } | null;
  /** xxHash64 of what the hash policies name, combined with `combineHash`; null: none matched. */
  readonly hash: Hash64 | null;
  /** `metadata_match` of the route and the weighted cluster, merged, for subsets; null: none. One object per route. */
  readonly metadataMatch: JsonObject | null;
  /** Hosts that were tried before, and how often to look for another. */
  readonly excluded: readonly BalancedHost[] | null;
  readonly attempts: number;
  /** Priorities to leave alone while others can take the traffic; null: none. */
  readonly leftPriorities: readonly number[] | null;
  /** A retry looks for a host that is no canary. */
  readonly avoidsCanaries: boolean;
  /** The host that a stateful session asks for; null: none. */
  readonly overrideHost: OverrideHost | null;
  /** Headers of the request, for ORIGINAL_DST by header; null for bytes. */
  readonly headers: { get(name: string): string | undefined } | null;
  /** The host that a dynamic forward proxy goes to, as its DNS cache knows it; null: no filter looked one up. */
  readonly dynamicHost: string | null;
}

interface OverrideHost {
  /** `10.0.0.7:80`. */
  readonly address: string;
  /** No other host will do. */
  readonly isStrict: boolean;
}

/** For traffic that asks for nothing special. */
export const anyHost: ChoiceContext = {
  destination: null,
  hash: null,
  metadataMatch: null,
  excluded: null,
  attempts: 0,
  leftPriorities: null,
  avoidsCanaries: false,
  overrideHost: null,
  headers: null,
  dynamicHost: null,
};
