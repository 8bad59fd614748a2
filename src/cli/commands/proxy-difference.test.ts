import assert from "node:assert/strict";
import { test } from "node:test";
import { envoyDump } from "./proxy-config/testing/envoy-dump.ts";
import { compareConfiguration, isMatch, renderDifferences } from "./proxy-difference.ts";

const cluster = (name: string, extra: object = {}): object => ({ name, connectTimeout: "1s", ...extra });
const generated = (clusters: readonly object[], routes: readonly object[] = []): object => ({
  cds: clusters.map((resource) => ({ version: "new", sentVersion: "new", resource })),
  lds: [],
  rds: routes,
});
const loaded = (...clusters: readonly object[]): object => ({
  configs: [
    {
      "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
      dynamic_active_clusters: clusters.map((resource) => ({ version_info: "old", cluster: resource })),
    },
  ],
});

test("equal content matches in both spellings, whatever its version", () => {
  const inProxy = loaded({ name: "a", connect_timeout: "1s", "@type": "type.googleapis.com/x" });
  const differences = compareConfiguration(generated([cluster("a")]), inProxy);
  assert.ok(differences.every(isMatch));
  assert.equal(renderDifferences(differences), "Clusters Match\nListeners Match\nRoutes Match");
});

test("names that are missing, left over or not the same are listed", () => {
  const inProxy = loaded(cluster("b", { type: "EDS" }), cluster("left"));
  const [clusters] = compareConfiguration(generated([cluster("a"), cluster("b")]), inProxy);
  assert.deepEqual(clusters, { type: "Clusters", missing: ["a"], extra: ["left"], differing: ["b"] });
  assert.equal(
    renderDifferences(clusters === undefined ? [] : [clusters]),
    ["Clusters Don't Match", "  only in istiod: a", "  only in the proxy: left", "  not the same: b"].join("\n"),
  );
});

test("routes that the proxy never asked for are no difference", () => {
  const route = (name: string, sentVersion: string): object => ({ version: "1", sentVersion, resource: { name } });
  const [, , routes] = compareConfiguration(generated([], [route("80", ""), route("90", "1")]), loaded());
  assert.deepEqual(routes, { type: "Routes", missing: ["90"], extra: [], differing: [] });
});

test("Istio's own istiod answers with a dump; static resources are not its own", () => {
  assert.ok(compareConfiguration(envoyDump, envoyDump).every(isMatch));
});
