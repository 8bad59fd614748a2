import assert from "node:assert/strict";
import { test } from "node:test";
import { problemsOf } from "../../objects/testing/objects.ts";
import { referenceGrant } from "./kind.ts";

test("a ReferenceGrant says who may refer, and to what", () => {
  const from = [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "a" }];
  const to = [{ group: "", kind: "Service" }];
  assert.deepEqual(problemsOf(referenceGrant, { from, to }), []);
  assert.deepEqual(problemsOf(referenceGrant, { to }), ["spec.from: at least one entry is needed"]);
  assert.deepEqual(problemsOf(referenceGrant, { from, to: [{ group: "" }] }), ["spec.to[0]: a kind is needed"]);
  assert.deepEqual(problemsOf(referenceGrant, { from: [{ kind: "HTTPRoute" }], to }), [
    "spec.from[0]: a namespace is needed",
  ]);
});
