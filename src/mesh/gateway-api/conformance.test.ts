// What tests of the Gateway API's conformance suite ask, where no other test here asks it already: the scenarios, in
// our own words. The whole list is in docs/compatibility.md.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Cluster_DiscoveryType } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { proxy } from "../snapshot/testing/mesh-from-yaml.ts";
import { compiled, gatewayMesh, httpRoute, nextMesh, outcome, webGateway } from "./testing/gateway-mesh.ts";

interface Status {
  readonly listeners?: readonly { readonly name: string; readonly attachedRoutes: number }[];
  readonly parents?: readonly { readonly conditions: readonly Readonly<Record<string, string>>[] }[];
}

function statusOf(snapshot: BuiltSnapshot, kind: string, name: string): Status {
  return (snapshot.gatewayApiStatuses().find((item) => item.kind === kind && item.name === name)?.status ??
    {}) as Status;
}

const attached = (snapshot: BuiltSnapshot): Record<string, number> =>
  Object.fromEntries(
    (statusOf(snapshot, "Gateway", "web").listeners ?? []).map(({ name, attachedRoutes }) => [name, attachedRoutes]),
  );

const gateway = (...listeners: string[]): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: istio
  listeners:
${listeners.map((listener) => `  - {${listener}}`).join("\n")}
`;
const http = (name: string, hostname: string, port = 80): string =>
  `name: ${name}, port: ${port}, protocol: HTTP${hostname === "" ? "" : `, hostname: "${hostname}"`}`;
const to = (name: string): string => `rules: [{backendRefs: [{name: ${name}, port: 80}]}]`;

test("HTTPRouteListenerHostnameMatching: each listener has the routes of its hosts, a wildcard those that none names", () => {
  const snapshot = gatewayMesh(
    gateway(http("one", "bar.com"), http("two", "foo.bar.com"), http("three", "*.bar.com"), http("four", "*.foo.com")),
    httpRoute("a", `parentRefs: [{name: web, sectionName: one}]\n${to("a")}`),
    httpRoute("b", `parentRefs: [{name: web, sectionName: two}]\n${to("b")}`),
    httpRoute("c", `parentRefs: [{name: web, sectionName: three}, {name: web, sectionName: four}]\n${to("c")}`),
  );
  const routes = compiled(snapshot).routes.get("http.80");
  const cases: [string, string][] = [
    ["bar.com", "a /"],
    ["foo.bar.com", "b /"],
    ["baz.bar.com", "c /"],
    ["boo.bar.com", "c /"],
    ["multiple.prefixes.bar.com", "c /"],
    ["multiple.prefixes.foo.com", "c /"],
    ["foo.com", "404"],
    ["no.matching.host", "404"],
  ];
  for (const [host, expected] of cases) assert.equal(outcome(routes, { host }), expected, host);
});

test("HTTPRouteHostnameIntersection: a route is served for the names that it shares with the listener", () => {
  const snapshot = gatewayMesh(
    gateway(http("specific", "very.specific.com"), http("wild", "*.wildcard.io"), http("any", "*.anotherwildcard.io")),
    httpRoute(
      "s",
      `parentRefs: [{name: web}]\nhostnames: [non.matching.com, "*.nonmatchingwildcard.io", very.specific.com]\nrules: [{matches: [{path: {value: /s1}}], backendRefs: [{name: a, port: 80}]}]`,
    ),
    httpRoute(
      "w",
      `parentRefs: [{name: web}]\nhostnames: [foo.wildcard.io, "*.com", wildcard.io]\nrules: [{matches: [{path: {value: /s2}}], backendRefs: [{name: b, port: 80}]}]`,
    ),
    httpRoute(
      "x",
      `parentRefs: [{name: web}]\nhostnames: ["*.anotherwildcard.io"]\nrules: [{matches: [{path: {value: /s4}}], backendRefs: [{name: c, port: 80}]}]`,
    ),
    httpRoute("none", `parentRefs: [{name: web}]\nhostnames: [specific.but.wrong.com]\n${to("a")}`),
  );
  const routes = compiled(snapshot).routes.get("http.80");
  const cases: [string, string, string][] = [
    ["very.specific.com", "/s1", "a /s1"],
    ["very.specific.com", "/s2", "b /s2"],
    ["non.matching.com", "/s1", "404"],
    ["foo.nonmatchingwildcard.io", "/s1", "404"],
    ["foo.wildcard.io", "/s2", "b /s2"],
    ["bar.wildcard.io", "/s2", "404"],
    ["wildcard.io", "/s2", "404"],
    ["one.anotherwildcard.io", "/s4", "c /s4"],
    ["two.one.anotherwildcard.io", "/s4", "c /s4"],
    ["anotherwildcard.io", "/s4", "404"],
  ];
  for (const [host, path, expected] of cases) assert.equal(outcome(routes, { host, path }), expected, `${host}${path}`);
  const [parent] = statusOf(snapshot, "HTTPRoute", "none").parents ?? [];
  assert.equal(
    parent?.conditions.find((item) => item["type"] === "Accepted")?.["reason"],
    "NoMatchingListenerHostname",
  );
});

test("HTTPRouteServiceTypes: backends without a cluster address are reached at their endpoints", () => {
  const snapshot = gatewayMesh(
    webGateway,
    `
apiVersion: v1
kind: Service
metadata: {name: manual}
spec: {clusterIP: None, ports: [{name: first, port: 80, targetPort: 3000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: manual-1, labels: {kubernetes.io/service-name: manual}}
addressType: IPv4
ports: [{name: first, port: 3000, protocol: TCP}]
endpoints: [{addresses: [10.1.1.1], conditions: {ready: true}}]
`,
    httpRoute("r", `parentRefs: [{name: web}]\n${to("manual")}`),
  );
  const { clusters, endpoints, routes } = compiled(snapshot);
  const name = "outbound|80||manual.default.svc.cluster.local";
  assert.deepEqual(clusters.get(name)?.clusterDiscoveryType, { case: "type", value: Cluster_DiscoveryType.EDS });
  const [endpoint] = endpoints.get(name)?.endpoints[0]?.lbEndpoints ?? [];
  const host =
    endpoint?.hostIdentifier.case === "endpoint" ? endpoint.hostIdentifier.value.address?.address : undefined;
  assert.deepEqual(host?.case === "socketAddress" && [host.value.address, host.value.portSpecifier.value], [
    "10.1.1.1",
    3000,
  ]);
  assert.equal(outcome(routes.get("http.80")), "manual /");
});

test("HTTPRouteRedirectPortAndScheme: the port is the one asked for, else the scheme's, else the listener's", () => {
  const cases: [number, string, string][] = [
    [80, "hostname: e.org", "http://e.org/p"],
    [80, "port: 80", "http://shop.example.com/p"],
    [80, "port: 8080", "http://shop.example.com:8080/p"],
    [80, "scheme: https", "https://shop.example.com/p"],
    [80, "scheme: https, port: 443", "https://shop.example.com/p"],
    [80, "scheme: https, port: 8443", "https://shop.example.com:8443/p"],
    [8080, "hostname: e.org", "http://e.org:8080/p"],
    [8080, "port: 80", "http://shop.example.com/p"],
    [8080, "port: 8080", "http://shop.example.com:8080/p"],
    [8080, "scheme: http", "http://shop.example.com/p"],
    [8080, "scheme: http, port: 80", "http://shop.example.com/p"],
    [8080, "scheme: https", "https://shop.example.com/p"],
    [8080, "scheme: https, port: 8443", "https://shop.example.com:8443/p"],
  ];
  for (const [port, redirect, location] of cases) {
    const filters = `filters: [{type: RequestRedirect, requestRedirect: {${redirect}}}]`;
    const snapshot = gatewayMesh(
      gateway(http("http", "", port)),
      httpRoute("r", `parentRefs: [{name: web}]\nrules: [{${filters}}]`),
    );
    const routes = compiled(snapshot).routes.get(`http.${port}`);
    assert.equal(outcome(routes, { path: "/p" }), `redirect 302 ${location}`, `${port} ${redirect}`);
  }
  for (const code of [301, 303, 307, 308]) {
    const filters = `filters: [{type: RequestRedirect, requestRedirect: {hostname: e.org, statusCode: ${code}}}]`;
    const snapshot = gatewayMesh(webGateway, httpRoute("r", `parentRefs: [{name: web}]\nrules: [{${filters}}]`));
    assert.equal(outcome(compiled(snapshot).routes.get("http.80")), `redirect ${code} http://e.org/`);
  }
});

test("HTTPRouteAllBackendsWeightZero and rules without backends answer 500, and only for what they match", () => {
  const rules = `
- {matches: [{path: {value: /zero}}], backendRefs: [{name: a, port: 80, weight: 0}, {name: b, port: 80, weight: 0}]}
- {matches: [{path: {value: /none}}]}
- {matches: [{path: {value: /good}}], backendRefs: [{name: a, port: 80}]}`;
  const routes = compiled(gatewayMesh(webGateway, httpRoute("r", `parentRefs: [{name: web}]\nrules:${rules}`))).routes;
  const of = (path: string): string => outcome(routes.get("http.80"), { path });
  assert.deepEqual([of("/zero"), of("/none"), of("/good"), of("/")], ["answers 500", "answers 500", "a /good", "404"]);
});

test("HTTPRoutePartiallyInvalidViaInvalidReferenceGrant: a backend that is not permitted costs its own rule", () => {
  const grant = `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: elsewhere}]
  to: [{group: "", kind: Service}]
`;
  const rules = `
- {matches: [{path: {value: /far}}], backendRefs: [{name: d, namespace: other, port: 80}]}
- {matches: [{path: {value: /near}}], backendRefs: [{name: a, port: 80}]}`;
  const snapshot = gatewayMesh(webGateway, grant, httpRoute("r", `parentRefs: [{name: web}]\nrules:${rules}`));
  const routes = compiled(snapshot).routes.get("http.80");
  assert.match(outcome(routes, { path: "/far" }), / 500 /);
  assert.equal(outcome(routes, { path: "/near" }), "a /near");
  const [parent] = statusOf(snapshot, "HTTPRoute", "r").parents ?? [];
  const reasons = parent?.conditions.map((item) => `${item["type"]}=${item["status"]} ${item["reason"]}`);
  assert.deepEqual(reasons, ["Accepted=True Accepted", "ResolvedRefs=False RefNotPermitted"]);
});

test("GatewayModifyListeners: listeners come and go, and routes attach to those that are there", () => {
  const route = httpRoute("r", `parentRefs: [{name: web}]\n${to("a")}`);
  const first = gatewayMesh(gateway(http("one", "")), route);
  assert.deepEqual(attached(first), { one: 1 });
  const second = nextMesh(first, gateway(http("one", ""), http("two", "", 8080)), route);
  assert.deepEqual(attached(second), { one: 1, two: 1 });
  assert.equal(outcome(compiled(second).routes.get("http.8080")), "a /");
  const third = nextMesh(second, gateway(http("two", "", 8080)), route);
  assert.deepEqual(attached(third), { two: 1 });
  assert.equal(compiled(third).routes.get("http.80"), undefined);
});

test("GatewayWithAttachedRoutes: routes count where they attach, whether or not their references resolve", () => {
  const pair = selfSigned();
  const indented = (text: string): string => text.trimEnd().replace(/^/gm, "    ");
  const secret = `
apiVersion: v1
kind: Secret
metadata: {name: other-cert}
stringData:
  tls.crt: |
${indented(pair.chain)}
  tls.key: |
${indented(pair.key)}
`;
  const tls = "name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: gone}]}";
  const snapshot = gatewayMesh(
    secret,
    gateway(http("http", ""), tls),
    httpRoute("r", `parentRefs: [{name: web}]\n${to("nothing")}`),
    httpRoute("s", `parentRefs: [{name: web, sectionName: http}]\n${to("a")}`),
  );
  assert.deepEqual(attached(snapshot), { http: 2, tls: 1 });
});

test("GatewayOptionalAddressValue: an address of a type without a value leaves the choice to the mesh", () => {
  const snapshot = gatewayMesh(webGateway.replace("  listeners:", "  addresses: [{type: IPAddress}]\n  listeners:"));
  const [made] = snapshot.gatewayDeployments().gateways;
  assert.deepEqual([made?.deploymentName, made?.loadBalancerIp], ["web-istio", ""]);
});

test("HTTPRouteBackendProtocolH2C: a port with that protocol is spoken to in HTTP/2", () => {
  const service = (name: string, protocol: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {clusterIP: 10.96.1.99, selector: {app: x}, ports: [{name: first, port: 80${protocol}}]}
`;
  const { clusters } = compiled(
    gatewayMesh(
      webGateway,
      service("two", ", appProtocol: kubernetes.io/h2c"),
      service("one", ", appProtocol: kubernetes.io/ws"),
    ),
  );
  const speaksHttp2 = (name: string): boolean => {
    const options = clusters.get(`outbound|80||${name}.default.svc.cluster.local`)?.typedExtensionProtocolOptions;
    return Object.values(options ?? {}).some(({ value }) => Buffer.from(value).toString("hex").startsWith("1a021200"));
  };
  assert.deepEqual([speaksHttp2("two"), speaksHttp2("one")], [true, false]);
});

test("MeshHTTPRoute...: sidecars redirect, rewrite, match and share by weight as gateways do", () => {
  const rules = `
- {matches: [{path: {value: /path}}], filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]}
- {matches: [{path: {value: /host}}], filters: [{type: RequestRedirect, requestRedirect: {hostname: e.org, statusCode: 301}}]}
- {matches: [{path: {value: /port}}], filters: [{type: RequestRedirect, requestRedirect: {port: 8083}}]}
- {matches: [{path: {value: /scheme}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}
- {matches: [{path: {value: /rewrite}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}], backendRefs: [{name: b, port: 80}]}
- {matches: [{queryParams: [{name: animal, value: whale}]}], backendRefs: [{name: c, port: 80}]}
- {matches: [{path: {value: /weight}}], backendRefs: [{name: b, port: 80, weight: 70}, {name: c, port: 80, weight: 30}, {name: a, port: 80, weight: 0}]}`;
  const snapshot = gatewayMesh(
    httpRoute("r", `parentRefs: [{group: "", kind: Service, name: a, port: 80}]\nrules:${rules}`),
  );
  const routes = compiled(snapshot, proxy()).routes.get("80");
  const host = "a.default.svc.cluster.local";
  const cases: [string, string][] = [
    ["/path/x", `redirect 302 http://${host}/new/x`],
    ["/host", "redirect 301 http://e.org/host"],
    ["/port", `redirect 302 http://${host}:8083/port`],
    ["/scheme", `redirect 302 https://${host}/scheme`],
    ["/rewrite/x", "b /x"],
    ["/x?animal=whale", "c /x?animal=whale"],
    ["/x?animal=dolphin", "404"],
  ];
  for (const [path, expected] of cases) assert.equal(outcome(routes, { host, path }), expected, path);
  const shares = Array.from({ length: 100 }, (_, index) =>
    outcome(routes, { host, path: "/weight", random: index / 100 }),
  );
  assert.deepEqual(
    ["a /weight", "b /weight", "c /weight"].map((answer) => shares.filter((share) => share === answer).length),
    [0, 70, 30],
  );
});
