// When hosts are looked up, what is kept, and what is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { DnsCacheConfig } from "../../config/dns-cache.ts";
import { dynamicHost } from "../../decide/dynamic-host.ts";
import { Stats } from "../../stats/stats.ts";
import { EventLoop } from "../../transport/event-loop.ts";
import { DnsCache, type DnsLoad, type DnsWaiter, type ResolvedHost } from "./dns-cache.ts";
import type { DnsAnswer } from "./resolve-dns.ts";

const settings: DnsCacheConfig = {
  name: "c",
  family: "v4_only",
  refreshMs: 60_000,
  minRefreshMs: 5000,
  failureRefresh: null,
  hostTtlMs: 300_000,
  maxHosts: 3,
  maxPendingRequests: 2,
  queryTimeoutMs: 5000,
};

class Waiting implements DnsWaiter {
  readonly heard: ResolvedHost[] = [];
  onHostLoaded(host: ResolvedHost): void {
    this.heard.push({ ...host });
  }
}

function cacheWith(overrides: Partial<DnsCacheConfig> = {}) {
  const clock = new ManualClock();
  const loop = new EventLoop({ clock, now: () => clock.now(), random: () => 1 });
  const asked: { host: string; answer: (answer: Partial<DnsAnswer>) => void }[] = [];
  const stats = new Stats();
  const cache = new DnsCache(
    { ...settings, ...overrides },
    {
      loop,
      log: silentLogger,
      stats,
      resolve: ({ host }, done) =>
        void asked.push({ host, answer: (answer) => done({ addresses: [], ttlMs: null, error: null, ...answer }) }),
    },
  );
  const load = (authority: string, waiter: DnsWaiter = new Waiting()): DnsLoad => {
    loop.enter();
    const host = dynamicHost(authority, 80);
    assert.ok(host !== null);
    return cache.load(host, waiter);
  };
  const stat = (name: string): number | undefined =>
    stats.values().find((it) => it.name === `dns_cache.c.${name}`)?.value;
  return { cache, clock, asked, load, stat };
}

const addressesOf = (load: DnsLoad): readonly string[] => (typeof load === "string" ? [load] : load.addresses);

test("who asks first waits, who asks later is answered, and one lookup is for all of them", () => {
  const { asked, load, stat } = cacheWith();
  const [first, second] = [new Waiting(), new Waiting()];
  assert.equal(load("a.example", first), "loading");
  assert.equal(load("A.example:80", second), "loading");
  assert.equal(asked.length, 1);
  asked[0]?.answer({ addresses: ["10.0.0.1", "fd00::1"] });
  assert.deepEqual(
    [first, second].map(({ heard }) => heard[0]?.addresses),
    [["10.0.0.1"], ["10.0.0.1"]],
  );
  assert.deepEqual(addressesOf(load("a.example")), ["10.0.0.1"]);
  assert.deepEqual([stat("dns_query_attempt"), stat("dns_query_success"), stat("num_hosts")], [1, 1, 1]);
});

test("a host is looked up again as its records say, at least every refresh rate and not more often than the least one", () => {
  const { asked, load, clock, stat } = cacheWith();
  load("a.example");
  asked[0]?.answer({ addresses: ["10.0.0.1"], ttlMs: 20_000 });
  clock.advance(19_999);
  assert.equal(asked.length, 1);
  clock.advance(1);
  asked[1]?.answer({ addresses: ["10.0.0.2"], ttlMs: 1000 });
  assert.deepEqual(addressesOf(load("a.example")), ["10.0.0.2"]);
  assert.equal(stat("host_address_changed"), 1);
  clock.advance(4999);
  assert.equal(asked.length, 2);
  clock.advance(1);
  assert.equal(asked.length, 3);
  asked[2]?.answer({ addresses: ["10.0.0.2"] });
  clock.advance(60_000);
  assert.equal(asked.length, 4);
});

test("a lookup that fails later keeps the last good answer; one that fails first is told, until one succeeds", () => {
  const { asked, load, clock, stat } = cacheWith({ failureRefresh: { baseMs: 1000, maxMs: 1000 } });
  const waiting = new Waiting();
  load("a.example", waiting);
  asked[0]?.answer({ error: "SERVFAIL" });
  assert.deepEqual([waiting.heard[0]?.addresses, waiting.heard[0]?.error], [[], "SERVFAIL"]);
  assert.deepEqual(addressesOf(load("a.example")), []);
  clock.advance(1000);
  asked[1]?.answer({ addresses: ["10.0.0.1"] });
  assert.deepEqual(addressesOf(load("a.example")), ["10.0.0.1"]);
  clock.advance(60_000);
  asked[2]?.answer({});
  assert.deepEqual(addressesOf(load("a.example")), ["10.0.0.1"]);
  assert.deepEqual([stat("dns_query_failure"), stat("dns_query_success")], [2, 1]);
});

test("a resolver that does not answer is given up, and its late answer is not taken", () => {
  const { asked, load, clock, stat } = cacheWith();
  const waiting = new Waiting();
  load("a.example", waiting);
  clock.advance(5000);
  assert.equal(waiting.heard[0]?.error, "no answer within 5000 ms");
  asked[0]?.answer({ addresses: ["10.0.0.1"] });
  assert.deepEqual(addressesOf(load("a.example")), []);
  assert.equal(stat("dns_query_timeout"), 1);
});

test("a host that nobody asks for is forgotten, and its place is free again", () => {
  const { cache, asked, load, clock, stat } = cacheWith({ maxHosts: 1 });
  const removed: string[] = [];
  cache.onRemoved((key) => removed.push(key));
  load("a.example");
  asked[0]?.answer({ addresses: ["10.0.0.1"], ttlMs: 250_000 });
  clock.advance(200_000);
  assert.equal(load("b.example"), "too many hosts");
  assert.deepEqual(addressesOf(load("a.example")), ["10.0.0.1"]);
  // At 250 s it was asked for 50 s ago, and is looked up once more.
  clock.advance(50_000);
  asked[1]?.answer({ addresses: ["10.0.0.1"], ttlMs: 250_000 });
  clock.advance(250_000);
  assert.deepEqual(removed, ["a.example:80"]);
  assert.equal(load("b.example"), "loading");
  assert.deepEqual([stat("host_added"), stat("host_removed"), stat("host_overflow")], [2, 1, 1]);
});

test("more hosts or more waiting requests than allowed are refused, and who goes makes room", () => {
  const { cache, load, stat } = cacheWith();
  const first = new Waiting();
  assert.equal(load("a.example", first), "loading");
  assert.equal(load("b.example"), "loading");
  assert.equal(load("c.example"), "too many requests");
  cache.cancel("a.example:80", first);
  assert.equal(load("c.example"), "loading");
  assert.equal(load("d.example"), "too many hosts");
  assert.deepEqual([stat("dns_rq_pending_overflow"), stat("host_overflow")], [1, 1]);
});

test("an address needs no lookup", () => {
  const { asked, load } = cacheWith();
  assert.deepEqual(addressesOf(load("10.0.0.9:81")), ["10.0.0.9"]);
  assert.deepEqual(addressesOf(load("[fd00::1]")), ["fd00::1"]);
  assert.equal(asked.length, 0);
});
