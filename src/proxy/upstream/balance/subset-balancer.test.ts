// Which hosts criteria lead to, and what happens when they lead nowhere.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "@bufbuild/protobuf";
import type { SubsetConfig, SubsetSelector } from "../../config/load-balancing.ts";
import { balancerCounters } from "./balancer.ts";
import { anyHost } from "./choice.ts";
import { SubsetBalancer } from "./subset-balancer.ts";
import { chance, host, roundRobin, sick, stateOf, type TestHost, tally } from "./testing/hosts.ts";

const selector = (keys: string[], more: Partial<SubsetSelector> = {}): SubsetSelector => ({
  keys: [...keys].sort(),
  isSingleHost: false,
  fallback: null,
  fallbackKeys: [],
  ...more,
});

function subsets(selectors: SubsetSelector[], more: Partial<SubsetConfig> = {}): SubsetConfig {
  return {
    selectors,
    fallback: "no_fallback",
    defaultSubset: {},
    isLocalityWeightAware: false,
    scalesLocalityWeight: false,
    panicModeAny: false,
    listAsAny: false,
    usesFallbackList: false,
    allowsRedundantKeys: false,
    ...more,
  };
}

function balancer(config: SubsetConfig, members: TestHost[], settings: Parameters<typeof stateOf>[2] = {}) {
  const counters = balancerCounters();
  const made = new SubsetBalancer<TestHost>(counters);
  made.update(stateOf(roundRobin, members, { ...settings, subsets: config }));
  const chosen = (metadataMatch: JsonObject | null): string =>
    [...tally(made, 60, chance(), { metadataMatch }).keys()].sort().join();
  return { made, counters, chosen };
}

const labelled = (key: string, metadata: JsonObject): TestHost => host(key, { metadata });

/** The hosts of the example in Envoy's documentation. */
const documented = [
  labelled("e1", { stage: "prod", version: "1.0", type: "std", xlarge: true }),
  labelled("e2", { stage: "prod", version: "1.0", type: "std" }),
  labelled("e3", { stage: "prod", version: "1.1", type: "std" }),
  labelled("e4", { stage: "prod", version: "1.1", type: "std" }),
  labelled("e5", { stage: "prod", version: "1.0", type: "bigmem" }),
  labelled("e6", { stage: "prod", version: "1.1", type: "bigmem" }),
  labelled("e7", { stage: "dev", version: "1.2-pre", type: "std" }),
];

test("the example of Envoy's documentation", () => {
  const config = subsets(
    [
      selector(["stage", "type"]),
      selector(["stage", "version"]),
      selector(["version"]),
      selector(["xlarge", "version"]),
    ],
    {
      fallback: "default_subset",
      defaultSubset: { stage: "prod", version: "1.0", type: "std" },
    },
  );
  const { chosen, counters } = balancer(config, documented);
  assert.equal(counters.subsetsActive, 10);
  assert.equal(chosen({ stage: "prod", type: "std" }), "e1,e2,e3,e4");
  assert.equal(chosen({ stage: "prod", version: "1.0" }), "e1,e2,e5");
  assert.equal(chosen({ version: "1.1" }), "e3,e4,e6");
  assert.equal(chosen({ xlarge: true, version: "1.0" }), "e1");
  assert.equal(counters.subsetsFallback, 0);
  // No selector has exactly these keys, no host these values, no criteria at all: the default subset.
  assert.equal(chosen({ type: "bigmem" }), "e1,e2");
  assert.equal(chosen({ version: "9" }), "e1,e2");
  assert.equal(chosen(null), "e1,e2");
  assert.equal(counters.subsetsFallback, 180);
});

test("without a fallback criteria that lead nowhere find no host", () => {
  const { chosen } = balancer(subsets([selector(["version"])]), documented);
  assert.equal(chosen({ version: "9" }), "none");
  assert.equal(chosen(null), "none");
});

test("values are compared with their types", () => {
  const members = [
    labelled("number", { v: 1 }),
    labelled("text", { v: "1" }),
    labelled("object", { v: { b: 1, a: [true] } }),
  ];
  const { chosen } = balancer(subsets([selector(["v"])]), members);
  assert.equal(chosen({ v: 1 }), "number");
  assert.equal(chosen({ v: "1" }), "text");
  assert.equal(chosen({ v: { a: [true], b: 1 } }), "object");
});

test("a subset whose hosts are all unwell is an answer: no fallback", () => {
  const members = [sick("a", "unhealthy", { metadata: { v: "1" } }), labelled("b", { v: "2" })];
  const { chosen } = balancer(subsets([selector(["v"])], { fallback: "any_endpoint" }), members);
  assert.equal(chosen({ v: "1" }), "none");
  assert.equal(chosen({ v: "3" }), "b");
});

test("a selector may fall back in its own way", () => {
  const config = subsets(
    [
      selector(["version"], { fallback: "any_endpoint" }),
      selector(["stage", "version"], { fallback: "keys_subset", fallbackKeys: ["version"] }),
      selector(["stage"], { fallback: "no_fallback" }),
    ],
    { fallback: "default_subset", defaultSubset: { stage: "dev" } },
  );
  const { chosen } = balancer(config, documented);
  assert.equal(chosen({ version: "9" }), "e1,e2,e3,e4,e5,e6,e7");
  assert.equal(chosen({ stage: "test", version: "1.1" }), "e3,e4,e6");
  assert.equal(chosen({ stage: "test", version: "9" }), "e1,e2,e3,e4,e5,e6,e7");
  assert.equal(chosen({ stage: "test" }), "none");
  assert.equal(chosen({ type: "std" }), "e7");
});

test("when the default subset is empty too, any host will do if that is configured", () => {
  const config = subsets([selector(["version"])], { fallback: "default_subset", defaultSubset: { stage: "none" } });
  assert.equal(balancer(config, documented).chosen({ version: "9" }), "none");
  const { chosen, counters } = balancer({ ...config, panicModeAny: true }, documented);
  assert.equal(chosen({ version: "9" }), "e1,e2,e3,e4,e5,e6,e7");
  assert.equal(counters.subsetsFallbackPanic, 60);
});

test("a list in a host's metadata puts it in the subset of every element, if that is configured", () => {
  const members = [labelled("both", { shard: ["a", "b"] }), labelled("a", { shard: "a" })];
  assert.equal(balancer(subsets([selector(["shard"])], { listAsAny: true }), members).chosen({ shard: "b" }), "both");
  assert.equal(balancer(subsets([selector(["shard"])], { listAsAny: true }), members).chosen({ shard: "a" }), "a,both");
  assert.equal(balancer(subsets([selector(["shard"])]), members).chosen({ shard: "a" }), "a");
});

test("one host per subset: found whatever its priority, passed over when it is unwell", () => {
  const members = [
    host("p0", { metadata: { id: "1" } }),
    host("p3", { priority: 3, metadata: { id: "2" } }),
    sick("unwell", "unhealthy", { metadata: { id: "3" } }),
    host("again", { metadata: { id: "1" } }),
  ];
  const config = subsets([selector(["id"], { isSingleHost: true })], {
    fallback: "default_subset",
    defaultSubset: { id: "2" },
  });
  const { chosen, counters } = balancer(config, members, { panicThresholdPercent: 50 });
  assert.equal(chosen({ id: "1" }), "p0");
  assert.equal(chosen({ id: "2" }), "p3");
  assert.equal(chosen({ id: "3" }), "p3");
  assert.equal(counters.singleHostDuplicates, 1);
});

test("fallback_list names other criteria to try", () => {
  const config = subsets([selector(["version"]), selector(["hardware", "version"])], { usesFallbackList: true });
  const { chosen } = balancer(config, [
    labelled("v3", { version: "3.0" }),
    labelled("v2", { version: "2.0", hardware: "c64" }),
  ]);
  const list = [{ version: "2.0", hardware: "c32" }, { version: "3.0" }];
  assert.equal(chosen({ version: "1.0", fallback_list: list }), "v3");
  assert.equal(chosen({ version: "2.0", fallback_list: list }), "v2");
  assert.equal(chosen({ version: "1.0", fallback_list: [] }), "none");
});

test("criteria with more keys than the selector find it where that is allowed, the selector with most keys first", () => {
  const config = subsets([selector(["stage"]), selector(["stage", "type"])], { allowsRedundantKeys: true });
  const { chosen } = balancer(config, documented);
  assert.equal(chosen({ stage: "prod", type: "bigmem", version: "1.0" }), "e5,e6");
  assert.equal(
    balancer({ ...config, allowsRedundantKeys: false }, documented).chosen({ stage: "dev", version: "x" }),
    "none",
  );
});

test("subsets balance by locality where that is asked for, with weights scaled to what is left of a locality", () => {
  const members = [
    host("n1", { locality: "near", metadata: { v: "1" } }),
    ...["n2", "n3", "n4"].map((key) => host(key, { locality: "near", metadata: { v: "2" } })),
    host("f1", { locality: "far", metadata: { v: "1" } }),
  ];
  const localities = ["near", "far"].map((name) => ({ name, priority: 0, weight: 100 }));
  const settings = { isLocalityWeighted: true, localities };
  const near = (more: Partial<SubsetConfig>): number => {
    const { made } = balancer(subsets([selector(["v"])], more), members, settings);
    return (tally(made, 5000, chance(), { metadataMatch: { v: "1" } }).get("n1") ?? 0) / 5000;
  };
  assert.ok(Math.abs(near({ isLocalityWeightAware: true }) - 0.5) < 0.02);
  // One of four near hosts is in the subset: a weight of 25 against 100.
  assert.ok(Math.abs(near({ isLocalityWeightAware: true, scalesLocalityWeight: true }) - 0.2) < 0.02);
});

test("what criteria lead to follows the hosts", () => {
  const criteria = { version: "1.1" };
  const config = subsets([selector(["version"])]);
  const { made } = balancer(config, documented);
  const first = made.choose({ ...anyHost, metadataMatch: criteria }, chance());
  assert.equal(first?.config.metadata?.["version"], "1.1");
  made.update(stateOf(roundRobin, [labelled("e9", { version: "1.1" })], { subsets: config }));
  assert.equal(made.choose({ ...anyHost, metadataMatch: criteria }, chance())?.config.key, "e9");
  assert.deepEqual(
    made.candidates({ ...anyHost, metadataMatch: criteria }).map((it) => it.config.key),
    ["e9"],
  );
});
