import assert from "node:assert/strict";
import { test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { Listener } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { WasmSchema } from "#wire/gen/envoy/extensions/filters/http/wasm/v3/wasm_pb.ts";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { type CompiledResources, compileProxy } from "../compile.ts";
import { bookinfo, ingressGateway, mesh, sidecarOf } from "../testing/mesh.ts";

const productpage = sidecarOf("productpage", "10.244.0.11");
const prefix = "extensions.istio.io/trafficextension/";

const extension = (name: string, spec: string, namespace = "default"): string => `
---
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: ${name}, namespace: ${namespace}}
spec: {${spec}}`;
const module = (more = ""): string => `wasm: {url: "https://example.com/m.wasm"${more}}`;

const security = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: default}
spec: {rules: [{}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]`;

function compiled(yaml: string, proxy: ProxyNode = productpage): CompiledResources {
  return compileProxy(mesh(bookinfo, security + yaml), proxy);
}

/** Filters of Wasm modules among the others that decide, of a chain with a connection manager. */
function httpFilters(listener: Listener | undefined, chain?: string): string[] {
  const found = listener?.filterChains.find(
    ({ name, filters }) =>
      (chain === undefined || name === chain) && filters.some((filter) => filter.name.endsWith("connection_manager")),
  );
  const manager = found?.filters.at(-1);
  assert.equal(manager?.configType.case, "typedConfig");
  const { httpFilters: all = [] } = anyUnpack(manager.configType.value, HttpConnectionManagerSchema) ?? {};
  return all.flatMap(({ name }) =>
    name.startsWith(prefix) ? name.slice(prefix.length) : /rbac|cors/.test(name) ? name : [],
  );
}

test("modules stand by their phase around authorization, the greater priority first, then their namespace and age", () => {
  const { listeners } = compiled(
    extension("late", module()) +
      extension("stats", `${module()}, phase: STATS`) +
      extension("authz", `${module()}, phase: AUTHZ, priority: 5`) +
      extension("authz-first", `${module()}, phase: AUTHZ, priority: 10`) +
      extension("root", `${module()}, phase: AUTHN`, "istio-system") +
      extension("authn", `${module()}, phase: AUTHN`) +
      extension("elsewhere", module(), "other"),
  );
  const rbac = "envoy.filters.http.rbac";
  const expected = ["default.authn", "istio-system.root", "default.authz-first", "default.authz"];
  const rest = ["default.stats", "default.late", "envoy.filters.http.cors"];
  assert.deepEqual(httpFilters(listeners.get("virtualInbound"), "0.0.0.0_9080"), [...expected, rbac, ...rest]);
  assert.deepEqual(httpFilters(listeners.get("0.0.0.0_9080")), [...expected, ...rest]);
});

test("mode and ports choose listeners, selectors workloads; a gateway is a client", () => {
  const at = (match: string): [boolean, boolean, boolean] => {
    const yaml = extension("m", `${module()}, match: [${match}]`, "istio-system");
    const has = (listener: Listener | undefined, chain?: string): boolean =>
      httpFilters(listener, chain).includes("istio-system.m");
    const { listeners } = compiled(yaml);
    const gateway = compiled(yaml, ingressGateway()).listeners.get("0.0.0.0_8080");
    return [has(listeners.get("virtualInbound"), "0.0.0.0_9080"), has(listeners.get("0.0.0.0_9080")), has(gateway)];
  };
  assert.deepEqual(at("{mode: SERVER}"), [true, false, false]);
  assert.deepEqual(at("{mode: CLIENT}"), [false, true, true]);
  assert.deepEqual(at("{mode: CLIENT_AND_SERVER}"), [true, true, true]);
  assert.deepEqual(at("{ports: [{number: 9080}]}"), [true, true, false]);
  assert.deepEqual(at("{ports: [{number: 80}]}"), [false, false, true]);
  assert.deepEqual(at("{mode: SERVER, ports: [{number: 80}]}, {mode: CLIENT, ports: [{number: 9080}]}"), [
    false,
    true,
    false,
  ]);
  const selected = (labels: string): number =>
    compiled(extension("m", `${module()}, selector: {matchLabels: ${labels}}`)).extensions.size;
  assert.deepEqual([selected("{app: productpage}"), selected("{app: reviews}")], [1, 0]);
});

test("of two workloads of one mesh each has its own modules", () => {
  const snapshot = mesh(
    bookinfo,
    security + extension("m", `${module()}, selector: {matchLabels: {app: productpage}}`),
  );
  const has = (proxy: ProxyNode): boolean[] => {
    const { listeners } = compileProxy(snapshot, proxy);
    return ["0.0.0.0_9080", "virtualInbound"].map((name) => httpFilters(listeners.get(name)).includes("default.m"));
  };
  const other = sidecarOf("reviews", "10.244.0.13");
  assert.deepEqual(
    [has(other), has(productpage), has(other)],
    [
      [false, false],
      [true, true],
      [false, false],
    ],
  );
});

test("a WasmPlugin is a TrafficExtension of another name; its settings come over ECDS, and Lua is left out", () => {
  const { extensions, extensionOrigins, listeners } = compiled(
    `
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: p, namespace: default}
spec:
  url: https://example.com/m.wasm
  sha256: ${"a".repeat(64)}
  pluginName: root
  pluginConfig: {key: [1, two]}
  failStrategy: FAIL_OPEN
  imagePullPolicy: Always
  vmConfig: {env: [{name: A, value: b}, {name: HOSTNAME, valueFrom: HOST}]}` +
      extension("script", "lua: {inlineCode: 'function envoy_on_request(h) end'}"),
  );
  const name = `${prefix}default.p~istio-translated-wasmplugin`;
  assert.deepEqual([...extensions.keys()], [name]);
  assert.equal(extensionOrigins.get(name)?.[0]?.kind, "WasmPlugin");
  assert.ok(httpFilters(listeners.get("virtualInbound")).includes("default.p~istio-translated-wasmplugin"));
  const typed = extensions.get(name)?.typedConfig;
  assert.ok(typed !== undefined);
  const config = anyUnpack(typed, WasmSchema)?.config;
  assert.deepEqual([config?.name, config?.rootId, config?.failurePolicy], ["default.p", "root", 3]);
  assert.equal(
    Buffer.from(config?.configuration?.value ?? [])
      .toString()
      .slice(2),
    '{"key":[1,"two"]}',
  );
  assert.equal(config?.vm.case, "vmConfig");
  const { code, environmentVariables: variables } = config.vm.value;
  assert.equal(code?.specifier.case, "remote");
  assert.deepEqual(
    [code.specifier.value.httpUri?.uri, code.specifier.value.sha256],
    ["https://example.com/m.wasm", "a".repeat(64)],
  );
  assert.deepEqual(variables?.hostEnvKeys, ["HOSTNAME"]);
  assert.deepEqual(variables?.keyValues, {
    A: "b",
    ISTIO_META_WASM_IMAGE_PULL_POLICY: "Always",
    ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION: "",
  });
});

test("a NETWORK module sees connections, before the policies of its phase and before HTTP", () => {
  const { listeners } = compiled(
    extension("authn", `${module(", type: NETWORK")}, phase: AUTHN`) + extension("late", module(", type: NETWORK")),
  );
  const chains = listeners.get("virtualInbound")?.filterChains ?? [];
  const names = (chain: string): string[] =>
    chains.find(({ name }) => name === chain)?.filters.map(({ name }) => name.replace(prefix, "")) ?? [];
  assert.deepEqual(names("0.0.0.0_9080").slice(0, 2), ["default.authn", "default.late"]);
  assert.deepEqual(names("virtualInbound").slice(0, 4), [
    "istio.metadata_exchange",
    "default.authn",
    "envoy.filters.network.rbac",
    "default.late",
  ]);
});

test("images go to the agent with their scheme, and with the name of the Secret that pulls them beside it", () => {
  const { extensions, pullSecrets } = compiled(
    extension("image", 'wasm: {url: "example.com/m:1", imagePullSecret: pull}') +
      extension("web", 'wasm: {url: "https://example.com/m.wasm", imagePullSecret: pull}'),
  );
  const name = `${prefix}default.image`;
  const typed = extensions.get(name)?.typedConfig;
  const vm = typed && anyUnpack(typed, WasmSchema)?.config?.vm;
  const code = vm?.case === "vmConfig" ? vm.value.code?.specifier : undefined;
  assert.equal(code?.case === "remote" ? code.value.httpUri?.uri : "", "oci://example.com/m:1");
  assert.deepEqual([...pullSecrets], [[name, { namespace: "default", name: "pull" }]]);
});
