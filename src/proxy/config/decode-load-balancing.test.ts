// Both ways to say how a cluster balances, the old fields and the extensions, and what of them is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeCluster } from "./decode-cluster.ts";
import { decodeEndpoints } from "./decode-endpoints.ts";
import { defaultLoadBalancing, type LoadBalancingConfig } from "./load-balancing.ts";
import { clusterConfig, clusterOf, endpointSet, endpointsOf, refusalOf } from "./testing/resources.ts";

const balancing = (yaml: string): LoadBalancingConfig =>
  clusterConfig(`{ name: c, type: STATIC, ${yaml} }`).loadBalancing;
const refusal = (yaml: string): string => refusalOf(decodeCluster(clusterOf(`{ name: c, type: STATIC, ${yaml} }`)));
const warnings = (yaml: string): string[] =>
  decodeCluster(clusterOf(`{ name: c, type: STATIC, ${yaml} }`)).issues.map((it) => `${it.path}: ${it.message}`);
const extension = (name: string, settings: string): string =>
  `load_balancing_policy: { policies: [${policy(name, settings)}] }`;
const policy = (name: string, settings: string): string => `{ typed_extension_config: { name: x, typed_config: {
  "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.${name}, ${settings} } } }`;

const hashing = { usesHostname: false, balanceFactorPercent: 0 };
const ring = { type: "ring_hash", minimumSize: 1024, maximumSize: 8_388_608, hashFunction: "xx_hash", ...hashing };

test("a cluster without settings balances as Envoy does by default", () => {
  assert.deepEqual(balancing(""), defaultLoadBalancing);
  assert.deepEqual(balancing("lb_policy: LEAST_REQUEST").policy, {
    type: "least_request",
    choiceCount: 2,
    activeRequestBias: 1,
    slowStart: null,
  });
  assert.deepEqual(balancing("lb_policy: RING_HASH").policy, ring);
  assert.deepEqual(balancing("lb_policy: MAGLEV").policy, { type: "maglev", tableSize: 65_537, ...hashing });
});

const rows: readonly [string, string, string, unknown][] = [
  [
    "round robin with slow start",
    "round_robin_lb_config: { slow_start_config: { slow_start_window: 60s, aggression: { default_value: 2, runtime_key: x }, min_weight_percent: { value: 5 } } }",
    extension(
      "round_robin.v3.RoundRobin",
      "slow_start_config: { slow_start_window: 60s, aggression: { default_value: 2, runtime_key: x }, min_weight_percent: { value: 5 } }",
    ),
    { type: "round_robin", slowStart: { windowMs: 60_000, aggression: 2, minimumFactor: 0.05 } },
  ],
  [
    "least request",
    "lb_policy: LEAST_REQUEST, least_request_lb_config: { choice_count: 5, active_request_bias: { default_value: 0.5, runtime_key: x } }",
    extension(
      "least_request.v3.LeastRequest",
      "choice_count: 5, active_request_bias: { default_value: 0.5, runtime_key: x }",
    ),
    { type: "least_request", choiceCount: 5, activeRequestBias: 0.5, slowStart: null },
  ],
  ["random", "lb_policy: RANDOM", extension("random.v3.Random", ""), { type: "random" }],
  [
    "ring hash",
    "lb_policy: RING_HASH, ring_hash_lb_config: { minimum_ring_size: 7, maximum_ring_size: 70, hash_function: MURMUR_HASH_2 }, common_lb_config: { consistent_hashing_lb_config: { use_hostname_for_hashing: true, hash_balance_factor: 150 } }",
    extension(
      "ring_hash.v3.RingHash",
      "minimum_ring_size: 7, maximum_ring_size: 70, hash_function: MURMUR_HASH_2, consistent_hashing_lb_config: { use_hostname_for_hashing: true, hash_balance_factor: 150 }",
    ),
    {
      type: "ring_hash",
      minimumSize: 7,
      maximumSize: 70,
      hashFunction: "murmur_hash_2",
      usesHostname: true,
      balanceFactorPercent: 150,
    },
  ],
  [
    "maglev",
    "lb_policy: MAGLEV, maglev_lb_config: { table_size: 101 }",
    extension("maglev.v3.Maglev", "table_size: 101"),
    { type: "maglev", tableSize: 101, ...hashing },
  ],
];

for (const [name, fields, extended, expected] of rows) {
  test(`${name} from the cluster's fields and from an extension`, () => {
    assert.deepEqual(balancing(fields).policy, expected);
    assert.deepEqual(balancing(extended).policy, expected);
  });
}

test("the first extension that is known here is taken; with none the cluster is refused by name", () => {
  const unknown = policy("client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin", "");
  const known = policy("random.v3.Random", "");
  assert.equal(balancing(`load_balancing_policy: { policies: [${unknown}, ${known}] }`).policy.type, "random");
  assert.match(
    refusal(`load_balancing_policy: { policies: [${unknown}] }`),
    /none of the policies envoy.*ClientSideWeightedRoundRobin is not supported/,
  );
});

test("extensions that wrap another one: localities by weight, subsets", () => {
  const inner = `{ policies: [${policy("random.v3.Random", "")}] }`;
  const byLocality = balancing(extension("wrr_locality.v3.WrrLocality", `endpoint_picking_policy: ${inner}`));
  assert.deepEqual([byLocality.policy.type, byLocality.isLocalityWeighted], ["random", true]);
  const divided = balancing(
    extension(
      "subset.v3.Subset",
      `subset_lb_policy: ${inner}, fallback_policy: DEFAULT_SUBSET, default_subset: { v: "1" }, allow_redundant_keys: true,
       subset_selectors: [{ keys: [b, a, a], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [a] }]`,
    ),
  );
  assert.equal(divided.policy.type, "random");
  assert.deepEqual(divided.subsets, {
    selectors: [{ keys: ["a", "b"], isSingleHost: false, fallback: "keys_subset", fallbackKeys: ["a"] }],
    fallback: "default_subset",
    defaultSubset: { v: "1" },
    isLocalityWeightAware: false,
    scalesLocalityWeight: false,
    panicModeAny: false,
    listAsAny: false,
    usesFallbackList: false,
    allowsRedundantKeys: true,
  });
  const full = balancing(extension("least_request.v3.LeastRequest", "selection_method: FULL_SCAN"));
  assert.equal(full.policy.type === "least_request" && full.policy.choiceCount, 0);
});

test("common settings: panic, localities, host overrides, merging, draining on change", () => {
  const common =
    balancing(`common_lb_config: { healthy_panic_threshold: { value: 33.9 }, locality_weighted_lb_config: {},
    update_merge_window: 3s, close_connections_on_host_set_change: true, ignore_new_hosts_until_first_hc: true,
    override_host_status: { statuses: [DRAINING] } }`);
  assert.deepEqual(common, {
    ...defaultLoadBalancing,
    panicThresholdPercent: 33,
    isLocalityWeighted: true,
    zoneAware: null,
    overrideHostStatuses: new Set(["draining"]),
    ignoresNewHosts: true,
    closesConnectionsOnChange: true,
    mergeWindowMs: 3000,
  });
  const zoneAware = "common_lb_config: { zone_aware_lb_config: { fail_traffic_on_panic: true } }";
  assert.equal(balancing(zoneAware).failTrafficOnPanic, true);
  assert.deepEqual(warnings(zoneAware), []);
});

test("zone aware routing: of a cluster, of an extension with its newer fields, and the default of both", () => {
  const byDefault = { routingPercent: 100, minClusterSize: 6, forcedFrom: null, countsWeights: false };
  assert.deepEqual(balancing("").zoneAware, byDefault);
  const said = "{ routing_enabled: { value: 40 }, min_cluster_size: 2";
  assert.deepEqual(balancing(`common_lb_config: { zone_aware_lb_config: ${said} } }`).zoneAware, {
    ...byDefault,
    routingPercent: 40,
    minClusterSize: 2,
  });
  const extension = (locality: string): ReturnType<typeof balancing>["zoneAware"] =>
    balancing(
      `load_balancing_policy: { policies: [{ typed_extension_config: { name: r, typed_config: {
        "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin${locality} } } }] }`,
    ).zoneAware;
  assert.deepEqual(extension(""), byDefault);
  assert.equal(extension(", locality_lb_config: { locality_weighted_lb_config: {} }"), null);
  const forced = `${said}, locality_basis: HEALTHY_HOSTS_WEIGHT, force_local_zone: { min_size: 3 } }`;
  assert.deepEqual(extension(`, locality_lb_config: { zone_aware_lb_config: ${forced} }`), {
    routingPercent: 40,
    minClusterSize: 2,
    forcedFrom: 3,
    countsWeights: true,
  });
  const direct = ", locality_lb_config: { zone_aware_lb_config: { force_locality_direct_routing: true } }";
  assert.equal(extension(direct)?.forcedFrom, 1);
});

const refusals: readonly [string, RegExp][] = [
  ["lb_policy: CLUSTER_PROVIDED", /lb_policy: an ORIGINAL_DST cluster needs CLUSTER_PROVIDED/],
  ["lb_policy: MAGLEV, maglev_lb_config: { table_size: 100 }", /table_size: 100 is not a prime number/],
  ["lb_policy: MAGLEV, maglev_lb_config: { table_size: 5000029 }", /table_size: 5000029 is above/],
  ["lb_policy: RING_HASH, ring_hash_lb_config: { maximum_ring_size: 10 }", /1024 is above the maximum of 10/],
  ["lb_policy: RING_HASH, ring_hash_lb_config: { maximum_ring_size: 9000000 }", /9000000 is above 8388608/],
  ["lb_policy: RANDOM, maglev_lb_config: {}", /lb_config: maglevLbConfig does not belong to the policy/],
  ["lb_policy: LEAST_REQUEST, least_request_lb_config: { choice_count: 1 }", /choice_count: 1 is below 2/],
  ["lb_policy: LOAD_BALANCING_POLICY_CONFIG", /needs load_balancing_policy/],
  [
    "lb_policy: MAGLEV, common_lb_config: { consistent_hashing_lb_config: { hash_balance_factor: 99 } }",
    /hash_balance_factor: 99 is below 100/,
  ],
  ["lb_subset_config: { subset_selectors: [{ keys: [] }] }", /keys: is missing/],
  ["lb_subset_config: { subset_selectors: [{ keys: [a, b], single_host_per_subset: true }] }", /exactly one key/],
  [
    "lb_subset_config: { subset_selectors: [{ keys: [a], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [b] }] }",
    /b is not among the selector's keys/,
  ],
  [
    "lb_subset_config: { subset_selectors: [{ keys: [a], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [a] }] }",
    /has all keys/,
  ],
  ["load_balancing_policy: {}", /load_balancing_policy: has no policy/],
];

test("what no balancer can be made of is refused with its place", () => {
  for (const [yaml, pattern] of refusals) assert.match(refusal(yaml), pattern, yaml);
});

test("an ORIGINAL_DST cluster reads a header and overrides the port", () => {
  const cluster = clusterConfig(`{ name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED,
    original_dst_lb_config: { use_http_header: true, http_header_name: X-Where, upstream_port_override: 99 } }`);
  assert.deepEqual(cluster.loadBalancing.policy, {
    type: "cluster_provided",
    originalDst: { headerName: "x-where", portOverride: 99 },
  });
  assert.equal(cluster.cleanupIntervalMs, 5000);
});

test("an assignment carries weights of localities and its policy", () => {
  const set = endpointSet(`
cluster_name: c
endpoints:
- { locality: { region: r, zone: z }, load_balancing_weight: 7, priority: 1 }
- { locality: { region: q } }
policy:
  overprovisioning_factor: 200
  weighted_priority_health: true
  endpoint_stale_after: 90s
  drop_overloads: [{ category: throttle, drop_percentage: { numerator: 5, denominator: TEN_THOUSAND } }]
`);
  assert.deepEqual(set.localities, [{ name: "r/z", priority: 1, weight: 7 }]);
  assert.deepEqual(set.policy, {
    overprovisioningPercent: 200,
    countsWeights: true,
    dropOverload: { category: "throttle", fraction: 0.0005 },
    staleAfterMs: 90_000,
  });
  const two = "[{ category: a }, { category: b }]";
  const refused = refusalOf(decodeEndpoints(endpointsOf(`{ cluster_name: c, policy: { drop_overloads: ${two} } }`)));
  assert.match(refused, /policy.drop_overloads: more than one entry is not supported/);
});
