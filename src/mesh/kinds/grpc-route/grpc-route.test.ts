import assert from "node:assert/strict";
import { test } from "node:test";
import { objectOf, problemsOf } from "../../objects/testing/objects.ts";
import { grpcRoute } from "./kind.ts";

test("a route without rules takes every call, and a method matches exactly unless it says otherwise", () => {
  assert.deepEqual(objectOf(grpcRoute, { spec: {} }).spec.rules, [
    { name: "", matches: [], filters: [], backendRefs: [] },
  ]);
  const { spec } = objectOf(grpcRoute, { spec: { rules: [{ matches: [{ method: { service: "a.B" } }] }] } });
  assert.deepEqual(spec.rules[0]?.matches[0]?.method, { type: "Exact", service: "a.B", method: "" });
});

test("what the CRD's patterns and expressions refuse is refused, with the field", () => {
  const match = (method: object): object => ({ matches: [{ method }] });
  const cases: [object, string][] = [
    [match({}), "spec.rules[0].matches[0].method: at least one of service and method is needed"],
    [
      match({ service: "a/b" }),
      'spec.rules[0].matches[0].method.service: "a/b" is not the full name of a gRPC service',
    ],
    [match({ method: "a.b" }), 'spec.rules[0].matches[0].method.method: "a.b" is not the name of a method'],
    [
      { filters: [{ type: "RequestRedirect" }] },
      'spec.rules[0].filters[0].type: "RequestRedirect" is not one of RequestHeaderModifier, ResponseHeaderModifier, RequestMirror, ExtensionRef',
    ],
    [
      { filters: [{ type: "RequestMirror" }] },
      "spec.rules[0].filters[0]: a filter of type RequestMirror needs requestMirror",
    ],
    [{ backendRefs: [{ name: "a" }] }, "spec.rules[0].backendRefs[0]: a Service needs a port"],
  ];
  for (const [rule, expected] of cases) assert.deepEqual(problemsOf(grpcRoute, { rules: [rule] }), [expected]);
});
