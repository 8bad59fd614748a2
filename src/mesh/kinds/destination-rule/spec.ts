// DestinationRule as decoded.
import type { Labels, WorkloadSelector } from "../../objects/fields/selector.ts";
import type { TrafficPolicy } from "../../objects/fields/traffic-policy.ts";

export interface DestinationRuleSpec {
  /** FQDN, short name or wildcard; expanded in a snapshot. */
  readonly host: string;
  readonly trafficPolicy?: TrafficPolicy;
  readonly subsets: readonly Subset[];
  /** Empty means the mesh's default. */
  readonly exportTo: readonly string[];
  /** Client workloads of the rule's own namespace. */
  readonly workloadSelector?: WorkloadSelector;
}

export interface Subset {
  readonly name: string;
  readonly labels: Labels;
  readonly trafficPolicy?: TrafficPolicy;
}
