// When names are asked for, what of the answers is used, and what is kept when there is none.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { type DnsConfig, type EndpointConfig, plainEndpointSet } from "../../config/cluster.ts";
import { endpointConfig } from "../../listener/testing/data-path.ts";
import { EventLoop } from "../../transport/event-loop.ts";
import { DnsDiscovery } from "./dns-discovery.ts";
import { type DnsAnswer, type DnsQuestion, systemResolver } from "./resolve-dns.ts";

const named = (host: string, overrides: Partial<EndpointConfig> = {}): EndpointConfig =>
  endpointConfig(80, { host, key: `${host}:80`, ...overrides });

interface Asked {
  readonly question: DnsQuestion;
  readonly at: number;
  readonly answer: (answer: Partial<DnsAnswer>) => void;
}

function discovery(names: EndpointConfig[], dns: Partial<DnsConfig> = {}, isLogical = false) {
  const clock = new ManualClock();
  const loop = new EventLoop({ clock, now: () => clock.now(), random: () => 1 });
  const asked: Asked[] = [];
  const published: string[][] = [];
  const sets: EndpointConfig[][] = [];
  const attempts: boolean[] = [];
  const made = new DnsDiscovery({
    loop,
    log: silentLogger,
    resolve: (question, done) =>
      void asked.push({
        question,
        at: clock.now(),
        answer: (answer) => done({ addresses: [], ttlMs: null, error: null, ...answer }),
      }),
    clusterName: "c",
    dns: { refreshMs: 5000, failureRefresh: null, respectsTtl: false, family: "all", ...dns },
    named: plainEndpointSet("c", names),
    isLogical,
    onEndpoints: (set) => {
      sets.push([...set.endpoints]);
      published.push(set.endpoints.map((it) => it.key));
    },
    onAttempt: (isSuccess) => attempts.push(isSuccess),
  });
  made.start();
  return { made, clock, asked, published, sets, attempts };
}

test("several names with priorities become endpoints once all were answered, and again when an answer changes", () => {
  const names = [named("a.example"), named("b.example", { priority: 1, weight: 7 }), named("10.9.9.9")];
  const { asked, published, sets, clock } = discovery(names);
  assert.deepEqual(
    asked.map((it) => it.question.host),
    ["a.example", "b.example"],
  );
  asked[0]?.answer({ addresses: ["10.0.0.1", "fd00::1"] });
  assert.deepEqual(published, []);
  asked[1]?.answer({ addresses: ["10.0.1.1"] });
  assert.deepEqual(published, [["10.0.0.1:80", "[fd00::1]:80", "10.0.1.1:80", "10.9.9.9:80"]]);
  const second = sets[0]?.[2];
  assert.deepEqual([second?.priority, second?.weight, second?.hostname], [1, 7, "b.example"]);
  // The same addresses in another order are no change.
  clock.advance(5000);
  asked[2]?.answer({ addresses: ["fd00::1", "10.0.0.1"] });
  assert.equal(published.length, 1);
  asked[3]?.answer({ addresses: ["10.0.1.2"] });
  assert.deepEqual(published[1], ["[fd00::1]:80", "10.0.0.1:80", "10.0.1.2:80", "10.9.9.9:80"]);
});

test("a name without an address has no endpoint any more; one that cannot be resolved keeps its last answer", () => {
  const { asked, published, clock, attempts } = discovery([named("a.example")]);
  asked[0]?.answer({ addresses: ["10.0.0.1"] });
  clock.advance(5000);
  asked[1]?.answer({ error: "SERVFAIL" });
  assert.deepEqual(published, [["10.0.0.1:80"]]);
  clock.advance(5000);
  asked[2]?.answer({ addresses: [] });
  assert.deepEqual(published[1], []);
  assert.deepEqual(attempts, [true, false, true]);
});

test("a first answer that fails leaves the cluster without endpoints but not waiting", () => {
  const { asked, published } = discovery([named("a.example")]);
  asked[0]?.answer({ error: "EAI_AGAIN" });
  assert.deepEqual(published, [[]]);
});

test("after failures names are asked for at growing delays, after a success at the refresh rate", () => {
  const { asked, clock } = discovery([named("a.example")], { failureRefresh: { baseMs: 1000, maxMs: 3000 } });
  const times = (): number[] => asked.map((it) => it.at);
  for (const end of [1000, 3000, 6000, 9000]) {
    asked.at(-1)?.answer({ error: "no" });
    clock.advance(end - clock.now());
  }
  assert.deepEqual(times(), [0, 1000, 3000, 6000, 9000]);
  asked.at(-1)?.answer({ addresses: ["10.0.0.1"] });
  clock.advance(5000);
  asked.at(-1)?.answer({ error: "no" });
  clock.advance(1000);
  assert.deepEqual(times().slice(-2), [14_000, 15_000]);
});

test("the time to live of the records decides where it is respected", () => {
  const on = discovery([named("a.example")], { respectsTtl: true });
  assert.equal(on.asked[0]?.question.wantsTtl, true);
  on.asked[0]?.answer({ addresses: ["10.0.0.1"], ttlMs: 30_000 });
  on.clock.advance(29_999);
  assert.equal(on.asked.length, 1);
  on.clock.advance(1);
  assert.equal(on.asked.length, 2);
  // Without a time to live the refresh rate holds.
  on.asked[1]?.answer({ addresses: ["10.0.0.1"] });
  on.clock.advance(5000);
  assert.equal(on.asked.length, 3);
  const off = discovery([named("a.example")]);
  assert.equal(off.asked[0]?.question.wantsTtl, false);
});

test("each lookup family uses its addresses", () => {
  const both = ["10.0.0.1", "fd00::1", "10.0.0.2"];
  const used = (family: DnsConfig["family"], addresses = both): string[] | undefined => {
    const { asked, published } = discovery([named("a.example")], { family });
    asked[0]?.answer({ addresses });
    return published[0];
  };
  assert.deepEqual(used("auto"), ["[fd00::1]:80"]);
  assert.deepEqual(used("auto", ["10.0.0.1"]), ["10.0.0.1:80"]);
  assert.deepEqual(used("v4_only"), ["10.0.0.1:80", "10.0.0.2:80"]);
  assert.deepEqual(used("v6_only"), ["[fd00::1]:80"]);
  assert.deepEqual(used("v4_preferred"), ["10.0.0.1:80", "10.0.0.2:80"]);
  assert.deepEqual(used("v4_preferred", ["fd00::1"]), ["[fd00::1]:80"]);
  assert.equal(used("all")?.length, 3);
  const families = (family: DnsConfig["family"]): number | undefined =>
    discovery([named("a.example")], { family }).asked[0]?.question.family;
  assert.deepEqual((["auto", "v4_only", "v6_only", "v4_preferred", "all"] as const).map(families), [0, 4, 6, 0, 0]);
});

test("LOGICAL_DNS makes one endpoint of the whole answer", () => {
  const { asked, sets } = discovery([named("a.example")], {}, true);
  asked[0]?.answer({ addresses: ["10.0.0.1", "fd00::1"] });
  assert.equal(sets[0]?.length, 1);
  assert.equal(sets[0]?.[0]?.key, "10.0.0.1:80");
  assert.deepEqual(sets[0]?.[0]?.additionalAddresses, ["fd00::1"]);
});

test("nothing is asked and no answer is taken after the end", () => {
  const { made, asked, published, clock } = discovery([named("a.example")]);
  made.stop();
  asked[0]?.answer({ addresses: ["10.0.0.1"] });
  clock.advance(60_000);
  assert.deepEqual([asked.length, published.length], [1, 0]);
});

test("the system's resolver knows localhost", async () => {
  const ask = (host: string): Promise<DnsAnswer> =>
    new Promise((resolve) => systemResolver({ host, family: 4, wantsTtl: false }, resolve));
  assert.deepEqual(await ask("localhost"), { addresses: ["127.0.0.1"], ttlMs: null, error: null });
});
