import assert from "node:assert/strict";
import { test } from "node:test";
import { problemsOf } from "../../objects/testing/objects.ts";
import { tlsRoute } from "./kind.ts";

test("a TLSRoute has names, and rules with backends", () => {
  const rules = [{ backendRefs: [{ name: "a", port: 443 }] }];
  assert.deepEqual(problemsOf(tlsRoute, { hostnames: ["a.example.com", "*.example.org"], rules }), []);
  assert.deepEqual(problemsOf(tlsRoute, { hostnames: ["10.0.0.1"], rules }), [
    "spec.hostnames[0]: 10.0.0.1 is an address; a hostname is a DNS name",
  ]);
  assert.deepEqual(problemsOf(tlsRoute, {}), ["spec.rules: a rule is needed"]);
  assert.deepEqual(problemsOf(tlsRoute, { rules: [{}] }), ["spec.rules[0].backendRefs: a backend is needed"]);
});
