// What DYNAMIC_DNS and ALLOW_ANY_DYNAMIC_DNS compile to: Istio's names, and what Envoy demands of such clusters.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { Cluster_DnsLookupFamily, Cluster_LbPolicy } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { Listener } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { ClusterConfigSchema } from "#wire/gen/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster_pb.ts";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { FilterConfigSchema as SniForwardSchema } from "#wire/gen/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy_pb.ts";
import { HttpProtocolOptionsSchema } from "#wire/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts";
import { parseMeshConfig } from "../../kinds/mesh-config/decode.ts";
import { type CompiledResources, compileProxy } from "../compile.ts";
import { mesh, sidecarOf } from "../testing/mesh.ts";

const entry = (protocol: string, port: number, more = ""): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: wild, namespace: default }
spec:
  hosts: ["*.example.com"]
  ports: [{ number: ${port}, name: p, protocol: ${protocol} }]
  resolution: DYNAMIC_DNS
${more}`;
const rule = (tls: string): string => `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: wild, namespace: default }
spec: { host: "*.example.com", trafficPolicy: { tls: ${tls} } }
`;

function compiled(yaml: string, config = "", ip = "10.0.0.1"): CompiledResources {
  const { meshConfig, issues } = parseMeshConfig(config);
  assert.deepEqual(issues, []);
  return compileProxy(mesh([], yaml, meshConfig), { ...sidecarOf("client", ip), ipAddresses: [ip] });
}

function forwardCluster(resources: CompiledResources, name: string) {
  const cluster = resources.clusters.get(name);
  assert.equal(cluster?.lbPolicy, Cluster_LbPolicy.CLUSTER_PROVIDED);
  assert.ok(cluster.clusterDiscoveryType.case === "clusterType");
  const { name: type, typedConfig } = cluster.clusterDiscoveryType.value;
  assert.equal(type, "envoy.clusters.dynamic_forward_proxy");
  const config = fromBinary(ClusterConfigSchema, typedConfig?.value ?? new Uint8Array());
  assert.ok(config.clusterImplementationSpecifier.case === "dnsCacheConfig");
  const options = Object.values(cluster.typedExtensionProtocolOptions).map(
    ({ value }) => fromBinary(HttpProtocolOptionsSchema, value).upstreamHttpProtocolOptions,
  );
  return {
    cluster,
    cache: config.clusterImplementationSpecifier.value,
    allowsInsecure: config.allowInsecureClusterOptions,
    autoSni: options[0]?.autoSni ?? false,
    autoSanValidation: options[0]?.autoSanValidation ?? false,
  };
}

function httpFilterNames(listener: Listener | undefined): string[] {
  const filters = listener?.filterChains.flatMap((chain) => chain.filters) ?? [];
  const manager = filters.find(({ name }) => name === "envoy.filters.network.http_connection_manager");
  assert.ok(manager?.configType.case === "typedConfig");
  return fromBinary(HttpConnectionManagerSchema, manager.configType.value.value).httpFilters.map(({ name }) => name);
}

test("a wildcard host becomes a cluster and a filter that share a DNS cache of its name", () => {
  const resources = compiled(entry("HTTP", 80));
  const { cache } = forwardCluster(resources, "outbound|80||*.example.com");
  assert.deepEqual(
    [cache.name, cache.dnsLookupFamily, cache.dnsRefreshRate?.seconds],
    ["*.example.com_dfp_dns_cache", Cluster_DnsLookupFamily.V4_ONLY, 60n],
  );
  assert.deepEqual(httpFilterNames(resources.listeners.get("0.0.0.0_80")).slice(-2), [
    "envoy.filters.http.dynamic_forward_proxy",
    "envoy.filters.http.router",
  ]);
  assert.equal(resources.endpoints.has("outbound|80||*.example.com"), false);
  const ipv6 = compiled(entry("HTTP", 80), "", "fd00::1");
  assert.equal(
    forwardCluster(ipv6, "outbound|80||*.example.com").cache.dnsLookupFamily,
    Cluster_DnsLookupFamily.V6_ONLY,
  );
});

test("TLS is looked up by server name, on names of the host only", () => {
  const resources = compiled(entry("TLS", 8443));
  const chain = resources.listeners.get("0.0.0.0_8443")?.filterChains[0];
  assert.deepEqual(chain?.filterChainMatch?.serverNames, ["*.example.com"]);
  const names = chain?.filters.map(({ name }) => name) ?? [];
  assert.deepEqual(names.slice(-2), [
    "envoy.filters.network.sni_dynamic_forward_proxy",
    "envoy.filters.network.tcp_proxy",
  ]);
  const filter = chain?.filters.at(-2);
  assert.ok(filter?.configType.case === "typedConfig");
  const { dnsCacheConfig, portSpecifier } = fromBinary(SniForwardSchema, filter.configType.value.value);
  assert.deepEqual([dnsCacheConfig?.name, portSpecifier.value], ["*.example.com_dfp_dns_cache", 8443]);
});

test("TLS that the sidecar begins follows the host, and says so where it does not verify it", () => {
  const of = (tls: string): readonly boolean[] => {
    const made = forwardCluster(compiled(`${entry("HTTP", 80)}${rule(tls)}`), "outbound|80||*.example.com");
    assert.equal(made.cluster.transportSocket?.name, "envoy.transport_sockets.tls");
    return [made.autoSni, made.autoSanValidation, made.allowsInsecure];
  };
  assert.deepEqual(of("{ mode: SIMPLE }"), [true, true, false]);
  assert.deepEqual(of("{ mode: SIMPLE, insecureSkipVerify: true }"), [true, false, true]);
  assert.deepEqual(of("{ mode: SIMPLE, subjectAltNames: [a.example.com] }"), [true, true, false]);
  assert.deepEqual(of("{ mode: SIMPLE, sni: a.example.com }"), [false, true, true]);
});

test("ALLOW_ANY_DYNAMIC_DNS resolves the hosts of unknown requests, and nothing else changes", () => {
  const resources = compiled(entry("HTTP", 80), "outboundTrafficPolicy: { mode: ALLOW_ANY_DYNAMIC_DNS }");
  assert.equal(
    forwardCluster(resources, "AllowAnyDynamicDNSCluster").cache.name,
    "AllowAnyDynamicDNSCluster_dfp_dns_cache",
  );
  const host = resources.routes.get("80")?.virtualHosts.at(-1);
  const action = host?.routes[0]?.action;
  assert.ok(action?.case === "route");
  assert.deepEqual(
    [host?.name, action.value.clusterSpecifier.value],
    ["allow_any_dynamic_dns", "AllowAnyDynamicDNSCluster"],
  );
  const virtual = resources.listeners.get("virtualOutbound");
  assert.deepEqual(
    virtual?.filterChains.map(({ name }) => name),
    ["virtualOutbound-blackhole", "virtualOutbound-catchall-http", "virtualOutbound-catchall-tcp"],
  );
  assert.equal(
    httpFilterNames(virtual).filter((name) => name === "envoy.filters.http.dynamic_forward_proxy").length,
    2,
  );
  const tls = compiled(
    "",
    "outboundTrafficPolicy: { mode: ALLOW_ANY_DYNAMIC_DNS, tls: { mode: SIMPLE, insecureSkipVerify: true } }",
  );
  const made = forwardCluster(tls, "AllowAnyDynamicDNSCluster");
  assert.deepEqual([made.autoSni, made.autoSanValidation, made.allowsInsecure], [true, false, true]);
  assert.equal(compiled("").clusters.has("AllowAnyDynamicDNSCluster"), false);
});

test("outboundTrafficPolicy.tls without the mode that it is for is told, as is TLS that cannot be", () => {
  const told = (yaml: string): string[] =>
    parseMeshConfig(yaml).issues.map(({ path, message }) => `${path}: ${message}`);
  assert.deepEqual(told("outboundTrafficPolicy: { tls: { mode: SIMPLE } }"), [
    "outboundTrafficPolicy.tls: tls has an effect with mode ALLOW_ANY_DYNAMIC_DNS only",
  ]);
  assert.equal(told("outboundTrafficPolicy: { mode: ALLOW_ANY_DYNAMIC_DNS, tls: { mode: MUTUAL } }").length > 0, true);
});

test("a wildcard of the client's own namespace is not every host", () => {
  const yaml = entry("HTTP", 8000).replace("*.example.com", "*.default.svc.cluster.local");
  const resources = compiled(yaml, "outboundTrafficPolicy: { mode: ALLOW_ANY_DYNAMIC_DNS }");
  assert.deepEqual(
    resources.routes.get("8000")?.virtualHosts.map(({ domains }) => domains),
    [["*.default.svc.cluster.local", "*.default.svc.cluster.local.", "*.default.svc", "*.default"], ["*"]],
  );
});
