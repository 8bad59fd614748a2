// Ring hash and maglev: which host a hash leads to, and what moves when hosts come and go. The expected places come from
// hashes of the xxHash library and `std::hash` of GNU C++, put in order by hand.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Hash64, MutableHash64 } from "#base/hash/hash64.ts";
import { murmurHash2 } from "#base/hash/murmur-hash2.ts";
import { xxHash64 } from "#base/hash/xx-hash64.ts";
import type { BalancingPolicy } from "../../config/load-balancing.ts";
import { balancerCounters } from "./balancer.ts";
import { anyHost } from "./choice.ts";
import { LoadBalancer } from "./load-balancer.ts";
import { largestUnaskedRing, RingHashPicker } from "./ring-hash.ts";
import { chance, host, hosts, maglev, ringHash, stateOf, type TestHost } from "./testing/hosts.ts";

function balancer(policy: BalancingPolicy, members: TestHost[], settings: Parameters<typeof stateOf>[2] = {}) {
  const made = new LoadBalancer<TestHost>(balancerCounters());
  made.update(stateOf(policy, members, settings));
  return made;
}

function hashOf(text: string): Hash64 {
  const out = new MutableHash64();
  xxHash64(text, 0, out);
  return out;
}

const some = Array.from({ length: 4000 }, (_, i) => hashOf(`user-${i}`));

function placesOf(policy: BalancingPolicy, members: TestHost[]): string[] {
  const made = balancer(policy, members);
  return some.map((hash) => made.choose({ ...anyHost, hash }, chance())?.config.key ?? "none");
}

const wide = (hash: Hash64): bigint => (BigInt(hash.high) << 32n) | BigInt(hash.low);

for (const hashFunction of ["xx_hash", "murmur_hash_2"] as const) {
  test(`a ${hashFunction} ring has the entries address_0, address_1 … and a hash goes to the first one that is not before it`, () => {
    const members = hosts(5);
    const entries = members.flatMap(({ config: { key } }) =>
      // 1024 entries over 5 hosts: the smallest whole number for each.
      Array.from({ length: 205 }, (_, k) => {
        const out = new MutableHash64();
        if (hashFunction === "xx_hash") xxHash64(`${key}_${k}`, 0, out);
        else murmurHash2(`${key}_${k}`, out);
        return { key, at: wide(out) };
      }),
    );
    entries.sort((a, b) => (a.at < b.at ? -1 : 1));
    const found = placesOf({ ...ringHash, hashFunction }, members);
    some.forEach((hash, i) => {
      const expected = entries.find((entry) => entry.at >= wide(hash)) ?? entries[0];
      assert.equal(found[i], expected?.key);
    });
  });
}

test("maglev fills its table as the paper's example does", () => {
  // A table of 7 small enough to follow: permutations from hashes of the addresses with seed 0 and 1.
  const members = hosts(3);
  const size = 7;
  const table: (string | undefined)[] = Array.from({ length: size });
  const rows = members.map(({ config: { key } }) => {
    const offset = new MutableHash64();
    const skip = new MutableHash64();
    xxHash64(key, 0, offset);
    xxHash64(key, 1, skip);
    const first = Number(wide(offset) % 7n);
    const step = Number(wide(skip) % 6n) + 1;
    return { key, permutation: Array.from({ length: size }, (_, i) => (first + i * step) % size) };
  });
  for (let filled = 0; filled < size; ) {
    for (const { key, permutation } of rows) {
      if (filled === size) break;
      const place = permutation.find((it) => table[it] === undefined) ?? 0;
      table[place] = key;
      filled++;
    }
  }
  const found = placesOf({ ...maglev, tableSize: size }, members);
  some.forEach((hash, i) => assert.equal(found[i], table[Number(wide(hash) % 7n)]));
});

for (const [name, policy, mostMoved] of [
  // A ring of a minimum size gives every host a few entries more or less when their number changes.
  ["ring hash", { ...ringHash, minimumSize: 4096 }, 0.06],
  ["maglev", maglev, 0.02],
] as const) {
  test(`${name}: the same hash goes to the same host, in whatever order the hosts came`, () => {
    const members = hosts(20);
    assert.deepEqual(placesOf(policy, members), placesOf(policy, members.toReversed()));
  });

  test(`${name}: when a host goes, hardly anything moves but what it had`, () => {
    const members = hosts(20);
    const before = placesOf(policy, members);
    const gone = members[7]?.config.key;
    const after = placesOf(policy, members.toSpliced(7, 1));
    const moved = before.filter((place, i) => place !== gone && place !== after[i]).length;
    assert.ok(moved / some.length <= mostMoved, `${moved} of ${some.length}`);
    assert.ok(!after.includes(gone ?? ""));
  });

  test(`${name}: when a host comes, it takes its part and nothing else moves much`, () => {
    const members = hosts(20);
    const before = placesOf(policy, members);
    const added = host("10.9.9.9:80");
    const after = placesOf(policy, [...members, added]);
    const taken = after.filter((place) => place === "10.9.9.9:80").length;
    const moved = before.filter((place, i) => after[i] !== "10.9.9.9:80" && place !== after[i]).length;
    assert.ok(taken > some.length / 42 && taken < some.length / 10, `${taken}`);
    assert.ok(moved / some.length <= mostMoved, `${moved}`);
  });

  test(`${name}: an unhealthy host leaves like one that went, and comes back to its old place`, () => {
    const members = hosts(10);
    const before = placesOf(policy, members);
    const sick = members.map((it, i) => (i === 3 ? { ...it, healthFlags: 2 } : it));
    assert.ok(!placesOf(policy, sick).includes(members[3]?.config.key ?? ""));
    assert.deepEqual(placesOf(policy, members), before);
  });

  test(`${name}: hosts are hashed by hash_key of their metadata, or by name where that is asked for`, () => {
    const named = { ...policy, usesHostname: true };
    const one = [host("10.0.0.1:80", { hostname: "a" }), host("10.0.0.2:80", { hostname: "b" })];
    const moved = [host("10.0.0.9:80", { hostname: "a" }), host("10.0.0.8:80", { hostname: "b" })];
    const rename = (it: string): string => it.replace("0.9:", "0.1:").replace("0.8:", "0.2:");
    assert.deepEqual(placesOf(named, moved).map(rename), placesOf(named, one));
    assert.notDeepEqual(placesOf(policy, moved).map(rename), placesOf(policy, one));
    const keyed = [
      host("10.0.0.9:80", { metadata: { hash_key: "a" } }),
      host("10.0.0.8:80", { metadata: { hash_key: "b" } }),
    ];
    assert.deepEqual(placesOf(policy, keyed).map(rename), placesOf(named, one));
  });

  test(`${name}: bounded loads pass over a host that has its fill, always to the same other hosts`, () => {
    const members = hosts(10);
    const active = (): number => members.reduce((sum, it) => sum + it.activeRequests, 0);
    const made = balancer({ ...policy, balanceFactorPercent: 125 }, members, { activeRequests: active });
    const hash = hashOf("the one hot key");
    const run = (): string[] => {
      for (const it of members) it.activeRequests = 0;
      return Array.from({ length: 100 }, () => {
        const chosen = made.choose({ ...anyHost, hash }, chance());
        if (chosen !== null) chosen.activeRequests++;
        return chosen?.config.key ?? "none";
      });
    };
    const first = run();
    // 125 % of the average of 10, and the one that reaches it.
    for (const it of members) assert.ok(it.activeRequests <= 14, `${it.config.key}: ${it.activeRequests}`);
    assert.deepEqual(run(), first);
  });

  test(`${name}: 10,000 hosts are ready in tens of milliseconds`, () => {
    const members = hosts(10_000);
    const made = balancer(policy, members);
    const begun = performance.now();
    made.choose({ ...anyHost, hash: hashOf("x") }, chance());
    assert.ok(performance.now() - begun < 500);
  });
}

test("a ring grows until the smallest host has an entry, and not beyond its largest size", () => {
  const weights = Float64Array.of(0.75, 0.25);
  const pair = hosts(2);
  assert.equal(new RingHashPicker({ ...ringHash, minimumSize: 3 }, pair, weights).size, 4);
  assert.equal(new RingHashPicker({ ...ringHash, minimumSize: 1024 }, pair, weights).size, 1024);
  assert.equal(new RingHashPicker({ ...ringHash, minimumSize: 1, maximumSize: 2 }, pair, weights).size, 2);
  const uneven = Float64Array.of(1 - 1e-7, 1e-7);
  assert.equal(new RingHashPicker(ringHash, pair, uneven).size, largestUnaskedRing, "weights alone ask for no more");
  const asked = { ...ringHash, minimumSize: largestUnaskedRing + 2 };
  assert.equal(new RingHashPicker(asked, pair, Float64Array.of(0.5, 0.5)).size, largestUnaskedRing + 2);
});

test("a request without a hash goes to any host", () => {
  const made = balancer(ringHash, hosts(4));
  const draws = chance();
  const seen = new Set(Array.from({ length: 200 }, () => made.choose(anyHost, draws)?.config.key));
  assert.equal(seen.size, 4);
});
