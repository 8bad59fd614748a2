// `load_balancing_policy`: a list of extensions of which the first known one is taken. Some of them wrap another list.

import type { Any } from "@bufbuild/protobuf/wkt";
import { ownEntry } from "#base/own-entry.ts";
import type { LoadBalancingPolicy } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import {
  LocalityLbConfig_ZoneAwareLbConfig_LocalityBasis as LocalityBasis,
  type LocalityLbConfig,
} from "#wire/gen/envoy/extensions/load_balancing_policies/common/v3/common_pb.ts";
import {
  LeastRequest_SelectionMethod,
  LeastRequestSchema,
} from "#wire/gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.ts";
import { MaglevSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.ts";
import { RandomSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.ts";
import {
  RingHash_HashFunction,
  RingHashSchema,
} from "#wire/gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.ts";
import { RoundRobinSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.ts";
import { SubsetSchema } from "#wire/gen/envoy/extensions/load_balancing_policies/subset/v3/subset_pb.ts";
import { WrrLocalitySchema } from "#wire/gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.ts";
import {
  decodeHashing,
  decodeLeastRequest,
  decodeMaglev,
  decodeRingHash,
  decodeSlowStart,
  decodeZoneAware,
} from "./decode-balancing-policy.ts";
import { decodeSubsets } from "./decode-subsets.ts";
import { defaultLoadBalancing, type LoadBalancingConfig } from "./load-balancing.ts";
import { typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

/** What an extension decides; the rest comes from `common_lb_config`. */
type Decided = Pick<LoadBalancingConfig, "policy"> &
  Partial<Pick<LoadBalancingConfig, "isLocalityWeighted" | "zoneAware" | "failTrafficOnPanic" | "subsets">>;

type Decode = (any: Any, path: string, problems: Problems) => Decided;

const nothing: Decided = { policy: defaultLoadBalancing.policy };

export function decodeExtensionPolicy(
  list: LoadBalancingPolicy | undefined,
  path: string,
  problems: Problems,
): Decided {
  const names: string[] = [];
  for (const [i, { typedExtensionConfig }] of (list?.policies ?? []).entries()) {
    const any = typedExtensionConfig?.typedConfig;
    const name = typeName(any);
    const decode = ownEntry(extensions, name);
    if (any !== undefined && decode !== undefined) return decode(any, `${path}.policies[${i}]`, problems);
    names.push(name || "(none)");
  }
  if (names.length === 0) problems.invalid(path, "has no policy");
  else problems.unsupported(path, `none of the policies ${names.join(", ")}`);
  return nothing;
}

const prefix = "envoy.extensions.load_balancing_policies.";

const extensions: Readonly<Record<string, Decode>> = {
  [`${prefix}round_robin.v3.RoundRobin`]: (any, path, problems) => {
    const it = unpack(any, RoundRobinSchema, path, problems);
    if (it === null) return nothing;
    const slowStart = decodeSlowStart(it.slowStartConfig, path, problems);
    return { policy: { type: "round_robin", slowStart }, ...decodeLocality(it.localityLbConfig) };
  },
  [`${prefix}least_request.v3.LeastRequest`]: (any, path, problems) => {
    const it = unpack(any, LeastRequestSchema, path, problems);
    if (it === null) return nothing;
    const policy = decodeLeastRequest(it, path, problems);
    const scansAll = it.selectionMethod === LeastRequest_SelectionMethod.FULL_SCAN || it.enableFullScan === true;
    return {
      policy: scansAll ? { ...policy, choiceCount: 0 } : policy,
      ...decodeLocality(it.localityLbConfig),
    };
  },
  [`${prefix}random.v3.Random`]: (any, path, problems) => {
    const it = unpack(any, RandomSchema, path, problems);
    return { policy: { type: "random" }, ...decodeLocality(it?.localityLbConfig) };
  },
  [`${prefix}ring_hash.v3.RingHash`]: (any, path, problems) => {
    const it = unpack(any, RingHashSchema, path, problems);
    if (it === null) return nothing;
    const hashing = decodeHashing(it.consistentHashingLbConfig ?? it, path, problems);
    const murmur = it.hashFunction === RingHash_HashFunction.MURMUR_HASH_2;
    return {
      policy: decodeRingHash(it, murmur, hashing, path, problems),
      isLocalityWeighted: it.localityWeightedLbConfig !== undefined,
    };
  },
  [`${prefix}maglev.v3.Maglev`]: (any, path, problems) => {
    const it = unpack(any, MaglevSchema, path, problems);
    if (it === null) return nothing;
    const hashing = decodeHashing(it.consistentHashingLbConfig, path, problems);
    return {
      policy: decodeMaglev(it.tableSize, hashing, path, problems),
      isLocalityWeighted: it.localityWeightedLbConfig !== undefined,
    };
  },
  [`${prefix}wrr_locality.v3.WrrLocality`]: (any, path, problems) => {
    const it = unpack(any, WrrLocalitySchema, path, problems);
    const inner = decodeExtensionPolicy(it?.endpointPickingPolicy, `${path}.endpoint_picking_policy`, problems);
    return { ...inner, isLocalityWeighted: true, zoneAware: null };
  },
  [`${prefix}subset.v3.Subset`]: (any, path, problems) => {
    const it = unpack(any, SubsetSchema, path, problems);
    const inner = decodeExtensionPolicy(it?.subsetLbPolicy, `${path}.subset_lb_policy`, problems);
    if (inner.subsets !== undefined) problems.invalid(`${path}.subset_lb_policy`, "subsets inside subsets");
    return { ...inner, subsets: decodeSubsets(it ?? undefined, path, problems) };
  },
  [`${prefix}cluster_provided.v3.ClusterProvided`]: () => ({
    policy: { type: "cluster_provided", originalDst: { headerName: null, portOverride: 0 } },
  }),
};

function decodeLocality(
  locality: LocalityLbConfig | undefined,
): Pick<Decided, "isLocalityWeighted" | "zoneAware" | "failTrafficOnPanic"> {
  const choice = locality?.localityConfigSpecifier;
  if (choice?.case === "localityWeightedLbConfig") return { isLocalityWeighted: true, zoneAware: null };
  if (choice?.case !== "zoneAwareLbConfig") return { isLocalityWeighted: false, zoneAware: decodeZoneAware(undefined) };
  const { value } = choice;
  return {
    isLocalityWeighted: false,
    zoneAware: decodeZoneAware({
      ...value,
      countsWeights: value.localityBasis === LocalityBasis.HEALTHY_HOSTS_WEIGHT,
    }),
    failTrafficOnPanic: value.failTrafficOnPanic,
  };
}
