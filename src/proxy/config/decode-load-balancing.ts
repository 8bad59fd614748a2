// How a cluster chooses among its endpoints: from `lb_policy` and its settings, or from `load_balancing_policy`, to one
// runtime shape.
import {
  type Cluster,
  type Cluster_CommonLbConfig as CommonLbConfig,
  Cluster_LbPolicy as LbPolicy,
  Cluster_RingHashLbConfig_HashFunction as RingHashFunction,
} from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { HealthStatus } from "#wire/gen/envoy/config/core/v3/health_check_pb.ts";
import type { ClusterConfig } from "./cluster.ts";
import {
  decodeHashing,
  decodeLeastRequest,
  decodeMaglev,
  decodeRingHash,
  decodeSlowStart,
  decodeZoneAware,
} from "./decode-balancing-policy.ts";
import { decodeExtensionPolicy } from "./decode-load-balancing-policy.ts";
import { decodeSubsets } from "./decode-subsets.ts";
import {
  type BalancingPolicy,
  defaultLoadBalancing,
  type EndpointHealth,
  type LoadBalancingConfig,
  type OriginalDstPolicy,
} from "./load-balancing.ts";
import { milliseconds } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeLoadBalancing(
  cluster: Cluster,
  type: ClusterConfig["type"],
  problems: Problems,
): LoadBalancingConfig {
  const common = decodeCommon(cluster.commonLbConfig, problems);
  if (cluster.loadBalancingPolicy !== undefined) {
    return { ...common, ...decodeExtensionPolicy(cluster.loadBalancingPolicy, "load_balancing_policy", problems) };
  }
  const subsets = decodeSubsets(cluster.lbSubsetConfig, "lb_subset_config", problems);
  if (subsets !== null && cluster.lbPolicy === LbPolicy.CLUSTER_PROVIDED) {
    problems.invalid("lb_subset_config", "cannot be combined with the policy CLUSTER_PROVIDED");
  }
  return { ...common, subsets, policy: decodePolicy(cluster, type, problems) };
}

function decodePolicy(cluster: Cluster, type: ClusterConfig["type"], problems: Problems): BalancingPolicy {
  const { lbPolicy, lbConfig } = cluster;
  const isProvided = type === "original_dst" || type === "dynamic_forward_proxy";
  if ((lbPolicy === LbPolicy.CLUSTER_PROVIDED) !== isProvided) {
    problems.invalid(
      "lb_policy",
      "an ORIGINAL_DST cluster needs CLUSTER_PROVIDED, as a dynamic forward proxy does, and no other cluster has it",
    );
  }
  const expected = settingsOf[lbPolicy];
  if (lbConfig.case !== undefined && expected !== lbConfig.case) {
    problems.invalid("lb_config", `${lbConfig.case} does not belong to the policy of the cluster`);
  }
  const hashing = decodeHashing(cluster.commonLbConfig?.consistentHashingLbConfig, "common_lb_config", problems);
  switch (lbPolicy) {
    case LbPolicy.ROUND_ROBIN: {
      const settings = lbConfig.case === "roundRobinLbConfig" ? lbConfig.value.slowStartConfig : undefined;
      return { type: "round_robin", slowStart: decodeSlowStart(settings, "round_robin_lb_config", problems) };
    }
    case LbPolicy.LEAST_REQUEST:
      return decodeLeastRequest(
        lbConfig.case === "leastRequestLbConfig" ? lbConfig.value : {},
        "least_request_lb_config",
        problems,
      );
    case LbPolicy.RANDOM:
      return { type: "random" };
    case LbPolicy.RING_HASH: {
      const ring = lbConfig.case === "ringHashLbConfig" ? lbConfig.value : undefined;
      const sizes = { minimumRingSize: ring?.minimumRingSize, maximumRingSize: ring?.maximumRingSize };
      const murmur = ring?.hashFunction === RingHashFunction.MURMUR_HASH_2;
      return decodeRingHash(sizes, murmur, hashing, "ring_hash_lb_config", problems);
    }
    case LbPolicy.MAGLEV: {
      const size = lbConfig.case === "maglevLbConfig" ? lbConfig.value.tableSize : undefined;
      return decodeMaglev(size, hashing, "maglev_lb_config", problems);
    }
    case LbPolicy.CLUSTER_PROVIDED:
      return { type: "cluster_provided", originalDst: decodeOriginalDst(lbConfig, problems) };
    default:
      problems.invalid("lb_policy", "LOAD_BALANCING_POLICY_CONFIG needs load_balancing_policy");
      return defaultLoadBalancing.policy;
  }
}

const settingsOf: Readonly<Record<number, Cluster["lbConfig"]["case"]>> = {
  [LbPolicy.ROUND_ROBIN]: "roundRobinLbConfig",
  [LbPolicy.LEAST_REQUEST]: "leastRequestLbConfig",
  [LbPolicy.RING_HASH]: "ringHashLbConfig",
  [LbPolicy.MAGLEV]: "maglevLbConfig",
  [LbPolicy.CLUSTER_PROVIDED]: "originalDstLbConfig",
};

function decodeOriginalDst(settings: Cluster["lbConfig"], problems: Problems): OriginalDstPolicy {
  if (settings.case !== "originalDstLbConfig") return { headerName: null, portOverride: 0 };
  const { useHttpHeader, httpHeaderName, upstreamPortOverride = 0, metadataKey } = settings.value;
  const path = "original_dst_lb_config";
  if (metadataKey !== undefined) problems.unsupported(`${path}.metadata_key`, "a destination from dynamic metadata");
  if (upstreamPortOverride > 65_535) {
    problems.invalid(`${path}.upstream_port_override`, `${upstreamPortOverride} is not a port`);
  }
  const name = httpHeaderName === "" ? "x-envoy-original-dst-host" : httpHeaderName.toLowerCase();
  return { headerName: useHttpHeader ? name : null, portOverride: upstreamPortOverride };
}

function decodeCommon(common: CommonLbConfig | undefined, problems: Problems): LoadBalancingConfig {
  if (common === undefined) return defaultLoadBalancing;
  const locality = common.localityConfigSpecifier;
  const zoneAware = locality.case === "zoneAwareLbConfig" ? locality.value : undefined;
  const threshold = common.healthyPanicThreshold?.value ?? defaultLoadBalancing.panicThresholdPercent;
  if (threshold > 100) problems.invalid("common_lb_config.healthy_panic_threshold", `${threshold} is above 100`);
  return {
    ...defaultLoadBalancing,
    panicThresholdPercent: Math.trunc(threshold),
    failTrafficOnPanic: zoneAware?.failTrafficOnPanic ?? false,
    isLocalityWeighted: locality.case === "localityWeightedLbConfig",
    zoneAware: locality.case === "localityWeightedLbConfig" ? null : decodeZoneAware(zoneAware),
    overrideHostStatuses:
      common.overrideHostStatus === undefined
        ? defaultLoadBalancing.overrideHostStatuses
        : new Set(common.overrideHostStatus.statuses.map(endpointHealth)),
    ignoresNewHosts: common.ignoreNewHostsUntilFirstHc,
    closesConnectionsOnChange: common.closeConnectionsOnHostSetChange,
    mergeWindowMs: milliseconds(common.updateMergeWindow, defaultLoadBalancing.mergeWindowMs),
  };
}

export function endpointHealth(status: HealthStatus): EndpointHealth {
  return healthByStatus[status] ?? "unknown";
}

const healthByStatus: Readonly<Record<number, EndpointHealth>> = {
  [HealthStatus.UNKNOWN]: "unknown",
  [HealthStatus.HEALTHY]: "healthy",
  [HealthStatus.UNHEALTHY]: "unhealthy",
  [HealthStatus.DRAINING]: "draining",
  [HealthStatus.TIMEOUT]: "timeout",
  [HealthStatus.DEGRADED]: "degraded",
};
