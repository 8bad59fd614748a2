import assert from "node:assert/strict";
import { before, test } from "node:test";
import { loadEnvoyTypes } from "../../objects/envoy-types.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { compileProxy } from "../compile.ts";
import { bookinfo, ingressGateway, mesh, sidecarOf } from "../testing/mesh.ts";
import {
  idlePatchIssues,
  joinEffects,
  type PatchEffect,
  type PatchedProxy,
  patchEffects,
  reasonsByEffects,
  stateByEffects,
} from "./effects.ts";

before(loadEnvoyTypes);

const productpage = sidecarOf("productpage", "10.244.0.11");
const reviews = sidecarOf("reviews", "10.244.0.13");

function meshWith(patches: readonly string[], spec = ""): MeshSnapshot {
  const yaml = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: f, namespace: istio-system}
spec:
  ${spec}
  configPatches:
${patches.map((patch) => `  - ${patch}\n`).join("")}`;
  return mesh(bookinfo, yaml);
}

function at(snapshot: MeshSnapshot, ...nodes: ProxyNode[]): PatchedProxy[] {
  return nodes.map((node) => {
    const { clusters, routing } = compileProxy(snapshot, node).patches;
    return { node, applied: clusters.union(routing) };
  });
}

function effects(snapshot: MeshSnapshot, ...nodes: ProxyNode[]): readonly PatchEffect[] {
  return patchEffects(snapshot, at(snapshot, ...nodes)).get("EnvoyFilter/istio-system/f") ?? [];
}

const manager = "envoy.filters.network.http_connection_manager";
const filter = `{name: envoy.filters.http.buffer, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 1024}}`;
const http = (operation: string, sub: string, context = "SIDECAR_INBOUND"): string =>
  `{applyTo: HTTP_FILTER, match: {context: ${context}, listener: {filterChain: {filter: {name: ${manager}, subFilter: {name: ${sub}}}}}}, patch: {operation: ${operation}, value: ${filter}}}`;

test("every patch tells where it changed something, whatever it is applied to", () => {
  const cluster = (service: string, patch: string): string =>
    `{applyTo: CLUSTER, match: {cluster: {service: ${service}}}, patch: ${patch}}`;
  const timeout = "{operation: MERGE, value: {connect_timeout: 3s}}";
  const route = (host: string, patch: string): string =>
    `{applyTo: HTTP_ROUTE, match: {routeConfiguration: {vhost: {name: "${host}"}}}, patch: ${patch}}`;
  const reviewsHost = "reviews.default.svc.cluster.local:9080";
  const cases: readonly [string, boolean][] = [
    [http("INSERT_BEFORE", "envoy.filters.http.router"), true],
    [http("INSERT_BEFORE", "envoy.filters.http.ruoter"), false],
    [http("INSERT_FIRST", "envoy.filters.http.ruoter"), true],
    [http("REPLACE", "envoy.filters.http.cors"), true],
    [http("REPLACE", "envoy.filters.http.crs"), false],
    [http("MERGE", "envoy.filters.http.crs"), false],
    [http("REMOVE", "envoy.filters.http.cors"), true],
    [http("REMOVE", "envoy.filters.http.crs"), false],
    [cluster("reviews.default.svc.cluster.local", timeout), true],
    [cluster("reviews.default.svc", timeout), false],
    [cluster("details.default.svc.cluster.local", "{operation: REMOVE}"), true],
    [cluster("nothing.default.svc.cluster.local", "{operation: REMOVE}"), false],
    ["{applyTo: CLUSTER, patch: {operation: ADD, value: {name: extra, connect_timeout: 1s}}}", true],
    ["{applyTo: CLUSTER, patch: {operation: ADD, value: {name: PassthroughCluster, connect_timeout: 1s}}}", false],
    [route(reviewsHost, "{operation: MERGE, value: {route: {timeout: 7s}}}"), true],
    [route("reviews:9080", "{operation: MERGE, value: {route: {timeout: 7s}}}"), false],
    [route(reviewsHost, "{operation: REMOVE}"), true],
    [
      `{applyTo: VIRTUAL_HOST, match: {routeConfiguration: {name: "9080", vhost: {name: "${reviewsHost}"}}}, patch: {operation: REMOVE}}`,
      true,
    ],
    [
      `{applyTo: VIRTUAL_HOST, match: {routeConfiguration: {name: "9081"}}, patch: {operation: ADD, value: {name: a, domains: [a]}}}`,
      false,
    ],
    [
      "{applyTo: LISTENER, match: {listener: {portNumber: 9080}}, patch: {operation: MERGE, value: {per_connection_buffer_limit_bytes: 4096}}}",
      true,
    ],
    ["{applyTo: LISTENER, match: {listener: {name: nothing}}, patch: {operation: REMOVE}}", false],
    [
      "{applyTo: FILTER_CHAIN, match: {context: SIDECAR_INBOUND, listener: {filterChain: {destinationPort: 9080}}}, patch: {operation: REMOVE}}",
      true,
    ],
    [
      "{applyTo: FILTER_CHAIN, match: {context: SIDECAR_INBOUND, listener: {filterChain: {destinationPort: 9999}}}, patch: {operation: REMOVE}}",
      false,
    ],
    [
      `{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.none}}}}, patch: {operation: INSERT_BEFORE, value: {name: a}}}`,
      false,
    ],
  ];
  for (const [patch, changes] of cases) {
    const [effect] = effects(meshWith([patch]), productpage);
    assert.equal(effect?.changed, changes ? 1 : 0, patch);
  }
});

test("an extension configuration has an effect where a filter asks for it, and a second of its name has none", () => {
  const named = (name: string): string =>
    `{applyTo: EXTENSION_CONFIG, patch: {operation: ADD, value: {name: ${name}, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 1024}}}}`;
  const asking = `{applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND}, patch: {operation: INSERT_FIRST, value: {name: asked, config_discovery: {config_source: {ads: {}}, type_urls: [type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer]}}}}`;
  const snapshot = meshWith([named("asked"), named("asked"), named("unasked"), asking]);
  const all = effects(snapshot, productpage);
  assert.deepEqual(
    all.map(({ changed }) => changed),
    [1, 0, 0, 1],
  );
  assert.match(
    reasonsByEffects(all)[1] ?? "",
    /no filter asks for it with config_discovery, or another patch has that/,
  );
  const { extensions, extensionOrigins } = compileProxy(snapshot, productpage);
  assert.deepEqual([...extensions.keys()], ["asked", "unasked"]);
  assert.equal(extensionOrigins.get("asked")?.[0]?.kind, "EnvoyFilter");
});

test("what was compiled before for proxies with the same patches counts for the next one too", () => {
  const snapshot = meshWith([http("INSERT_BEFORE", "envoy.filters.http.router", "SIDECAR_OUTBOUND")]);
  const [effect] = effects(snapshot, productpage, reviews);
  assert.deepEqual([effect?.proxies, effect?.matching, effect?.changed], [2, 2, 2]);
});

test("a patch counts at proxies of its context, version and metadata only", () => {
  const forGateways = http("INSERT_BEFORE", "envoy.filters.http.router", "GATEWAY");
  const snapshot = meshWith([forGateways, forGateways.replace("match: {", "match: {proxy: {proxyVersion: '^9'}, ")]);
  const all = effects(snapshot, productpage, ingressGateway());
  assert.deepEqual(
    all.map(({ proxies, matching, changed }) => [proxies, matching, changed]),
    [
      [2, 1, 1],
      [2, 0, 0],
    ],
  );
  assert.equal(stateByEffects(all), "partly in force");
  assert.deepEqual(reasonsByEffects(all), [
    "configPatches[1]: HTTP_FILTER INSERT_BEFORE is for none of the 2 proxies that the EnvoyFilter selects, by its context and match.proxy",
  ]);
});

test("a filter of which no patch finds anything matches nothing; another control plane's proxies may know better", () => {
  const snapshot = meshWith([http("INSERT_BEFORE", "no.such.filter"), http("REMOVE", "no.such.filter")]);
  const here = effects(snapshot, productpage, reviews);
  assert.equal(stateByEffects(here), "matches nothing");
  assert.match(reasonsByEffects(here)[0] ?? "", /^configPatches\[0\]: .* finds nothing to change at the 2 proxies/);
  const [first, second] = here as [PatchEffect, PatchEffect];
  const elsewhere = [{ ...first, changed: 1 }, second];
  assert.equal(stateByEffects(joinEffects(here, elsewhere)), "partly in force");
  assert.equal(joinEffects(here, elsewhere)[0]?.proxies, 4);
});

test("advice is about patches that could have an effect at the proxies that are known", () => {
  const idle = http("REMOVE", "no.such.filter");
  const snapshot = meshWith([
    http("REMOVE", "envoy.filters.http.cors"),
    idle,
    idle.replace("SIDECAR_INBOUND", "GATEWAY"),
  ]);
  const found = idlePatchIssues(snapshot, at(snapshot, productpage));
  assert.deepEqual(
    found.map(({ code, severity, path }) => [code, severity, path]),
    [["OUT0021", "warning", "spec.configPatches[1]"]],
  );
});

test("targetRefs name gateways of the Gateway API: one of the filter's namespace, or a class from the root namespace", () => {
  const labels = {
    "gateway.networking.k8s.io/gateway-name": "web",
    "gateway.networking.k8s.io/gateway-class-name": "istio",
  };
  const web = sidecarOf("istio-ingressgateway", "10.244.0.2", { type: "router", namespace: "default", labels });
  const patch = "{applyTo: CLUSTER, patch: {operation: ADD, value: {name: extra, connect_timeout: 1s}}}";
  const isFor = (kind: string, name: string, namespace: string, node: ProxyNode = web): boolean => {
    const yaml = `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: f, namespace: ${namespace}}
spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: ${kind}, name: ${name}}], configPatches: [${patch}]}`;
    return compileProxy(mesh(bookinfo, yaml), node).clusters.has("extra");
  };
  assert.equal(isFor("Gateway", "web", "default"), true);
  assert.equal(isFor("Gateway", "other", "default"), false);
  assert.equal(isFor("Gateway", "web", "istio-system"), false, "of another namespace");
  assert.equal(isFor("GatewayClass", "istio", "istio-system"), true);
  assert.equal(isFor("GatewayClass", "other", "istio-system"), false);
  assert.equal(isFor("GatewayClass", "istio", "default"), false, "a class from another namespace than the root");
  assert.equal(isFor("Gateway", "web", "default", productpage), false, "a sidecar");
});
