// Which outbound listeners a sidecar needs, before any of them is built. Services are read oldest first; where two
// want the same address and port, an HTTP port is shared, HTTP and TCP together are told apart by the first bytes,
// and of two that cannot be told apart the older one stays.
import type { Origin } from "#base/issue.ts";
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
    if (plan === undefined || plan.serverFirst) return;
    plan.http ??= http;
    plan.origins.push(origin);
  }

  addTcp(place: ListenerPlace, chains: readonly PlannedTcpChain[], serverFirst: boolean): void {
    const plan = this.#open(place);
    if (plan === undefined || (serverFirst && plan.http !== undefined)) return;
    for (const chain of chains) {
      const free = withoutTaken(chain, plan.tcp);
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
    const plan: OutboundListenerPlan = { ...place, http: undefined, tcp: [], origins: [], serverFirst: false };
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

/** Envoy refuses two chains that match the same: server names that an earlier chain has are left to it. */
function withoutTaken(chain: PlannedTcpChain, earlier: readonly PlannedTcpChain[]): PlannedTcpChain | undefined {
  const overlapping = earlier.filter((other) => sharesRange(chain.destinationRanges, other.destinationRanges));
  if (chain.serverNames.length === 0) {
    return overlapping.some(({ serverNames }) => serverNames.length === 0) ? undefined : chain;
  }
  const taken = new Set(overlapping.flatMap(({ serverNames }) => serverNames));
  const serverNames = [...new Set(chain.serverNames)].filter((name) => !taken.has(name));
  return serverNames.length === 0 ? undefined : { ...chain, serverNames };
}

function sharesRange(a: readonly string[], b: readonly string[]): boolean {
  return a.length === 0 ? b.length === 0 : a.some((range) => b.includes(range));
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
