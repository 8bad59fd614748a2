import assert from "node:assert/strict";
import { test } from "node:test";
import { newTrace } from "../../../config/trace.ts";
import { explainFault } from "./explain.ts";
import type { FaultSettings } from "./settings.ts";

type Subject = Parameters<typeof explainFault>[1];

const none: FaultSettings = {
  delay: null,
  abort: null,
  rateLimit: null,
  upstreamCluster: "",
  headers: [],
  downstreamNodes: [],
  maxActiveFaults: 1,
  countsDownstreamClusters: true,
  metadata: null,
};

function explained(settings: Partial<FaultSettings>, headers: Readonly<Record<string, string>> = {}): unknown[] {
  const trace = newTrace();
  const subject = { header: (name: string) => headers[name] } as unknown as Subject;
  const outcome = explainFault({ ...none, ...settings }, subject, trace);
  return [trace.steps.map(({ decision }) => decision).join("; "), outcome?.refusal?.status ?? null];
}

const abort = (share: number, httpStatus: number | null, grpcStatus: number | null = null): FaultSettings["abort"] => ({
  share,
  outOf: 100,
  httpStatus,
  grpcStatus,
});

test("shares are told, and only an abort of every request is a verdict", () => {
  const delay = { share: 0.5, outOf: 100, fixedMs: 2000 };
  assert.deepEqual(explained({ delay, abort: abort(0.1, 503) }), [
    "delays 50 % by 2000 ms and aborts 10 % with 503",
    null,
  ]);
  assert.deepEqual(explained({ abort: abort(1, 418) }), ["aborts 100 % with 418", 418]);
  assert.deepEqual(explained({ abort: abort(1, null, 14) }), ["aborts 100 % with gRPC status 14", 200]);
  assert.deepEqual(explained({ abort: abort(1, null) }), ["aborts 100 % with the status that they ask for", null]);
  assert.deepEqual(explained({ abort: abort(1, 503), upstreamCluster: "a" }), [
    "aborts 100 % with 503 of the requests to a",
    null,
  ]);
});

test("nothing is said of requests that are not meant", () => {
  const jason = { name: "end-user", matches: (value: string | undefined) => value === "jason", description: "jason" };
  assert.deepEqual(explained({ abort: abort(1, 503), headers: [jason] }), ["", null]);
  assert.deepEqual(explained({ abort: abort(1, 503), headers: [jason] }, { "end-user": "jason" }), [
    "aborts 100 % with 503",
    503,
  ]);
  assert.deepEqual(explained({ abort: abort(1, 503), downstreamNodes: ["n1"] }), ["", null]);
});
