import assert from "node:assert/strict";
import { test } from "node:test";
import { problemsOf } from "../../objects/testing/objects.ts";
import { tcpRoute } from "./kind.ts";

test("a TCPRoute has rules with backends, and no matches", () => {
  const backendRefs = [{ name: "a", port: 70, weight: 2 }];
  assert.deepEqual(problemsOf(tcpRoute, { parentRefs: [{ name: "web" }], rules: [{ backendRefs }] }), []);
  assert.deepEqual(problemsOf(tcpRoute, { rules: [] }), ["spec.rules: a rule is needed"]);
  assert.deepEqual(problemsOf(tcpRoute, { rules: [{ backendRefs, matches: [] }] }), [
    'spec.rules[0].matches: unknown field "matches"',
  ]);
  assert.deepEqual(problemsOf(tcpRoute, { rules: [{ backendRefs: [{ name: "a" }] }] }), [
    "spec.rules[0].backendRefs[0]: a Service needs a port",
  ]);
});
