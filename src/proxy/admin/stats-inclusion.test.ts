import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "@bufbuild/protobuf";
import { statsInclusion } from "./stats-inclusion.ts";

const names = [
  "cluster.a.upstream_rq_retry",
  "cluster.b.upstream_cx_total",
  "http.in.downstream_rq_time",
  "server.live",
];

function included(metadata: JsonObject, problems: string[] = []): string[] | null {
  const includes = statsInclusion(metadata, (problem) => problems.push(problem));
  return includes && names.filter(includes);
}

const matcher = (proxyStatsMatcher: JsonObject, ANNOTATIONS: JsonObject = {}): JsonObject => ({
  PROXY_CONFIG: { proxyStatsMatcher },
  ANNOTATIONS,
});

test("prefixes, suffixes and whole expressions include statistics", () => {
  assert.deepEqual(included(matcher({ inclusionPrefixes: ["cluster.a", "http."] })), [names[0], names[2]]);
  assert.deepEqual(included(matcher({ inclusionSuffixes: ["_total"] })), [names[1]]);
  assert.deepEqual(included(matcher({ inclusionRegexps: ["cluster\\..*retry", "live"] })), [names[0]]);
});

test("an annotation stands in place of its list", () => {
  const annotations = { "sidecar.istio.io/statsInclusionPrefixes": "http, server" };
  const both = matcher({ inclusionPrefixes: ["cluster.a"], inclusionSuffixes: ["_total"] }, annotations);
  assert.deepEqual(included(both), [names[1], names[2], names[3]]);
});

test("without any nothing more is included, and what is no expression is told", () => {
  assert.equal(included({}), null);
  assert.equal(included({ PROXY_CONFIG: "x", ANNOTATIONS: { "sidecar.istio.io/statsInclusionRegexps": " , " } }), null);
  const problems: string[] = [];
  assert.deepEqual(included(matcher({ inclusionRegexps: ["(", "server.*"] }), problems), [names[3]]);
  assert.match(problems.join(), /^"\(" includes no statistics: /);
});
