import assert from "node:assert/strict";
import { test } from "node:test";
import { problemsOf } from "../../objects/testing/objects.ts";
import { xBackendTrafficPolicy } from "./kind.ts";

const target = { group: "", kind: "Service", name: "a" };

test("a traffic policy says whom it is about, and within bounds", () => {
  const constraint = { budget: { percent: 30, interval: "10s" }, minRetryRate: { count: 5, interval: "1s" } };
  assert.deepEqual(problemsOf(xBackendTrafficPolicy, { targetRefs: [target], retryConstraint: constraint }), []);
  const cases: [object, string][] = [
    [{ targetRefs: [] }, "spec.targetRefs: a target is needed"],
    [{ targetRefs: [{ kind: "Service" }] }, "spec.targetRefs[0]: kind and name are needed"],
    [
      { targetRefs: [target], retryConstraint: { budget: { percent: 101 } } },
      "spec.retryConstraint.budget.percent: 101 is not between 0 and 100",
    ],
    [
      { targetRefs: [target], retryConstraint: { minRetryRate: { count: 0 } } },
      "spec.retryConstraint.minRetryRate.count: 0 is not between 1 and 1000000",
    ],
  ];
  for (const [spec, expected] of cases) assert.deepEqual(problemsOf(xBackendTrafficPolicy, spec), [expected]);
});
