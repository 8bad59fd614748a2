import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterTable, selectClusters } from "./cluster-table.ts";
import { readConfigDump } from "./config-dump.ts";
import { envoyDump } from "./testing/envoy-dump.ts";

const { clusters } = readConfigDump(envoyDump);

test("clusters show the parts of Istio's names and their DestinationRule", () => {
  const lines = clusterTable(clusters).trimEnd().split("\n");
  assert.deepEqual(lines.map((line) => line.split(/ {5,}/)).sort(), [
    ["PassthroughCluster", "-", "-", "-", "ORIGINAL_DST"],
    ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"],
    ["api.default.svc.cluster.local", "80", "v1", "outbound", "EDS", "api_rule.default"],
    ["xds-grpc", "-", "-", "-", "STATIC"],
  ]);
});

test("clusters are chosen by host, port, subset and direction", () => {
  const none = { fqdn: undefined, port: undefined, subset: undefined, direction: undefined };
  const count = (filter: object): number => selectClusters(clusters, { ...none, ...filter }).length;
  assert.equal(count({}), 3);
  assert.equal(count({ fqdn: "api.default.svc.cluster.local", port: "80", subset: "v1", direction: "outbound" }), 1);
  assert.equal(count({ direction: "inbound" }), 0);
});
