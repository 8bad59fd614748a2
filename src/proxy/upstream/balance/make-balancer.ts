// The balancer that a cluster's configuration asks for.
import type { LoadBalancingConfig } from "../../config/load-balancing.ts";
import type { Balancer, BalancerCounters } from "./balancer.ts";
import type { BalancedHost } from "./host.ts";
import { LoadBalancer } from "./load-balancer.ts";
import { SubsetBalancer } from "./subset-balancer.ts";

export function makeBalancer<H extends BalancedHost>(
  config: LoadBalancingConfig,
  counters: BalancerCounters,
): Balancer<H> {
  return config.subsets === null ? new LoadBalancer(counters) : new SubsetBalancer(counters);
}
