import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "#base/error.ts";
import { matchesLabelSelector, parseFieldSelector, parseLabelSelector } from "./selector.ts";

const object = (labels: Record<string, string>) => ({ metadata: { name: "x", labels } });

const cases: readonly [selector: string, labels: Record<string, string>, expected: boolean][] = [
  ["", {}, true],
  ["app=a", { app: "a" }, true],
  ["app==a,tier=b", { app: "a" }, false],
  ["app!=a", {}, true],
  ["app!=a", { app: "a" }, false],
  ["app in (a, b)", { app: "b" }, true],
  ["app notin (a,b)", { app: "c" }, true],
  ["app notin (a,b)", {}, true],
  ["app", { app: "" }, true],
  ["!app", { app: "" }, false],
  ["istio.io/rev=default,app in (x,y),!z", { "istio.io/rev": "default", app: "y" }, true],
];

test("label selectors select as Kubernetes' do", () => {
  for (const [selector, labels, expected] of cases) {
    assert.equal(parseLabelSelector(selector)(object(labels)), expected, `${selector} on ${JSON.stringify(labels)}`);
  }
});

test("what is no selector is refused", () => {
  for (const text of ["a b", "=x", "a=b=c", "app in x", "a in (b", "å=b"]) {
    assert.throws(
      () => parseLabelSelector(text),
      (error) => hasCode(error, "BAD_REQUEST"),
      text,
    );
  }
  assert.throws(
    () => parseFieldSelector("metadata.name"),
    (error) => hasCode(error, "BAD_REQUEST"),
  );
});

test("field selectors take absent fields for empty", () => {
  assert.equal(parseFieldSelector("metadata.name=x,spec.nodeName=")(object({})), true);
  assert.equal(parseFieldSelector("spec.nodeName!=")(object({})), false);
});

test("selectors in specs combine labels and expressions", () => {
  const selector = {
    matchLabels: { app: "a" },
    matchExpressions: [{ key: "inject", operator: "NotIn", values: ["false"] }],
  } as const;
  assert.equal(matchesLabelSelector(selector, { app: "a" }), true);
  assert.equal(matchesLabelSelector(selector, { app: "a", inject: "false" }), false);
  assert.equal(matchesLabelSelector(undefined, {}), true);
});
