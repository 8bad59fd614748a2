// Routes of the mesh (GAMMA): attached to a Service, for the sidecars of its clients.
import assert from "node:assert/strict";
import { test } from "node:test";
import { describeListener } from "../compile/testing/summary.ts";
import type { ProxyNode } from "../snapshot/proxy-node.ts";
import { proxy } from "../snapshot/testing/mesh-from-yaml.ts";
import { compiled, gatewayMesh, httpRoute, originOf, outcome } from "./testing/gateway-mesh.ts";

const client = proxy();
const stranger = proxy({ namespace: "other" });

function ask(documents: string[], port: number, node: ProxyNode, path = "/"): string {
  return outcome(compiled(gatewayMesh(...documents), node).routes.get(String(port)), { host: "a.default", path });
}

const parent = (more = ""): string => `parentRefs: [{group: "", kind: Service, name: a${more}}]`;
const rules = (name: string): string => `rules: [{backendRefs: [{name: ${name}, namespace: default, port: 80}]}]`;

test("a route in the Service's namespace is for all its clients and ports", () => {
  const route = httpRoute("r", `${parent()}\n${rules("b")}`);
  for (const node of [client, stranger]) {
    assert.equal(ask([route], 80, node), "b /");
    assert.equal(ask([route], 90, node), "b /");
  }
});

test("a route for one port leaves the others as they are", () => {
  const route = httpRoute("r", `${parent(", port: 80")}\n${rules("b")}`);
  assert.equal(ask([route], 80, client), "b /");
  assert.equal(ask([route], 90, client), "a /");
});

test("a route of another namespace is for the clients of that namespace, and comes first for them", () => {
  const producer = httpRoute("r", `${parent()}\n${rules("b")}`, ', creationTimestamp: "2026-01-01T00:00:00Z"');
  const consumer = httpRoute(
    "r",
    `${parent(", namespace: default")}\n${rules("c")}`,
    ', namespace: other, creationTimestamp: "2026-02-01T00:00:00Z"',
  );
  assert.equal(ask([producer, consumer], 80, client), "b /");
  assert.equal(ask([producer, consumer], 80, stranger), "c /");
  assert.equal(ask([consumer], 80, client), "a /");
});

test("what no rule of a route takes is answered 404, and routes for one Service are ordered together", () => {
  const only = (name: string, path: string): string =>
    httpRoute(
      name,
      `${parent()}\nrules: [{matches: [{path: {value: ${path}}}], backendRefs: [{name: ${name}, port: 80}]}]`,
    );
  const routes = [only("b", "/x"), only("c", "/x/long")];
  assert.equal(ask(routes, 80, client, "/x/long/y"), "c /x/long/y");
  assert.equal(ask(routes, 80, client, "/x"), "b /x");
  assert.equal(ask(routes, 80, client, "/"), "404");
});

test("a route of the mesh leads back to the HTTPRoute", () => {
  const snapshot = gatewayMesh(httpRoute("r", `${parent()}\n${rules("b")}`));
  assert.match(
    originOf(compiled(snapshot, client).routes.get("80"), { host: "a" }),
    /^HTTPRoute default\/r mesh\.yaml:\d+$/,
  );
  assert.deepEqual(
    snapshot.gatewayApi.api.objects.map(({ name }) => name),
    ["default~a.default.svc.cluster.local"],
  );
});

test("a GRPCRoute chooses by service, method and metadata", () => {
  const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r}
spec:
  ${parent(", port: 90")}
  rules:
  - {matches: [{method: {service: shop.Orders, method: List}}], backendRefs: [{name: b, port: 90}]}
  - {matches: [{method: {service: shop.Orders}}, {headers: [{name: color, value: red}]}], backendRefs: [{name: c, port: 90}]}
  - {matches: [{method: {method: Ping}}, {method: {type: RegularExpression, service: "shop[.].*"}}], backendRefs: [{name: a, port: 90}]}
`;
  const routes = compiled(gatewayMesh(route), client).routes.get("90");
  const cases: [string, string, string][] = [
    ["/shop.Orders/List", "", "b /shop.Orders/List"],
    ["/shop.Orders/Get", "", "c /shop.Orders/Get"],
    ["/other.Thing/Get", "red", "c /other.Thing/Get"],
    ["/other.Thing/Ping", "", "a /other.Thing/Ping"],
    ["/shop.Carts/Get", "", "a /shop.Carts/Get"],
    ["/other.Thing/Get", "", "404"],
  ];
  for (const [path, color, expected] of cases) {
    assert.equal(
      outcome(routes, { host: "a", path, method: "POST", headers: color === "" ? {} : { color } }),
      expected,
    );
  }
});

test("a TCPRoute sends the connections to a Service elsewhere, by weight, and closes those of a backend that is gone", () => {
  const route = (backends: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: r}
spec:
  ${parent(", port: 70")}
  rules: [{backendRefs: ${backends}}]
`;
  const chains = (backends: string): string[] =>
    describeListener(compiled(gatewayMesh(route(backends)), client).listeners.get("10.96.1.1_70"));
  assert.deepEqual(chains("[{name: b, port: 70, weight: 1}, {name: c, port: 70, weight: 3}]"), [
    "[any] -> 1:outbound|70||b.default.svc.cluster.local 3:outbound|70||c.default.svc.cluster.local",
  ]);
  assert.deepEqual(chains("[{name: gone, port: 70}]"), ["[any] -> outbound|65535|zero-weight|internal.cluster.local"]);
});

test("a route for a ServiceEntry is about its hosts, and a backend of kind Hostname is one of them", () => {
  const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay}
spec: {hosts: [pay.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
`;
  const routes = [
    entry,
    httpRoute("out", `parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: pay}]\n${rules("b")}`),
    httpRoute(
      "in",
      `${parent()}\nrules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: pay.example.com, port: 80}]}]`,
    ),
  ];
  const compiledRoutes = compiled(gatewayMesh(...routes), client).routes.get("80");
  assert.equal(outcome(compiledRoutes, { host: "pay.example.com" }), "b /");
  assert.equal(outcome(compiledRoutes, { host: "a" }), "pay /");
});
