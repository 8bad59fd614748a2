// Which outbound listeners a sidecar needs, before any of them is built. Services are read oldest first; where two
// want the same address and port, an HTTP port is shared, HTTP and TCP together are told apart by the first bytes,
// and of two that cannot be told apart the older one stays.
import type { Origin } from "#base/issue.ts";
import { blockKey } from "#base/net/cidr-map.ts";
import { isIpAddress } from "../envoy-values.ts";
import { listenerName } from "../names.ts";
import type { TcpRouteChoice } from "./tcp-destinations.ts";

export interface OutboundListenerPlan {
  readonly bind: string;
  readonly port: number;
  /** Listens on a real port; otherwise reached through the virtual listener. */
  readonly bindToPort: boolean;
  /** Route configuration for HTTP, once an HTTP or sniffed port wanted this listener. */
  http: { readonly routeName: string; readonly grpcWeb: boolean } | undefined;
  readonly tcp: PlannedTcpChain[];
  readonly taken: TakenMatches;
  readonly origins: Origin[];
  /** A Sidecar named this listener: services of the catch-all listener do not join it. */
  readonly locked: boolean;
  /** The server speaks first, so nothing may wait for the client's first bytes. */
  serverFirst: boolean;
}

export interface PlannedTcpChain {
  readonly serverNames: readonly string[];
  readonly destinationRanges: readonly string[];
  readonly choice: Pick<TcpRouteChoice, "destinations" | "statPrefix">;
  readonly origins: readonly Origin[];
}

export class OutboundPlan {
  readonly #plans = new Map<string, OutboundListenerPlan>();

  addHttp(place: ListenerPlace, http: { routeName: string; grpcWeb: boolean }, origin: Origin): void {
    const plan = this.#open(place);
    // The first service opens the listener; those that come later find it there, and change nothing of it.
    if (plan === undefined || plan.serverFirst || plan.http !== undefined) return;
    plan.http = http;
    plan.origins.push(origin);
  }

  addTcp(place: ListenerPlace, chains: readonly PlannedTcpChain[], serverFirst: boolean): void {
    const plan = this.#open(place);
    if (plan === undefined || (serverFirst && plan.http !== undefined)) return;
    for (const chain of chains) {
      const free = plan.taken.claim(chain);
      if (free === undefined) continue;
      plan.tcp.push(free);
      plan.origins.push(...free.origins);
      plan.serverFirst ||= serverFirst;
    }
  }

  /** The plans in the order of their names. */
  listeners(): OutboundListenerPlan[] {
    return [...this.#plans.keys()].sort().flatMap((name) => this.#plans.get(name) ?? []);
  }

  #open(place: ListenerPlace): OutboundListenerPlan | undefined {
    const name = listenerName(place.bind, place.port);
    const known = this.#plans.get(name);
    if (known !== undefined) return known.locked && !place.locked ? undefined : known;
    const plan: OutboundListenerPlan = {
      ...place,
      http: undefined,
      tcp: [],
      taken: new TakenMatches(),
      origins: [],
      serverFirst: false,
    };
    this.#plans.set(name, plan);
    return plan;
  }
}

export interface ListenerPlace {
  readonly bind: string;
  readonly port: number;
  readonly bindToPort: boolean;
  readonly locked: boolean;
}

/**
 * What the chains of a listener match already: Envoy refuses two that match the same. By range of addresses (empty: any)
 * the server names, among which an empty one stands for any name.
 */
class TakenMatches {
  /** By block: texts of the same block differ. */
  readonly #namesByRange = new Map<string, Set<string>>();

  /** The chain without what earlier ones match; undefined when nothing is left of it. */
  claim(chain: PlannedTcpChain): PlannedTcpChain | undefined {
    const wanted = chain.serverNames.length === 0 ? [""] : [...new Set(chain.serverNames)];
    const ranges = new Map<string, string>();
    for (const range of chain.destinationRanges) {
      const key = blockKey(range);
      if (!ranges.has(key) && this.#isLeft(wanted, key)) ranges.set(key, range);
    }
    if (ranges.size === 0 && chain.destinationRanges.length > 0) return undefined;
    const keys = ranges.size === 0 ? [""] : [...ranges.keys()];
    const free = wanted.filter((name) => keys.every((key) => this.#namesByRange.get(key)?.has(name) !== true));
    if (free.length === 0) return undefined;
    for (const key of keys) {
      const names = this.#namesByRange.get(key) ?? new Set();
      for (const name of free) names.add(name);
      this.#namesByRange.set(key, names);
    }
    return {
      ...chain,
      destinationRanges: [...ranges.values()],
      serverNames: chain.serverNames.length === 0 ? chain.serverNames : free,
    };
  }

  #isLeft(names: readonly string[], key: string): boolean {
    const taken = this.#namesByRange.get(key);
    return taken === undefined || names.some((name) => !taken.has(name));
  }
}

/** Addresses of a service, parted into VIPs of the family and CIDR blocks. */
export function partAddresses(
  addresses: readonly string[],
  family: "ipv4" | "ipv6",
): { vips: string[]; blocks: string[] } {
  const ofFamily = addresses.filter((address) => address.includes(":") === (family === "ipv6"));
  return {
    vips: ofFamily.filter((address) => isIpAddress(address) && address !== "0.0.0.0" && address !== "::"),
    blocks: ofFamily.filter((address) => address.includes("/")),
  };
}
