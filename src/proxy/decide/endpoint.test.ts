// Explain chooses endpoints as the live proxy does: the same balancers, subsets, priorities and hashes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MutableHash64 } from "#base/hash/hash64.ts";
import { xxHash64 } from "#base/hash/xx-hash64.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import { clusterConfig, endpointSet } from "../config/testing/resources.ts";
import { anyHost } from "../upstream/balance/choice.ts";
import { chooseEndpoint } from "./endpoint.ts";
import type { ProxyView } from "./view.ts";

const endpoints = endpointSet(`
cluster_name: c
endpoints:
- lb_endpoints:
  - { endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } } }, metadata: { filter_metadata: { envoy.lb: { version: v1 } } } }
  - { endpoint: { address: { socket_address: { address: 10.0.0.2, port_value: 80 } } }, metadata: { filter_metadata: { envoy.lb: { version: v2 } } } }
  - { endpoint: { address: { socket_address: { address: 10.0.0.3, port_value: 80 } } }, health_status: UNHEALTHY }
- priority: 1
  lb_endpoints: [{ endpoint: { address: { socket_address: { address: 10.0.1.1, port_value: 80 } } } }]
`);

function view(cluster: ClusterConfig): ProxyView {
  return {
    listeners: new Map(),
    routes: new Map(),
    clusters: new Map([["c", cluster]]),
    endpoints: new Map([["c", endpoints]]),
    extensions: new Map(),
    local: null,
  };
}

const keys = (found: ReturnType<typeof chooseEndpoint>): string[] => found.endpoints.map((it) => it.host).sort();

test("priorities and health count as in the live proxy", () => {
  const cluster = clusterConfig("{ name: c, type: EDS, lb_policy: RANDOM }");
  // 2 of 3 healthy × 1.4 = 93 %: the rest goes to the next priority.
  const low = chooseEndpoint(view(cluster), cluster, anyHost, 0.5);
  assert.deepEqual(keys(low), ["10.0.0.1", "10.0.0.2", "10.0.1.1"]);
  assert.equal(low.endpoint?.host, "10.0.0.2");
  assert.equal(chooseEndpoint(view(cluster), cluster, anyHost, 0.95).endpoint?.host, "10.0.1.1");
});

test("a route's metadata leads to its subset", () => {
  const cluster = clusterConfig(
    "{ name: c, type: EDS, lb_subset_config: { subset_selectors: [{ keys: [version] }] } }",
  );
  const found = chooseEndpoint(view(cluster), cluster, { ...anyHost, metadataMatch: { version: "v2" } }, 0.9);
  assert.deepEqual([keys(found), found.endpoint?.host], [["10.0.0.2"], "10.0.0.2"]);
  assert.equal(chooseEndpoint(view(cluster), cluster, anyHost, 0.9).endpoint, null);
});

test("the same hash leads to the same endpoint, whatever the draw", () => {
  const cluster = clusterConfig("{ name: c, type: EDS, lb_policy: MAGLEV }");
  const hash = new MutableHash64();
  xxHash64("jason", 0, hash);
  const hosts = [0, 0.3, 0.99].map((random) => chooseEndpoint(view(cluster), cluster, { ...anyHost, hash }, random));
  assert.equal(new Set(hosts.map((it) => it.endpoint?.host)).size, 1);
});

test("ORIGINAL_DST goes where the connection went", () => {
  const cluster = clusterConfig("{ name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED }");
  const context = { ...anyHost, destination: { ip: "fd00::1", port: 9 } };
  assert.equal(chooseEndpoint(view(cluster), cluster, context, 0).endpoint?.key, "[fd00::1]:9");
});
