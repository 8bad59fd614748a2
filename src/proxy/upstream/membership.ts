// The endpoints of one cluster and the balancer over them. Endpoints that stay through an update are the same objects, so
// their pools, their load and what is known of their health are kept. A change of members is taken over at once; changes
// of health and weight that follow each other closely are taken over together.
import { type EndpointConfig, type EndpointSet, plainEndpointSet } from "../config/cluster.ts";
import type { LoadBalancingConfig } from "../config/load-balancing.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import { type Balancer, type BalancerCounters, balancerCounters } from "./balance/balancer.ts";
import type { ChoiceContext } from "./balance/choice.ts";
import { healthStatus, PENDING_DYNAMIC_REMOVAL, withDiscoveredHealth } from "./balance/host.ts";
import { makeBalancer } from "./balance/make-balancer.ts";
import type { LocalPeers } from "./balance/zone-routing.ts";
import { UpstreamEndpoint } from "./endpoint.ts";

export interface MembershipOptions {
  readonly loop: EventLoop;
  readonly config: LoadBalancingConfig;
  /** Requests in flight to the cluster. */
  readonly activeRequests: () => number;
  /** Whether an endpoint that discovery does not name any more stays for now. */
  readonly keeps: (endpoint: UpstreamEndpoint) => boolean;
  readonly onAdded: (endpoint: UpstreamEndpoint) => void;
  readonly onRemoved: (endpoint: UpstreamEndpoint) => void;
  /** Hosts came or went, or their health or weight changed. */
  readonly onRebalanced: () => void;
  /** For zone aware routing; null: the proxy does not know its peers. */
  readonly peers: () => LocalPeers | null;
}

export class Membership {
  readonly counters: BalancerCounters = balancerCounters();
  /** Changes of members. */
  changes = 0;
  readonly #options: MembershipOptions;
  readonly #loop: EventLoop;
  #config: LoadBalancingConfig;
  /** Made at the first choice: most clusters of a mesh are never used by one workload. */
  #balancer: Balancer<UpstreamEndpoint> | null = null;
  #isBalanced = false;
  #set: EndpointSet = plainEndpointSet("", []);
  #byKey = new Map<string, UpstreamEndpoint>();
  #hosts: readonly UpstreamEndpoint[] = [];
  #rebalancedAt = Number.NEGATIVE_INFINITY;
  #cancelRebalance: (() => void) | null = null;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#loop = options.loop;
    this.#config = options.config;
  }

  get endpoints(): readonly UpstreamEndpoint[] {
    return this.#hosts;
  }

  get(key: string): UpstreamEndpoint | undefined {
    return this.#byKey.get(key);
  }

  /** What came with the endpoints. */
  get assignment(): EndpointSet {
    return this.#set;
  }

  /** Balances another way. */
  configure(config: LoadBalancingConfig): void {
    if (config === this.#config) return;
    const before = this.#config;
    this.#config = config;
    if ((before.subsets === null) !== (config.subsets === null)) this.#balancer = null;
    this.#rebalance();
  }

  /** Replaces the endpoints. Those that left finish what they carry. */
  replace(set: EndpointSet): void {
    const now = this.#loop.clock.now();
    const next = new Map<string, UpstreamEndpoint>();
    const added: UpstreamEndpoint[] = [];
    for (const config of set.endpoints) {
      const known = this.#byKey.get(config.key);
      if (known === undefined) {
        const endpoint = new UpstreamEndpoint(config, now);
        next.set(config.key, endpoint);
        added.push(endpoint);
        continue;
      }
      take(known, config);
      next.set(config.key, known);
    }
    const removed: UpstreamEndpoint[] = [];
    for (const [key, endpoint] of this.#byKey) {
      if (next.has(key)) continue;
      if (this.#options.keeps(endpoint)) {
        endpoint.healthFlags |= PENDING_DYNAMIC_REMOVAL;
        next.set(key, endpoint);
      } else removed.push(endpoint);
    }
    const isChanged = added.length + removed.length > 0;
    this.#set = set;
    this.#byKey = next;
    this.#hosts = [...next.values()];
    for (const endpoint of removed) this.#remove(endpoint);
    for (const endpoint of added) this.#options.onAdded(endpoint);
    if (!isChanged) {
      this.rebalanceSoon();
      return;
    }
    this.changes++;
    if (this.#config.closesConnectionsOnChange) for (const endpoint of this.#hosts) endpoint.drainPools();
    this.#rebalance();
  }

  #remove(endpoint: UpstreamEndpoint): void {
    this.#options.onRemoved(endpoint);
    endpoint.drain();
  }

  /** Ends what was kept although discovery does not name it any more. */
  removeKept(endpoint: UpstreamEndpoint): void {
    if ((endpoint.healthFlags & PENDING_DYNAMIC_REMOVAL) === 0) return;
    if (!this.#byKey.delete(endpoint.config.key)) return;
    this.#hosts = [...this.#byKey.values()];
    this.#remove(endpoint);
    this.changes++;
    this.#rebalance();
  }

  /** Takes over a change of health or weight: now, or together with what else changes within the merge window. */
  rebalanceSoon(): void {
    if (this.#cancelRebalance !== null) return;
    const waitMs = this.#rebalancedAt + this.#config.mergeWindowMs - this.#loop.clock.now();
    if (waitMs > 0) this.#cancelRebalance = this.#loop.after(waitMs, () => this.#rebalance());
    else this.#rebalance();
  }

  /** Takes over at once what waits to be taken over. */
  flush(): void {
    if (this.#cancelRebalance !== null) this.#rebalance();
  }

  #rebalance(): void {
    this.#stopWaiting();
    this.#rebalancedAt = this.#loop.clock.now();
    this.#isBalanced = false;
    // What subsets there are is among the statistics.
    if (this.#balancer !== null || this.#config.subsets !== null) this.#balance();
    this.#options.onRebalanced();
  }

  /** Takes over other peers of the proxy. */
  peersChanged(): void {
    if (this.#config.zoneAware !== null) this.rebalanceSoon();
  }

  #balance(): Balancer<UpstreamEndpoint> {
    this.#balancer ??= makeBalancer(this.#config, this.counters);
    if (this.#isBalanced) return this.#balancer;
    this.#isBalanced = true;
    const { localities, policy } = this.#set;
    this.#balancer.update({
      hosts: this.#hosts,
      config: this.#config,
      localities,
      policy,
      activeRequests: this.#options.activeRequests,
      peers: this.#options.peers(),
    });
    return this.#balancer;
  }

  choose(context: ChoiceContext): UpstreamEndpoint | null {
    if (context.overrideHost !== null) {
      const asked = this.#byKey.get(context.overrideHost.address);
      if (asked !== undefined && this.#mayBeAskedFor(asked)) return asked;
      if (context.overrideHost.isStrict) return null;
    }
    return this.#balance().choose(context, this.#loop);
  }

  #mayBeAskedFor(endpoint: UpstreamEndpoint): boolean {
    return this.#config.overrideHostStatuses.has(healthStatus(endpoint.healthFlags, endpoint.config.health));
  }

  stop(): void {
    this.#stopWaiting();
  }

  #stopWaiting(): void {
    this.#cancelRebalance?.();
    this.#cancelRebalance = null;
  }

  /** Lets what is in flight finish. */
  drain(): void {
    this.#stopWaiting();
    for (const endpoint of this.#hosts) endpoint.drain();
  }

  destroy(): void {
    this.#stopWaiting();
    for (const endpoint of this.#hosts) endpoint.destroy();
    this.#byKey.clear();
    this.#hosts = [];
  }
}

function take(endpoint: UpstreamEndpoint, config: EndpointConfig): void {
  endpoint.config = config;
  endpoint.healthFlags = withDiscoveredHealth(endpoint.healthFlags & ~PENDING_DYNAMIC_REMOVAL, config.health);
}
