import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { withOverlays } from "./overlay.ts";

const deployment = (containers: unknown): KubernetesObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web" },
  spec: { template: { spec: { containers, tolerations: [{ key: "a" }] } } },
});

function podOf(object: KubernetesObject): unknown {
  return (object["spec"] as { template: { spec: unknown } }).template.spec;
}

const podOverlay = (spec: object): Record<string, unknown> => ({ spec: { template: { spec } } });

test("items of lists are merged by their key, added, removed and replaced; other lists are one value", () => {
  const before = deployment([
    { name: "istio-proxy", image: "auto", env: [{ name: "A", value: "1" }] },
    { name: "extra", image: "x" },
  ]);
  const merged = withOverlays(before, [
    podOverlay({
      containers: [
        { name: "istio-proxy", env: [{ name: "A", value: "2" }, { name: "B" }], args: ["x"] },
        { name: "extra", $patch: "delete" },
        { name: "more", image: "y" },
      ],
      tolerations: [{ key: "b" }],
    }),
  ]);
  assert.deepEqual(podOf(merged), {
    containers: [
      { name: "istio-proxy", image: "auto", env: [{ name: "A", value: "2" }, { name: "B" }], args: ["x"] },
      { name: "more", image: "y" },
    ],
    tolerations: [{ key: "b" }],
  });
  const replaced = withOverlays(before, [podOverlay({ containers: [{ $patch: "replace" }, { name: "only" }] })]);
  assert.deepEqual((podOf(replaced) as { containers: unknown }).containers, [{ name: "only" }]);
});

test("null removes, later overlays come over earlier ones, and what was there is not changed", () => {
  const before = deployment([]);
  const after = withOverlays(before, [
    podOverlay({ nodeSelector: { a: "1", b: "1" } }),
    podOverlay({ nodeSelector: { a: "2", b: null }, tolerations: null }),
  ]);
  assert.deepEqual(podOf(after), { containers: [], nodeSelector: { a: "2" } });
  assert.deepEqual(podOf(before), { containers: [], tolerations: [{ key: "a" }] });
  const hostile = JSON.parse('{"spec": {"__proto__": {"polluted": true}}}') as Record<string, unknown>;
  withOverlays(before, [hostile]);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});
