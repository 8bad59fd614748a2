import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "#wire/http/headers.ts";
import type { TracingConfig } from "../../config/tracing.ts";
import { traceReason } from "./sampling.ts";

function config(random: number, change: Partial<TracingConfig> = {}): TracingConfig {
  const share = (fraction: number, key = "") => ({ fraction, key });
  return {
    clientSampling: share(1),
    randomSampling: share(random, "tracing.random_sampling"),
    overallSampling: share(1),
    verbose: false,
    maxPathTagLength: 256,
    customTags: [],
    spawnsUpstreamSpan: false,
    operation: null,
    upstreamOperation: null,
    propagates: true,
    samplesByRequestId: true,
    packsReason: true,
    tracer: {
      type: "zipkin",
      service: { protocol: "http", cluster: "c", host: "h", path: "/", timeoutMs: 1, headers: [] },
      has128BitIds: true,
      sharesSpans: false,
      speaksW3c: false,
    },
    ...change,
  };
}

const source = { share: ({ fraction }: { readonly fraction: number }) => fraction, random: () => 0.5 };

function decide(settings: TracingConfig, id: string, headers: Readonly<Record<string, string>> = {}) {
  const list = new Headers();
  if (id !== "") list.add("x-request-id", id);
  for (const [name, value] of Object.entries(headers)) list.add(name, value);
  const reason = traceReason(settings, list, source);
  return [["none", "sampled", "client", "forced"][reason], list.get("x-request-id")?.[14]];
}

// 0x0000270f is 9999, and 0x00000064 is 100.
const id = (start: string, mark = "4"): string => `${start}-0000-${mark}000-8000-000000000000`;
const none = { fraction: 0, key: "" };

const cases: readonly [
  what: string,
  settings: TracingConfig,
  id: string,
  headers: Readonly<Record<string, string>>,
  expected: readonly (string | undefined)[],
][] = [
  ["below the share", config(0.01), id("00000063"), {}, ["sampled", "9"]],
  ["at the share", config(0.01), id("00000064"), {}, ["none", "4"]],
  ["all", config(1), id("0000270f"), {}, ["sampled", "9"]],
  ["a small share", config(0.0001), id("00000000"), {}, ["sampled", "9"]],
  ["a small share, not met", config(0.0001), id("00000001"), {}, ["none", "4"]],
  ["sampled by a proxy before", config(0), id("0000270f", "9"), {}, ["sampled", "9"]],
  ["forced by a proxy before", config(0), id("0000270f", "a"), {}, ["forced", "a"]],
  ["asked for by a client before", config(0), id("0000270f", "b"), {}, ["client", "b"]],
  ["forced", config(0), id("0000270f"), { "x-envoy-force-trace": "1" }, ["forced", "a"]],
  ["a client's trace", config(0), id("0000270f"), { "x-client-trace-id": "1" }, ["client", "b"]],
  [
    "a client's trace that is not wanted",
    config(0, { clientSampling: none }),
    id("0000270f"),
    { "x-client-trace-id": "1" },
    ["none", "4"],
  ],
  ["the bound over all", config(1, { overallSampling: none }), id("00000001", "9"), {}, ["none", "4"]],
  ["the bound over a new one", config(1, { overallSampling: none }), id("00000001"), {}, ["none", "4"]],
  ["an id that is left as it is", config(1, { packsReason: false }), id("00000001"), {}, ["sampled", "4"]],
  ["an id that is no UUID", config(1), "0000000f-own", {}, ["sampled", undefined]],
  ["an id that is no number", config(1), "request-1", {}, ["none", undefined]],
  ["no id", config(1), "", {}, ["none", undefined]],
  ["the tracer decides", config(0, { samplesByRequestId: false }), "", {}, ["sampled", undefined]],
];
for (const [what, settings, requestId, headers, expected] of cases) {
  test(`sampling: ${what}`, () => {
    assert.deepEqual(decide(settings, requestId, headers), expected);
  });
}
