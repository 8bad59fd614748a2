// The endpoints of an ORIGINAL_DST cluster: wherever connections were going, or where a header sends a request. Each is
// made when it is first needed and dropped when nobody used it for a while.
import { isIP } from "node:net";
import { plainEndpoint } from "../config/cluster.ts";
import type { OriginalDstPolicy } from "../config/load-balancing.ts";
import { formatAddress } from "../transport/connection-info.ts";
import type { EventLoop, Sweepable } from "../transport/event-loop.ts";
import type { BalancerCounters } from "./balance/balancer.ts";
import type { ChoiceContext } from "./balance/choice.ts";
import { UpstreamEndpoint } from "./endpoint.ts";

export class OriginalDestinations implements Sweepable {
  readonly #loop: EventLoop;
  readonly #counters: BalancerCounters;
  readonly #byKey = new Map<string, UpstreamEndpoint>();
  #policy: OriginalDstPolicy;
  #idleMs: number;
  #isSwept = false;

  constructor(loop: EventLoop, counters: BalancerCounters, policy: OriginalDstPolicy, idleMs: number) {
    this.#loop = loop;
    this.#counters = counters;
    this.#policy = policy;
    this.#idleMs = idleMs;
  }

  configure(policy: OriginalDstPolicy, idleMs: number): void {
    this.#policy = policy;
    this.#idleMs = idleMs;
  }

  get endpoints(): readonly UpstreamEndpoint[] {
    return [...this.#byKey.values()];
  }

  /** Null: nothing says where to go. */
  choose(context: ChoiceContext): UpstreamEndpoint | null {
    const { headerName, portOverride } = this.#policy;
    const asked = headerName === null ? undefined : context.headers?.get(headerName);
    if (asked !== undefined) {
      const address = parseAddressAndPort(asked);
      if (address !== null) return this.#endpoint(address.ip, portOverride || address.port);
      this.#counters.invalidOriginalDestinations++;
    }
    const { destination } = context;
    return destination === null ? null : this.#endpoint(destination.ip, portOverride || destination.port);
  }

  #endpoint(ip: string, port: number): UpstreamEndpoint {
    const key = formatAddress(ip, port);
    let endpoint = this.#byKey.get(key);
    if (endpoint === undefined) {
      endpoint = new UpstreamEndpoint(plainEndpoint(key, ip, port), this.#loop.now);
      this.#byKey.set(key, endpoint);
      if (!this.#isSwept) {
        this.#isSwept = true;
        this.#loop.sweepAlways(this);
      }
    }
    endpoint.lastUsed = this.#loop.now;
    return endpoint;
  }

  sweep(now: number): void {
    for (const [key, endpoint] of this.#byKey) {
      if (endpoint.activeRequests + endpoint.activeConnections > 0) endpoint.lastUsed = now;
      if (now - endpoint.lastUsed < this.#idleMs) continue;
      endpoint.drain();
      this.#byKey.delete(key);
    }
    if (this.#byKey.size > 0) return;
    this.#isSwept = false;
    this.#loop.stopSweeping(this);
  }

  drain(): void {
    this.#loop.stopSweeping(this);
    for (const endpoint of this.#byKey.values()) endpoint.drain();
  }

  destroy(): void {
    this.#loop.stopSweeping(this);
    for (const endpoint of this.#byKey.values()) endpoint.destroy();
    this.#byKey.clear();
  }
}

/** `10.0.0.7:80` or `[fd00::7]:80`. */
function parseAddressAndPort(text: string): { readonly ip: string; readonly port: number } | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const ip = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3] ?? 0);
  return isIP(ip) === 0 || port === 0 || port > 65_535 ? null : { ip, port };
}
