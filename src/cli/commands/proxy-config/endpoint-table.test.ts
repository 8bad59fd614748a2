import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfigDump } from "./config-dump.ts";
import { assignmentTable, type EndpointFilter, hostTable, selectAssignments, selectHosts } from "./endpoint-table.ts";
import { envoyClusters, envoyDump, istioctlClusters } from "./testing/envoy-dump.ts";

const everything: EndpointFilter = { address: undefined, port: undefined, cluster: undefined, status: undefined };
const api = "outbound|80|v1|api.default.svc.cluster.local";
const rows = (table: string): string[][] =>
  table
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {5,}/));

test("endpoints show live health, whichever spelling the proxy has", () => {
  assert.deepEqual(selectHosts(envoyClusters, everything), selectHosts(istioctlClusters, everything));
  assert.deepEqual(rows(hostTable(selectHosts(envoyClusters, everything))), [
    ["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"],
    ["10.0.0.2:8080", "HEALTHY", "OK", api],
    ["10.0.0.3:8080", "UNHEALTHY", "FAILED", api],
    ["envoy://inner/1", "HEALTHY", "OK", api],
  ]);
});

test("endpoints are chosen by address, port, cluster and status", () => {
  const chosen = (filter: Partial<EndpointFilter>): number =>
    rows(hostTable(selectHosts(envoyClusters, { ...everything, ...filter }))).length - 1;
  assert.equal(chosen({ address: "10.0.0.2" }), 1);
  assert.equal(chosen({ port: "8080" }), 2);
  assert.equal(chosen({ cluster: "other" }), 0);
  assert.equal(chosen({ status: "unhealthy" }), 1);
});

test("eds shows the endpoints as they were sent, with their locality", () => {
  const { endpoints } = readConfigDump(envoyDump);
  assert.deepEqual(rows(assignmentTable(selectAssignments(endpoints, everything))), [
    ["NAME", "STATUS", "LOCALITY", "CLUSTER"],
    ["10.0.0.2:8080", "HEALTHY", "eu/a", api],
    ["unix:///run/x", "UNKNOWN", "eu/a", api],
  ]);
  assert.deepEqual(selectAssignments(endpoints, { ...everything, address: "10.0.0.4" }), []);
  assert.equal(rows(assignmentTable(selectAssignments(endpoints, { ...everything, port: "8080" }))).length, 2);
});
