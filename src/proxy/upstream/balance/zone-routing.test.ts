// Zone aware routing by the numbers of Envoy's documentation and of its own reasons for the algorithm.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type BalancingPolicy, defaultZoneAware, type ZoneAwareConfig } from "../../config/load-balancing.ts";
import { balancerCounters } from "./balancer.ts";
import { anyHost } from "./choice.ts";
import { makeBalancer } from "./make-balancer.ts";
import {
  chance,
  host,
  leastRequest,
  maglev,
  roundRobin,
  sick,
  stateOf,
  type TestHost,
  tally,
} from "./testing/hosts.ts";
import { localPeers, type ZoneRouting, zoneRouting } from "./zone-routing.ts";

/** `a2 b1` are two hosts in a, and one in b; `-` marks one that is not well, `*3` a weight. */
function hostsOf(text: string, network = "10.0"): TestHost[] {
  const members: TestHost[] = [];
  for (const word of text.split(" ").filter((it) => it !== "")) {
    const [, mark = "", zone = "", count = "1", weight = "1"] = /^(-?)([a-z])(\d*)\*?(\d*)$/.exec(word) ?? [];
    for (let i = 0; i < Number(count || 1); i++) {
      const settings = { locality: `r/${zone}`, weight: Number(weight || 1) };
      const key = `${network}.${members.length}.1:80`;
      members.push(mark === "-" ? sick(key, "unhealthy", settings) : host(key, settings));
    }
  }
  return members;
}

const small: ZoneAwareConfig = { ...defaultZoneAware, minClusterSize: 1 };

function routing(upstream: string, peers: string, config: Partial<ZoneAwareConfig> = {}): ZoneRouting | null {
  const all = hostsOf(upstream);
  const healthy = all.filter(({ healthFlags }) => healthFlags === 0);
  const local = { locality: "r/a", hosts: hostsOf(peers, "10.9") };
  return zoneRouting({ all, healthy }, local, { ...small, ...config }, balancerCounters());
}

test("a zone keeps its requests when it has as large a part of the hosts as of the peers", () => {
  const rows: [upstream: string, peers: string, share: number, residual: number[]][] = [
    ["a b", "a b", 10_000, []],
    ["a2 b1", "a b", 10_000, []],
    // Two thirds stay when the third zone has hosts and no peers.
    ["a b c", "a b", 6666, [0, 0, 3333]],
    // 40, 40 and 20 % of the peers; 25, 50 and 25 % of the hosts.
    ["a b2 c", "a2 b2 c", 6250, [0, 1000, 1500]],
    // No host in the proxy's own zone: everything goes to what the others can still take.
    ["b c", "a b", 0, [0, 5000]],
    // A zone whose hosts are not well can take nothing.
    ["-a b2", "a b", 0, [0, 5000]],
    ["a2 -a2 b2", "a b", 10_000, []],
  ];
  for (const [upstream, peers, share, residual] of rows) {
    const found = routing(upstream, peers);
    assert.deepEqual([found?.ownShare, found?.residual], [share, residual], `${upstream} from ${peers}`);
  }
});

test("zones do not count with one zone, without peers of the own zone, and for few hosts", () => {
  const counters = balancerCounters();
  const of = (upstream: string, peers: string, config: Partial<ZoneAwareConfig> = {}): ZoneRouting | null => {
    const all = hostsOf(upstream);
    const local = { locality: "r/a", hosts: hostsOf(peers) };
    return zoneRouting({ all, healthy: all }, local, { ...small, ...config }, counters);
  };
  assert.equal(of("a2", "a b"), null);
  assert.equal(of("a b", "a2"), null);
  assert.equal(counters.localClusterNotOk, 0);
  assert.equal(of("a b", "b c"), null);
  assert.equal(counters.localClusterNotOk, 1);
  assert.equal(of("a2 b3", "a b", { minClusterSize: 6 }), null);
  assert.equal(counters.zoneClusterTooSmall, 1);
  assert.notEqual(of("a3 b3", "a b", { minClusterSize: 6 }), null);
  assert.equal(counters.zoneRecalculations, 5);
});

test("a forced zone gets everything from a number of hosts on, also where all peers are in one zone", () => {
  assert.equal(routing("a b5", "a3 b1", { forcedFrom: 1 })?.ownShare, 10_000);
  assert.equal(routing("a b5", "a2", { forcedFrom: 1 })?.ownShare, 10_000);
  const few = routing("a b5", "a3 b1", { forcedFrom: 2 });
  assert.deepEqual([few?.ownShare, few?.residual], [2221, [0, 5833]]);
});

test("weights of hosts count where that is asked for", () => {
  assert.equal(routing("a*3 b2", "a b")?.ownShare, 6666);
  assert.equal(routing("a*3 b2", "a b", { countsWeights: true })?.ownShare, 10_000);
});

test("without a locality of its own the proxy is where the peer with its address is", () => {
  const peers = hostsOf("b a");
  const addresses = ["fd00::1", "10.0.1.1:80"];
  assert.equal(localPeers({ cluster: "c", locality: "", addresses }, peers).locality, "r/a");
  assert.equal(localPeers({ cluster: "c", locality: "r/z", addresses }, peers).locality, "r/z");
  assert.equal(localPeers({ cluster: "c", locality: "", addresses: [] }, peers).locality, "");
});

interface Setting {
  readonly upstream: string;
  readonly peers?: string;
  readonly policy?: BalancingPolicy;
  readonly zoneAware?: Partial<ZoneAwareConfig> | null;
  readonly failTrafficOnPanic?: boolean;
  readonly panicThresholdPercent?: number;
}

function balanced({ upstream, peers, policy = roundRobin, zoneAware = {}, ...rest }: Setting) {
  const state = stateOf(policy, hostsOf(upstream), {
    ...rest,
    zoneAware: zoneAware === null ? null : { ...small, ...zoneAware },
    peers: peers === undefined ? null : { locality: "r/a", hosts: hostsOf(peers, "10.9") },
  });
  const counters = balancerCounters();
  const balancer = makeBalancer<TestHost>(state.config, counters);
  balancer.update(state);
  const perZone = (total = 10_000): Record<string, number> => {
    const zones: Record<string, number> = {};
    for (const [key, count] of tally(balancer, total, chance(7))) {
      const zone = state.hosts.find(({ config }) => config.key === key)?.config.locality.slice(2) ?? "none";
      zones[zone] = (zones[zone] ?? 0) + count;
    }
    return zones;
  };
  const candidates = (): string[] =>
    [...new Set(balancer.candidates(anyHost).map(({ config }) => config.locality.slice(2)))].sort();
  return { counters, perZone, candidates };
}

function near(actual: number | undefined, expected: number, what: string): void {
  assert.ok(Math.abs((actual ?? 0) - expected) < 250, `${what}: ${actual}, not about ${expected}`);
}

test("requests spread over zones as the shares say, for every policy that looks at zones", () => {
  for (const policy of [roundRobin, leastRequest, { type: "random" }] satisfies BalancingPolicy[]) {
    const { perZone, counters, candidates } = balanced({
      upstream: "a b c",
      peers: "a b",
      policy,
    });
    const zones = perZone();
    near(zones["a"], 6666, `${policy.type} a`);
    near(zones["c"], 3334, `${policy.type} c`);
    assert.equal(zones["b"], undefined, policy.type);
    assert.equal(counters.zoneRoutingSampled + counters.zoneRoutingCrossZone, 10_000);
    assert.deepEqual(candidates(), ["a", "c"]);
  }
});

test("where the own zone can take everything only it is chosen, and explain says so", () => {
  const { perZone, counters, candidates } = balanced({ upstream: "a3 b3", peers: "a b" });
  assert.deepEqual(perZone(600), { a: 600 });
  assert.equal(counters.zoneRoutingAllDirectly, 600);
  assert.deepEqual(candidates(), ["a"]);
});

test("zones do not count without peers, with weights of localities, for a part of the requests, and for hashes", () => {
  const even = (setting: Setting, what: string): void => {
    const zones = balanced(setting).perZone();
    near(zones["a"], 5000, what);
    near(zones["b"], 5000, what);
  };
  even({ upstream: "a3 b3" }, "no peers");
  even({ upstream: "a3 b3", peers: "a b", zoneAware: null }, "weights");
  even({ upstream: "a3 b3", peers: "a b", zoneAware: { routingPercent: 0 } }, "0 %");
  const part = balanced({ upstream: "a3 b3", peers: "a b", zoneAware: { routingPercent: 50 } });
  near(part.perZone()["a"], 7500, "50 %");
  assert.deepEqual(part.candidates(), ["a", "b"]);
  const hashed = balanced({ upstream: "a3 b3", peers: "a b", policy: maglev });
  near(hashed.perZone()["b"], 5000, "maglev");
});

test("peers in panic: zones do not count, or nothing is chosen when panic is to fail", () => {
  const setting = { upstream: "a3 b3", peers: "a b -b -b -b", panicThresholdPercent: 50 };
  const calm = balanced(setting);
  near(calm.perZone()["b"], 5000, "all hosts");
  assert.equal(calm.counters.localClusterNotOk, 10_000);
  assert.deepEqual(balanced({ ...setting, failTrafficOnPanic: true }).perZone(10), { none: 10 });
});

test("hosts of other priorities wait for their turn", () => {
  const members = [...hostsOf("a b"), host("10.1.0.1:80", { priority: 1, locality: "r/a" })];
  const state = stateOf(roundRobin, members, {
    zoneAware: small,
    peers: { locality: "r/a", hosts: hostsOf("a b", "10.9") },
  });
  const balancer = makeBalancer<TestHost>(state.config, balancerCounters());
  balancer.update(state);
  assert.deepEqual([...tally(balancer, 100).keys()], ["10.0.0.1:80"]);
});
