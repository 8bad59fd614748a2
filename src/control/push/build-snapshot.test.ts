import assert from "node:assert/strict";
import { test } from "node:test";
import type { SourceObject } from "#mesh/snapshot/read-object.ts";
import { createSnapshotBuilder } from "./build-snapshot.ts";

const settings = { namespace: "istio-system", revision: "default" };

function configMap(mesh: string, name = "istio"): SourceObject {
  const metadata = { name, namespace: "istio-system" };
  return { object: { apiVersion: "v1", kind: "ConfigMap", metadata, data: { mesh } } };
}

test("the snapshot follows MeshConfig of ConfigMap istio", () => {
  const builder = createSnapshotBuilder(settings);
  assert.equal(builder.build([]).meshConfig.trustDomain, "cluster.local");
  assert.equal(builder.build([configMap("trustDomain: one.example")]).meshConfig.trustDomain, "one.example");
  assert.equal(builder.build([configMap("trustDomain: two.example")]).meshConfig.trustDomain, "two.example");
  assert.equal(builder.build([]).meshConfig.trustDomain, "cluster.local");
});

test("a revision reads its own ConfigMap", () => {
  const builder = createSnapshotBuilder({ ...settings, revision: "canary" });
  const objects = [configMap("trustDomain: one.example"), configMap("trustDomain: two.example", "istio-canary")];
  assert.equal(builder.build(objects).meshConfig.trustDomain, "two.example");
});

test("MeshConfig that is not valid leaves the last good one in force, and says so", () => {
  const builder = createSnapshotBuilder(settings);
  builder.build([configMap("trustDomain: one.example")]);
  assert.equal(builder.build([configMap("trustDomain: [")]).meshConfig.trustDomain, "one.example");
  assert.match(builder.issues()[0]?.message ?? "", /not valid YAML/);
  assert.equal(builder.build([configMap("trustDomain: two.example")]).meshConfig.trustDomain, "two.example");
  assert.deepEqual(builder.issues(), []);
});
