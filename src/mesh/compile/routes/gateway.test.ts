import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { ClusterLoadAssignment } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { HttpConnectionManager_ForwardClientCertDetails } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { DownstreamTlsContextSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import { parseMeshConfig } from "../../kinds/mesh-config/decode.ts";
import { type CompiledResources, compileProxy } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { bookinfo, ingressGateway, mesh, service, workload } from "../testing/mesh.ts";
import { describeCluster, describeListener, filterNames, httpManager, whereGoes } from "../testing/summary.ts";

function gateway(servers: string, more = ""): string {
  return `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
${servers.replace(/^/gm, "  ")}
---
${more}`;
}

function virtualService(name: string, hosts: string, rest: string): string {
  return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, creationTimestamp: "2026-01-0${name.length}T00:00:00Z"}
spec: {hosts: ${hosts}, gateways: [edge], ${rest}}
`;
}

const to = (host: string): string => `route: [{destination: {host: ${host}, port: {number: 9080}}}]`;
const cluster = (name: string): string => `outbound|9080||${name}.default.svc.cluster.local`;

function compiled(yaml: string): CompiledResources {
  const snapshot = mesh(bookinfo, yaml);
  assert.deepEqual(
    snapshot.issues.filter(({ code }) => code === "IST0106"),
    [],
  );
  const result = compileProxy(snapshot, ingressGateway());
  assert.deepEqual(refusals(result), []);
  return result;
}

test("VirtualServices for one host are joined, and what matches everything comes last", () => {
  const yaml = gateway(
    '- {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}',
    [
      virtualService("a", "[shop.example.com]", `http: [{${to("productpage")}}]`),
      virtualService("bb", "[shop.example.com]", `http: [{match: [{uri: {prefix: /api}}], ${to("reviews")}}]`),
    ].join("---"),
  );
  const { routes } = compiled(yaml);
  const go = (path: string, host = "shop.example.com"): string => whereGoes(routes.get("http.8080"), { host, path });
  assert.equal(go("/api/1"), cluster("reviews"));
  assert.equal(go("/"), cluster("productpage"));
  assert.equal(go("/", "other.example.com"), "no virtual host");
});

test("a TLS server has a filter chain by server name and a route configuration of its own", () => {
  const yaml = gateway(
    `- {port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: shop-cert}}
- {port: {number: 443, name: https-admin, protocol: HTTPS}, hosts: [admin.example.com], tls: {mode: MUTUAL, credentialName: admin-cert}}`,
    virtualService("a", '["*"]', `http: [{${to("productpage")}}]`),
  );
  const { listeners, routes } = compiled(yaml);
  const listener = listeners.get("0.0.0.0_443");
  assert.deepEqual(describeListener(listener), [
    "[sni shop.example.com] ends TLS -> route https.443.https.edge.default",
    "[sni admin.example.com] ends TLS -> route https.443.https-admin.edge.default",
  ]);
  assert.deepEqual([...routes.keys()], ["https.443.https-admin.edge.default", "https.443.https.edge.default"]);
  assert.equal(
    whereGoes(routes.get("https.443.https.edge.default"), { host: "shop.example.com" }),
    cluster("productpage"),
  );
  const contexts = listener?.filterChains.map(({ transportSocket }) =>
    transportSocket?.configType.case === "typedConfig"
      ? anyUnpack(transportSocket.configType.value, DownstreamTlsContextSchema)
      : undefined,
  );
  assert.deepEqual(
    contexts?.map((context) => context?.commonTlsContext?.tlsCertificateSdsSecretConfigs.map(({ name }) => name)),
    [["kubernetes://shop-cert"], ["kubernetes://admin-cert"]],
  );
  assert.deepEqual(
    contexts?.map((context) => context?.requireClientCertificate),
    [false, true],
  );
  const validation = contexts?.[1]?.commonTlsContext?.validationContextType;
  assert.equal(
    validation?.case === "combinedValidationContext" && validation.value.validationContextSdsSecretConfig?.name,
    "kubernetes://admin-cert-cacert",
  );
});

test("TLS passthrough goes by server name to where tls routes say", () => {
  const yaml = gateway(
    "- {port: {number: 443, name: tls, protocol: TLS}, hosts: [db.example.com], tls: {mode: PASSTHROUGH}}",
    virtualService(
      "a",
      "[db.example.com]",
      `tls: [{match: [{port: 443, sniHosts: [db.example.com]}], ${to("reviews")}}]`,
    ),
  );
  const { listeners } = compiled(yaml);
  assert.deepEqual(describeListener(listeners.get("0.0.0.0_443")), [`[sni db.example.com] -> ${cluster("reviews")}`]);
  assert.deepEqual(
    listeners.get("0.0.0.0_443")?.listenerFilters.map(({ name }) => name),
    ["envoy.filters.listener.tls_inspector"],
  );
});

test("a TCP server listens once a route is bound to it", () => {
  const server = '- {port: {number: 5000, name: tcp, protocol: TCP}, hosts: ["*"]}';
  assert.equal(compiled(gateway(server)).listeners.size, 0);
  const { listeners } = compiled(gateway(server, virtualService("a", '["*"]', `tcp: [{${to("reviews")}}]`)));
  assert.deepEqual(describeListener(listeners.get("0.0.0.0_5000")), [`[any] -> ${cluster("reviews")}`]);
});

test("httpsRedirect asks for TLS on every host of the server", () => {
  const yaml = gateway(
    "- {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com], tls: {httpsRedirect: true}}",
  );
  const [host] = compiled(yaml).routes.get("http.8080")?.virtualHosts ?? [];
  assert.deepEqual(host?.domains, ["shop.example.com"]);
  assert.equal(host?.requireTls, 2);
  const wildcard = gateway(
    '- {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com"], tls: {httpsRedirect: true}}',
    virtualService("a", "[shop.example.com]", `http: [{${to("reviews")}}]`),
  );
  const hosts = compiled(wildcard).routes.get("http.8080")?.virtualHosts ?? [];
  assert.deepEqual(
    hosts.map(({ domains, requireTls }) => [domains[0], requireTls]),
    [
      ["*.example.com", 2],
      ["shop.example.com", 2],
    ],
  );
});

test("a TLS server answers 421 for names that are not its own, and 404 for its own that nobody serves", () => {
  const yaml = gateway(
    "- {port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com, idle.example.com], tls: {mode: SIMPLE, credentialName: shop}}",
    virtualService("a", "[shop.example.com]", `http: [{${to("reviews")}}]`),
  );
  const [routes] = [...compiled(yaml).routes.values()];
  assert.match(whereGoes(routes, { host: "shop.example.com" }), /reviews/);
  assert.equal(whereGoes(routes, { host: "idle.example.com" }), "no route");
  assert.equal(whereGoes(routes, { host: "other.example.com" }), "answers 421");
});

test("ciphers and curves are the server's, else the mesh's, else Istio's; unknown ones are left out", () => {
  const parameters = (
    cipherSuites: string,
    tlsDefaults = { cipherSuites: [] as string[], ecdhCurves: [] as string[] },
  ) => {
    const yaml = gateway(
      `- {port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: a, cipherSuites: ${cipherSuites}}}`,
    );
    const { listeners } = compileProxy(mesh(bookinfo, yaml, { tlsDefaults }), ingressGateway());
    const socket = listeners.get("0.0.0.0_443")?.filterChains[0]?.transportSocket?.configType.value;
    return socket && anyUnpack(socket, DownstreamTlsContextSchema)?.commonTlsContext?.tlsParams;
  };
  const defaults = { cipherSuites: ["AES128-SHA", "ROT13"], ecdhCurves: ["P-384", "P-1"] };
  assert.deepEqual(parameters("[AES256-SHA, ROT13]", defaults)?.cipherSuites, ["AES256-SHA"]);
  assert.deepEqual(parameters("[ROT13]", defaults)?.cipherSuites, ["AES128-SHA"]);
  assert.deepEqual(parameters("[]", defaults)?.ecdhCurves, ["P-384"]);
  assert.equal(parameters("[]")?.cipherSuites.length, 6);
});

test("AUTO_PASSTHROUGH leads mutual TLS of the mesh on by its SNI, to clusters without TLS", () => {
  const { listeners, clusters, endpoints } = compiled(
    gateway(
      '- {port: {number: 15443, name: tls, protocol: TLS}, hosts: ["reviews.default.svc.cluster.local"], tls: {mode: AUTO_PASSTHROUGH}}',
      subsets,
    ),
  );
  const name = (subset: string): string => `outbound_.9080_.${subset}_.reviews.default.svc.cluster.local`;
  assert.deepEqual(
    describeListener(listeners.get("0.0.0.0_15443")),
    ["", "v1"].map(
      (subset) =>
        `[sni ${name(subset)} istio-peer-exchange,istio,istio-http/1.0,istio-http/1.1,istio-h2] -> ${name(subset)}`,
    ),
  );
  const own = clusters.get(name("v1"));
  assert.equal(describeCluster(own), "EDS plaintext");
  assert.equal(own?.edsClusterConfig?.serviceName, name("v1"));
  assert.ok(endpoints.has(name("v1")) && endpoints.has("outbound|9080|v1|reviews.default.svc.cluster.local"));
  assert.ok(
    ![...clusters.keys()].some(
      (key) => key.startsWith("outbound_.") && !key.endsWith("_.reviews.default.svc.cluster.local"),
    ),
  );
});

test("AUTO_PASSTHROUGH leads to no endpoint that takes no mutual TLS", () => {
  const port = [{ name: "http", number: 80 }];
  const objects = [
    ...bookinfo,
    service("mixed", "10.96.0.70", port),
    ...workload("mixed", port, { ip: "10.244.7.1" }),
    ...workload("mixed", port, { ip: "10.244.7.2", sidecar: false }),
  ];
  const yaml = `${gateway('- {port: {number: 15443, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: AUTO_PASSTHROUGH}}', "")}---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named, namespace: default}
spec:
  hosts: [named.example]
  location: MESH_INTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: plain.example}, {address: meshed.example, labels: {security.istio.io/tlsMode: istio}}]
`;
  const counts = (more: string) => {
    const { clusters, endpoints } = compileProxy(mesh(objects, yaml + more), ingressGateway());
    const count = (found: ClusterLoadAssignment | undefined): number =>
      (found?.endpoints ?? []).flatMap(({ lbEndpoints }) => lbEndpoints).length;
    return [
      count(endpoints.get("outbound|80||mixed.default.svc.cluster.local")),
      count(endpoints.get("outbound_.80_._.mixed.default.svc.cluster.local")),
      count(clusters.get("outbound|80||named.example")?.loadAssignment),
      count(clusters.get("outbound_.80_._.named.example")?.loadAssignment),
    ];
  };
  assert.deepEqual(counts(""), [2, 1, 2, 1]);
  const plaintext = `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: mixed, namespace: default}
spec: {selector: {matchLabels: {app: mixed}}, mtls: {mode: DISABLE}}
`;
  assert.deepEqual(counts(plaintext).slice(0, 2), [2, 0]);
});

const subsets = `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
`;

test("a gateway believes no forwarded header and shows its own name", () => {
  const { listeners } = compiled(
    gateway(
      '- {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}',
      virtualService("a", '["*"]', `http: [{${to("reviews")}}]`),
    ),
  );
  const chain = listeners.get("0.0.0.0_8080")?.filterChains[0];
  const manager = httpManager(chain);
  assert.equal(manager?.useRemoteAddress, true);
  assert.equal(manager?.forwardClientCertDetails, 3);
  assert.equal(manager?.serverName, "istio-envoy");
  assert.deepEqual(filterNames(chain), [
    "istio.metadata_exchange",
    "envoy.filters.http.grpc_stats",
    "istio.alpn",
    "envoy.filters.http.fault",
    "envoy.filters.http.cors",
    "istio.stats",
    "envoy.filters.http.router",
  ]);
});

test("a server with TLS counts under its own name, plain servers under the listener's", () => {
  const yaml = gateway(
    `- {name: shop, port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: c}}
- {port: {number: 443, name: https-b, protocol: HTTPS}, hosts: [b.example.com], tls: {mode: SIMPLE, credentialName: c}}
- {name: plain, port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}`,
    virtualService("a", '["*"]', `http: [{${to("productpage")}}]`),
  );
  const { listeners } = compiled(yaml);
  const prefixes = (name: string): (string | undefined)[] | undefined =>
    listeners.get(name)?.filterChains.map((chain) => httpManager(chain)?.statPrefix);
  assert.deepEqual(prefixes("0.0.0.0_443"), ["shop;", "outbound_0.0.0.0_443;"]);
  assert.deepEqual(prefixes("0.0.0.0_8080"), ["outbound_0.0.0.0_8080;"]);
});

test("gatewayTopology: of the gateway's own configuration, else of the mesh's", () => {
  const yaml = gateway('- {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}');
  const { meshConfig } = parseMeshConfig("defaultConfig: { gatewayTopology: { numTrustedProxies: 2 } }");
  const snapshot = mesh(bookinfo, yaml, meshConfig);
  const described = (proxyConfig: JsonObject): unknown[] => {
    const proxy = ingressGateway();
    const result = compileProxy(snapshot, { ...proxy, metadata: { ...proxy.metadata, PROXY_CONFIG: proxyConfig } });
    assert.deepEqual(refusals(result), []);
    const listener = result.listeners.get("0.0.0.0_8080");
    const manager = httpManager(listener?.filterChains[0]);
    return [
      manager?.xffNumTrustedHops,
      manager?.forwardClientCertDetails,
      manager?.setCurrentClientCertDetails !== undefined,
      listener?.listenerFilters.map(({ name }) => name),
    ];
  };
  const { SANITIZE_SET, FORWARD_ONLY, APPEND_FORWARD } = HttpConnectionManager_ForwardClientCertDetails;
  assert.deepEqual(described({}), [2, SANITIZE_SET, true, []]);
  assert.deepEqual(described({ gatewayTopology: { numTrustedProxies: 1, forwardClientCertDetails: "FORWARD_ONLY" } }), [
    1,
    FORWARD_ONLY,
    false,
    [],
  ]);
  assert.deepEqual(described({ gatewayTopology: { proxyProtocol: {}, forwardClientCertDetails: "APPEND_FORWARD" } }), [
    0,
    APPEND_FORWARD,
    true,
    ["envoy.filters.listener.proxy_protocol"],
  ]);
});

test("a server's port is the Service's port, unless the Service says that it is the pod's", () => {
  const listenersOf = (label: string): string[] => {
    const inFront = `
apiVersion: v1
kind: Service
metadata: {name: ingress, namespace: istio-system${label}}
spec: {clusterIP: 10.96.0.80, selector: {istio: ingressgateway}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {containers: [{name: proxy, image: proxy}]}
status: {podIP: ${ingressGateway().ipAddresses[0]}, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`;
    return [...compileProxy(mesh([], inFront), ingressGateway()).listeners.keys()];
  };
  assert.deepEqual(listenersOf(""), ["0.0.0.0_8080"]);
  const label = ', labels: {experimental.istio.io/disable-gateway-port-translation: "true"}';
  assert.deepEqual(listenersOf(label), ["0.0.0.0_80"]);
});
