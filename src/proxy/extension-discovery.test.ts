// Filters whose settings come over ECDS, on the wire: a gateway under the real control plane, with EnvoyFilters that
// put such filters into its chains.
import assert from "node:assert/strict";
import { Agent, createServer, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { after, test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { freePort } from "#base/net/testing/free-port.ts";
import { endpointSlice, metricValue, startTestControlPlane } from "#control/testing/test-control-plane.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { startProxy } from "./start.ts";

const upstream = createServer((incoming, response) => response.end(incoming.headers["x-settings"] ?? "none"));
await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
const upstreamPort = (upstream.address() as AddressInfo).port;
const [httpPort, tcpPort] = [await freePort(), await freePort()];

const meshYaml = `
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  clusterIP: 10.96.0.2
  selector: {istio: ingressgateway}
  ports:
  - {name: http, port: ${httpPort}, targetPort: ${httpPort}}
  - {name: tcp, port: ${tcpPort}, targetPort: ${tcpPort}}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec:
  clusterIP: 10.96.0.20
  selector: {app: reviews}
  ports: [{name: http, port: 9080, targetPort: ${upstreamPort}}]
---
${endpointSlice("reviews", ["127.0.0.1"], upstreamPort)}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: ${httpPort}, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: ${tcpPort}, name: tcp, protocol: TCP}, hosts: ["*"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: default}
spec:
  hosts: ["*"]
  gateways: [gateway]
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
  tcp: [{match: [{port: ${tcpPort}}], route: [{destination: {host: reviews, port: {number: 9080}}}]}]
`;

const filters = "type.googleapis.com/envoy.extensions.filters";
const mutation = (value: string): string =>
  `{"@type": ${filters}.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: x-settings, value: ${value}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}}`;
const httpType = `type_urls: [${filters}.http.header_mutation.v3.HeaderMutation]`;

const envoyFilter = (name: string, patches: readonly string[]): string => `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ${name}, namespace: istio-system}
spec: {configPatches: [${patches.join(", ")}]}
`;

const httpFilter = (discovery: string): string =>
  envoyFilter("http-filter", [
    `{applyTo: HTTP_FILTER, match: {context: GATEWAY, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}}, patch: {operation: INSERT_BEFORE, value: {name: settings, config_discovery: {config_source: {ads: {}, resource_api_version: V3}, ${discovery}}}}}`,
  ]);
const networkFilter = envoyFilter("network-filter", [
  `{applyTo: NETWORK_FILTER, match: {context: GATEWAY, listener: {portNumber: ${tcpPort}}}, patch: {operation: INSERT_FIRST, value: {name: doorkeeper, config_discovery: {config_source: {ads: {}}, type_urls: [${filters}.network.rbac.v3.RBAC]}}}}`,
]);
const extension = (name: string, config: string): string =>
  envoyFilter(name, [
    `{applyTo: EXTENSION_CONFIG, patch: {operation: ADD, value: {name: ${name}, typed_config: ${config}}}}`,
  ]);
const doorkeeper = (action: string): string =>
  extension(
    "doorkeeper",
    `{"@type": ${filters}.network.rbac.v3.RBAC, stat_prefix: door, rules: {action: ${action}, policies: {all: {permissions: [{any: true}], principals: [{any: true}]}}}}`,
  );

const plane = await startTestControlPlane(
  [
    meshYaml,
    httpFilter(httpType),
    networkFilter,
    extension("settings", mutation("one")),
    doorkeeper("ALLOW"),
    extension("unwanted", mutation("nobody")),
  ].join("---"),
);
const proxy = await startProxy({
  node: {
    id: "router~127.0.0.1~gateway-1.istio-system~istio-system.svc.cluster.local",
    cluster: "istio-ingressgateway",
    locality: { region: "", zone: "", subZone: "" },
    metadata: { NAMESPACE: "istio-system", LABELS: { istio: "ingressgateway" }, WORKLOAD_NAME: "istio-ingressgateway" },
  },
  role: "router",
  version: "1.31.0",
  ads: {
    address: `127.0.0.1:${plane.control.addresses.tls?.port ?? 0}`,
    tls: { rootCertificates: () => plane.control.rootCertificates, serverName: "istiod.istio-system.svc" },
    token: async () => "istio-system/gateway",
  },
  secrets: new SecretStore(),
  log: new LogRegistry({ level: "none" }),
  servers: { admin: { host: "127.0.0.1", port: 0 } },
});

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
after(async () => {
  agent.destroy();
  await proxy.stop();
  await plane.control.stop();
  upstream.close();
  upstream.closeAllConnections();
});

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Over one connection; `port` is the client's end of it. */
function ask(): Promise<{ readonly status: number; readonly body: string; readonly port: number }> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: "127.0.0.1", port: httpPort, agent, path: "/" }, (response) => {
      const { localPort: port = 0 } = response.socket;
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body, port }));
    });
    asking.on("error", reject).end();
  });
}

interface Extension {
  readonly ecds_filter: { readonly name: string };
  readonly error_state?: { readonly details: string };
}

async function dumped(): Promise<readonly Extension[]> {
  const dump = await fetch(`http://127.0.0.1:${proxy.adminPort}/config_dump`);
  const { configs } = (await dump.json()) as { configs: { "@type": string; ecds_filters?: Extension[] }[] };
  return configs.find((it) => it["@type"].endsWith("EcdsConfigDump"))?.ecds_filters ?? [];
}

/** Whether the TCP port lets a request through to the server. */
function isLetIn(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(tcpPort, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    socket.on("data", () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("close", () => resolve(false));
    socket.on("error", () => resolve(false));
  });
}

test("a listener waits for the settings of its filters, and asks for those only that a filter names", async () => {
  await until("ready", () => proxy.ready());
  assert.equal((await ask()).body, "one");
  assert.deepEqual((await dumped()).map(({ ecds_filter }) => ecds_filter.name).sort(), ["doorkeeper", "settings"]);
});

test("new settings apply to the next request of an open connection", async () => {
  const { port } = await ask();
  plane.source.apply(extension("settings", mutation("two")));
  await until("new settings", async () => (await ask()).body === "two");
  assert.equal((await ask()).port, port, "the connection stays");
});

test("settings of another type than the filter takes are refused, and what was there stays", async () => {
  const rejects = metricValue(plane.control, "pilot_total_xds_rejects");
  plane.source.apply(extension("settings", `{"@type": ${filters}.http.cors.v3.Cors}`));
  await until("refusal", () => metricValue(plane.control, "pilot_total_xds_rejects") > rejects);
  assert.equal((await ask()).body, "two");
  const refused = (await dumped()).find(({ ecds_filter }) => ecds_filter.name === "settings");
  assert.match(refused?.error_state?.details ?? "", /Cors is not what is asked for: .*HeaderMutation/);
  plane.source.apply(extension("settings", mutation("three")));
  await until("good settings", async () => (await ask()).body === "three");
});

test("without settings and without a default nothing is let through; a default stands in", async () => {
  const { port } = await ask();
  plane.source.delete(extension("settings", mutation("three")));
  await until("no settings", async () => (await ask()).status === 500);
  assert.equal((await ask()).port, port);
  plane.source.apply(
    httpFilter(`${httpType}, default_config: ${mutation("default")}, apply_default_config_without_warming: true`),
  );
  await until("the default", async () => (await ask()).body === "default");
  plane.source.apply(extension("settings", mutation("four")));
  await until("settings again", async () => (await ask()).body === "four");
});

test("a network filter takes its settings from ECDS too, connection by connection", async () => {
  assert.equal(await isLetIn(), true);
  plane.source.apply(doorkeeper("DENY"));
  await until("refused connections", async () => !(await isLetIn()));
  plane.source.delete(doorkeeper("DENY"));
  await until("no settings", async () => (await dumped()).length === 1);
  assert.equal(await isLetIn(), false, "nobody knows whom it would have let in");
  plane.source.apply(doorkeeper("ALLOW"));
  await until("connections again", isLetIn);
});
