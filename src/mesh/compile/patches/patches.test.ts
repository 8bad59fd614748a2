import assert from "node:assert/strict";
import { before, test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { FilterConfigSchema } from "#wire/gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.ts";
import { LocalRateLimitSchema } from "#wire/gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts";
import {
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { UpstreamTlsContextSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import { decodeProvenance } from "#wire/xds/provenance.ts";
import { loadEnvoyTypes } from "../../objects/envoy-types.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { type CompiledResources, compileProxy } from "../compile.ts";
import { bookinfo, ingressGateway, mesh, sidecarOf } from "../testing/mesh.ts";

before(loadEnvoyTypes);

const productpage = sidecarOf("productpage", "10.244.0.11");
const gateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: ["*"]
  gateways: [web]
  http:
  - name: page
    route: [{destination: {host: productpage, port: {number: 9080}}}]
`;

interface Written {
  readonly name?: string;
  readonly namespace?: string;
  readonly selector?: string;
  readonly priority?: number;
}

/** An EnvoyFilter with these patches, each a flow map of YAML. */
function envoyFilter(patches: readonly string[], { name = "f", namespace, selector, priority }: Written = {}): string {
  return `
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ${name}${namespace === undefined ? "" : `, namespace: ${namespace}`}}
spec:
  ${priority === undefined ? "" : `priority: ${priority}`}
  ${selector === undefined ? "" : `workloadSelector: {labels: ${selector}}`}
  configPatches:
${patches.map((patch) => `  - ${patch}\n`).join("")}`;
}

function compiled(yaml: string, proxy: ProxyNode = productpage): CompiledResources {
  return compileProxy(mesh(bookinfo, gateway + yaml), proxy);
}

function manager(listener: Listener | undefined, chain?: string): HttpConnectionManager {
  const filter = listener?.filterChains
    .filter(({ name }) => chain === undefined || name === chain)
    .flatMap(({ filters }) => filters)
    .find(({ name }) => name === "envoy.filters.network.http_connection_manager");
  assert.equal(filter?.configType.case, "typedConfig");
  const found = anyUnpack(filter.configType.value, HttpConnectionManagerSchema);
  assert.ok(found);
  return found;
}

const httpFilters = (listener: Listener | undefined): string[] => manager(listener).httpFilters.map(({ name }) => name);

const rateLimit = `{name: envoy.filters.http.local_ratelimit, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: limit, token_bucket: {max_tokens: 10, fill_interval: 60s}}}`;
const inManager = (subFilter?: string): string =>
  `filterChain: {filter: {name: envoy.filters.network.http_connection_manager${subFilter === undefined ? "" : `, subFilter: {name: ${subFilter}}`}}}`;
const httpPatch = (operation: string, subFilter?: string, context = "SIDECAR_INBOUND", value = rateLimit): string =>
  `{applyTo: HTTP_FILTER, match: {context: ${context}, listener: {${inManager(subFilter)}}}, patch: {operation: ${operation}, value: ${value}}}`;

test("an HTTP filter goes before, after, to either end of the others, or in place of one", () => {
  const before = httpFilters(compiled("").listeners.get("virtualInbound"));
  const place = (operation: string, subFilter?: string): string[] =>
    httpFilters(compiled(envoyFilter([httpPatch(operation, subFilter)])).listeners.get("virtualInbound"));
  const added = "envoy.filters.http.local_ratelimit";
  const router = "envoy.filters.http.router";
  const cors = before.indexOf("envoy.filters.http.cors");
  assert.deepEqual(place("INSERT_BEFORE", router), [...before.slice(0, -1), added, router]);
  assert.deepEqual(place("INSERT_FIRST"), [added, ...before]);
  assert.deepEqual(place("INSERT_BEFORE"), [added, ...before]);
  assert.deepEqual(place("INSERT_AFTER", "envoy.filters.http.cors"), before.toSpliced(cors + 1, 0, added));
  assert.deepEqual(place("REPLACE", "envoy.filters.http.cors"), before.with(cors, added));
  assert.deepEqual(place("ADD"), [...before, added]);
  assert.deepEqual(place("INSERT_AFTER", "no.such.filter"), before);
  const removed = `{applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND, listener: {${inManager("envoy.filters.http.cors")}}}, patch: {operation: REMOVE}}`;
  assert.deepEqual(
    httpFilters(compiled(envoyFilter([removed])).listeners.get("virtualInbound")),
    before.toSpliced(cors, 1),
  );
});

test("a match may name a filter as it was called before Envoy 1.14", () => {
  const names = (match: string): string[] => {
    const patch = `{applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND, listener: {${match}}}, patch: {operation: INSERT_BEFORE, value: ${rateLimit}}}`;
    return httpFilters(compiled(envoyFilter([patch])).listeners.get("virtualInbound"));
  };
  const old = inManager("envoy.cors").replace(
    "envoy.filters.network.http_connection_manager",
    "envoy.http_connection_manager",
  );
  assert.deepEqual(names(old), names(inManager("envoy.filters.http.cors")));
  assert.notDeepEqual(names(old), names(inManager("envoy.filters.http.nothing")));
});

test("the value of a filter arrives as the message that it names", () => {
  const { listeners } = compiled(envoyFilter([httpPatch("INSERT_FIRST")]));
  const [first] = manager(listeners.get("virtualInbound")).httpFilters;
  assert.equal(first?.configType.case, "typedConfig");
  const limit = anyUnpack(first.configType.value, LocalRateLimitSchema);
  assert.deepEqual([limit?.statPrefix, limit?.tokenBucket?.maxTokens], ["limit", 10]);
});

test("a context chooses inbound, outbound or gateway listeners", () => {
  const has = (context: string, proxy: ProxyNode, listener: string): boolean => {
    const { listeners } = compiled(
      envoyFilter([httpPatch("INSERT_FIRST", undefined, context)], { namespace: "istio-system" }),
      proxy,
    );
    return httpFilters(listeners.get(listener)).includes("envoy.filters.http.local_ratelimit");
  };
  const expected: readonly [string, boolean, boolean, boolean][] = [
    ["ANY", true, true, true],
    ["SIDECAR_INBOUND", true, false, false],
    ["SIDECAR_OUTBOUND", false, true, false],
    ["GATEWAY", false, false, true],
  ];
  for (const [context, inbound, outbound, atGateway] of expected) {
    assert.equal(has(context, productpage, "virtualInbound"), inbound, `${context} inbound`);
    assert.equal(has(context, productpage, "0.0.0.0_9080"), outbound, `${context} outbound`);
    assert.equal(has(context, ingressGateway(), "0.0.0.0_8080"), atGateway, `${context} gateway`);
  }
});

test("filters of the root namespace are for all, others for their namespace; selectors, proxy version and metadata choose", () => {
  const has = (filter: string, proxy: ProxyNode = productpage): boolean =>
    httpFilters(compiled(filter, proxy).listeners.get("virtualInbound")).includes("envoy.filters.http.local_ratelimit");
  const patches = [httpPatch("INSERT_FIRST")];
  assert.equal(has(envoyFilter(patches, { namespace: "istio-system" })), true);
  assert.equal(has(envoyFilter(patches, { namespace: "other" })), false);
  assert.equal(has(envoyFilter(patches, { selector: "{app: productpage}" })), true);
  assert.equal(has(envoyFilter(patches, { selector: "{app: reviews}" })), false);
  const forProxy = (match: string): string[] => [
    `{applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND, proxy: ${match}}, patch: {operation: INSERT_FIRST, value: ${rateLimit}}}`,
  ];
  assert.equal(has(envoyFilter(forProxy(`{proxyVersion: '^1\\.31.*'}`))), true);
  assert.equal(has(envoyFilter(forProxy(`{proxyVersion: '^1\\.4.*'}`))), false);
  assert.equal(has(envoyFilter(forProxy(`{proxyVersion: '^1.*'}`)), { ...productpage, istioVersion: "" }), false);
  assert.equal(has(envoyFilter(forProxy("{metadata: {TIER: gold}}"))), false);
  assert.equal(
    has(envoyFilter(forProxy("{metadata: {TIER: gold}}")), { ...productpage, metadata: { TIER: "gold" } }),
    true,
  );
});

test("patches apply by priority, then age, the root namespace first", () => {
  const named = (name: string): string =>
    httpPatch(
      "ADD",
      undefined,
      "SIDECAR_INBOUND",
      rateLimit.replace("name: envoy.filters.http.local_ratelimit", `name: ${name}`),
    );
  const yaml =
    envoyFilter([named("late"), named("later")], { name: "a", priority: 10 }) +
    envoyFilter([named("early")], { name: "b", priority: -1 }) +
    envoyFilter([named("root")], { name: "c", namespace: "istio-system", priority: 99 });
  const filters = httpFilters(compiled(yaml).listeners.get("virtualInbound"));
  assert.deepEqual(filters.slice(-4), ["root", "early", "late", "later"]);
});

test("MERGE joins a filter's configuration, and MERGE_AND_REPLACE_LIST replaces its lists", () => {
  const value = (list: string): string =>
    `{name: envoy.filters.http.grpc_stats, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig, enable_upstream_stats: true, individual_method_stats_allowlist: {services: [{name: ${list}}]}}}`;
  const config = (...operations: [string, string][]) => {
    const patches = operations.map(([operation, name]) =>
      httpPatch(operation, "envoy.filters.http.grpc_stats", "SIDECAR_INBOUND", value(name)),
    );
    const filter = manager(compiled(envoyFilter(patches)).listeners.get("virtualInbound")).httpFilters.find(
      ({ name }) => name === "envoy.filters.http.grpc_stats",
    );
    assert.equal(filter?.configType.case, "typedConfig");
    const found = anyUnpack(filter.configType.value, FilterConfigSchema);
    const allowed = found?.perMethodStatSpecifier;
    assert.equal(allowed?.case, "individualMethodStatsAllowlist");
    return [found?.emitFilterState, found?.enableUpstreamStats, allowed.value.services.map(({ name }) => name)];
  };
  assert.deepEqual(config(["MERGE", "a"]), [true, true, ["a"]]);
  assert.deepEqual(config(["MERGE", "a"], ["MERGE", "b"]), [true, true, ["a", "b"]]);
  assert.deepEqual(config(["MERGE", "a"], ["MERGE_AND_REPLACE_LIST", "b"]), [true, true, ["b"]]);
});

test("the connection manager of one port is changed, the others stay", () => {
  const patch = `{applyTo: NETWORK_FILTER, match: {context: SIDECAR_OUTBOUND, listener: {portNumber: 9080, ${inManager()}}}, patch: {operation: MERGE, value: {name: envoy.filters.network.http_connection_manager, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, common_http_protocol_options: {idle_timeout: 30s}, xff_num_trusted_hops: 2}}}}`;
  const { listeners } = compiled(envoyFilter([patch]));
  const changed = manager(listeners.get("0.0.0.0_9080"));
  assert.equal(changed.commonHttpProtocolOptions?.idleTimeout?.seconds, 30n);
  assert.equal(changed.xffNumTrustedHops, 2);
  assert.notEqual(changed.statPrefix, "");
  const inbound = `${patch}`.replace("SIDECAR_OUTBOUND", "SIDECAR_INBOUND");
  const virtual = compiled(envoyFilter([inbound])).listeners.get("virtualInbound");
  assert.equal(manager(virtual, "0.0.0.0_9080").xffNumTrustedHops, 2);
  assert.equal(manager(virtual, "virtualInbound-catchall-http").xffNumTrustedHops, 0);
});

test("listeners, listener filters and filter chains are added, merged and removed", () => {
  const added = `{applyTo: LISTENER, match: {context: SIDECAR_OUTBOUND}, patch: {operation: ADD, value: {name: extra, address: {socket_address: {address: 127.0.0.1, port_value: 9999}}}}}`;
  assert.ok(compiled(envoyFilter([added])).listeners.has("extra"));
  const anywhere = added.replace("match: {context: SIDECAR_OUTBOUND}, ", "");
  assert.equal([...compiled(envoyFilter([anywhere])).listeners.keys()].filter((name) => name === "extra").length, 1);
  const removed = "{applyTo: LISTENER, match: {listener: {name: 0.0.0.0_9080}}, patch: {operation: REMOVE}}";
  assert.equal(compiled(envoyFilter([removed])).listeners.has("0.0.0.0_9080"), false);
  const merged =
    "{applyTo: LISTENER, match: {listener: {portNumber: 9080}}, patch: {operation: MERGE, value: {per_connection_buffer_limit_bytes: 4096}}}";
  assert.equal(compiled(envoyFilter([merged])).listeners.get("0.0.0.0_9080")?.perConnectionBufferLimitBytes, 4096);
  const inspector = `{applyTo: LISTENER_FILTER, match: {context: SIDECAR_INBOUND}, patch: {operation: INSERT_FIRST, value: {name: proxy, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}}}`;
  assert.equal(compiled(envoyFilter([inspector])).listeners.get("virtualInbound")?.listenerFilters[0]?.name, "proxy");
  const chain =
    "{applyTo: FILTER_CHAIN, match: {context: SIDECAR_INBOUND, listener: {filterChain: {transportProtocol: raw_buffer, destinationPort: 9080}}}, patch: {operation: REMOVE}}";
  const chains = compiled(envoyFilter([chain])).listeners.get("virtualInbound")?.filterChains ?? [];
  const left = chains.filter(({ filterChainMatch }) => filterChainMatch?.destinationPort === 9080);
  assert.deepEqual(
    left.map(({ filterChainMatch }) => filterChainMatch?.transportProtocol),
    ["tls"],
  );
});

test("routes, virtual hosts and route configurations, by name, port and action", () => {
  const timeout = `{applyTo: HTTP_ROUTE, match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: 'reviews.default.svc.cluster.local:9080', route: {action: ROUTE}}}}, patch: {operation: MERGE, value: {route: {timeout: 7s}}}}`;
  const hosts = compiled(envoyFilter([timeout])).routes.get("9080")?.virtualHosts ?? [];
  const timeoutOf = (host: string): bigint | undefined => {
    const action = hosts.find(({ name }) => name.startsWith(host))?.routes[0]?.action;
    return action?.case === "route" ? action.value.timeout?.seconds : undefined;
  };
  assert.deepEqual([timeoutOf("reviews"), timeoutOf("details")], [7n, 0n]);

  const health = `{applyTo: HTTP_ROUTE, match: {context: GATEWAY, routeConfiguration: {portNumber: 80, vhost: {route: {name: page}}}}, patch: {operation: INSERT_BEFORE, value: {name: health, match: {path: /health}, direct_response: {status: 200}}}}`;
  const inRoot = { namespace: "istio-system" };
  const routes = compiled(envoyFilter([health], inRoot), ingressGateway()).routes.get("http.8080")?.virtualHosts[0]
    ?.routes;
  assert.deepEqual(
    routes?.map(({ name }) => name),
    ["health", "page"],
  );

  const host = `{applyTo: VIRTUAL_HOST, match: {context: SIDECAR_OUTBOUND, routeConfiguration: {name: '9080', vhost: {domainName: details}}}, patch: {operation: REMOVE}}`;
  const names = compiled(envoyFilter([host]))
    .routes.get("9080")
    ?.virtualHosts.map(({ name }) => name);
  assert.equal(
    names?.some((name) => name.startsWith("details")),
    false,
  );

  const config = `{applyTo: ROUTE_CONFIGURATION, match: {context: SIDECAR_INBOUND, routeConfiguration: {portNumber: 9080}}, patch: {operation: MERGE, value: {request_headers_to_remove: [x-secret]}}}`;
  const inline = manager(
    compiled(envoyFilter([config])).listeners.get("virtualInbound"),
    "0.0.0.0_9080",
  ).routeSpecifier;
  assert.equal(inline.case, "routeConfig");
  assert.deepEqual(inline.value.requestHeadersToRemove, ["x-secret"]);
});

test("clusters are merged by service, added and removed; TLS settings go into the socket that is there", () => {
  const merged =
    "{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {service: reviews.default.svc.cluster.local}}, patch: {operation: MERGE, value: {connect_timeout: 3s}}}";
  const { clusters } = compiled(envoyFilter([merged]));
  const seconds = (name: string): bigint | undefined => clusters.get(name)?.connectTimeout?.seconds;
  assert.equal(seconds("outbound|9080||reviews.default.svc.cluster.local"), 3n);
  assert.equal(seconds("outbound|9080||details.default.svc.cluster.local"), 10n);
  const added =
    "{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND}, patch: {operation: ADD, value: {name: limits, type: STATIC, connect_timeout: 1s}}}";
  assert.ok(compiled(envoyFilter([added])).clusters.has("limits"));
  const removed = "{applyTo: CLUSTER, match: {cluster: {name: PassthroughCluster}}, patch: {operation: REMOVE}}";
  assert.equal(compiled(envoyFilter([removed])).clusters.has("PassthroughCluster"), false);
  const tls = `{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {service: reviews.default.svc.cluster.local}}, patch: {operation: MERGE, value: {transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, max_session_keys: 5}}}}}`;
  const secured = compiled(envoyFilter([tls])).clusters.get("outbound|9080||reviews.default.svc.cluster.local");
  const socket = secured?.transportSocketMatches
    .map((match) => match.transportSocket)
    .find((it) => it?.name === "envoy.transport_sockets.tls");
  assert.equal(socket?.configType.case, "typedConfig");
  const context = anyUnpack(socket.configType.value, UpstreamTlsContextSchema);
  assert.equal(context?.maxSessionKeys, 5);
  assert.notEqual(context?.sni, "");
});

test("what is patched says so, and what is not is the same object for all proxies", () => {
  const snapshot = mesh(bookinfo, gateway + envoyFilter([httpPatch("INSERT_FIRST")]));
  const patched = compileProxy(snapshot, productpage);
  const chain = patched.listeners.get("virtualInbound")?.filterChains.find(({ name }) => name === "0.0.0.0_9080");
  const kinds = decodeProvenance(chain?.metadata?.filterMetadata).origins.map(({ kind }) => kind);
  assert.ok(kinds.includes("EnvoyFilter"), kinds.join(", "));
  const other = compileProxy(snapshot, sidecarOf("ratings", "10.244.0.14"));
  const cluster = "outbound|9080||reviews.default.svc.cluster.local";
  assert.equal(patched.clusters.get(cluster), other.clusters.get(cluster));
  const unpatched = compileProxy(mesh(bookinfo, gateway), productpage).listeners.get("0.0.0.0_9080");
  assert.equal(ListenerSchema.typeName, unpatched?.$typeName);
});
