import assert from "node:assert/strict";
import { test } from "node:test";
import type { Route, RouteAction } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { decodeProvenance } from "#wire/xds/provenance.ts";
import { compileProxy, compileRoutes } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { bookinfo, fromYaml, mesh, service, sidecarOf } from "../testing/mesh.ts";
import { findRoute, type SampleRequest, whereGoes } from "../testing/summary.ts";

const client = sidecarOf("productpage", "10.244.0.11");
const reviews = (subset = ""): string => `outbound|9080|${subset}|reviews.default.svc.cluster.local`;

function virtualService(http: string, name = "reviews", hosts = "[reviews]", created = "2026-01-02T00:00:00Z"): string {
  return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, creationTimestamp: "${created}"}
spec:
  hosts: ${hosts}
  http:
${http.replace(/^/gm, "  ")}
`;
}

function routesOf(yaml: string, port = "9080"): RouteConfiguration {
  const snapshot = mesh(bookinfo, yaml);
  assert.deepEqual(
    snapshot.issues.filter(({ code }) => code === "IST0106"),
    [],
  );
  assert.deepEqual(refusals(compileProxy(snapshot, client)), []);
  return compileRoutes(snapshot, client, [port]).get(port) ?? assert.fail();
}

function actionOf(routes: RouteConfiguration, request: Partial<SampleRequest> = {}): RouteAction {
  const route = findRoute(routes, { host: "reviews", ...request });
  if (typeof route === "string" || route.action.case !== "route") assert.fail("no route action");
  return route.action.value;
}

function routeOf(routes: RouteConfiguration, request: Partial<SampleRequest> = {}): Route {
  const route = findRoute(routes, { host: "reviews", ...request });
  return typeof route === "string" ? assert.fail(route) : route;
}

test("a service answers to its names as seen from the proxy's namespace", () => {
  const routes = compileRoutes(
    mesh([...bookinfo, service("other", "10.96.0.99", [{ name: "http", number: 9080 }], { namespace: "shop" })]),
    client,
    ["9080"],
  ).get("9080");
  const domains = (name: string): string[] | undefined =>
    routes?.virtualHosts.find((host) => host.name === `${name}.svc.cluster.local:9080`)?.domains;
  assert.deepEqual(domains("reviews.default")?.sort(), [
    "10.96.0.13",
    "reviews",
    "reviews.default",
    "reviews.default.svc",
    "reviews.default.svc.cluster.local",
    "reviews.default.svc.cluster.local.",
  ]);
  assert.deepEqual(domains("other.shop")?.sort(), [
    "10.96.0.99",
    "other.shop",
    "other.shop.svc",
    "other.shop.svc.cluster.local",
    "other.shop.svc.cluster.local.",
  ]);
});

test("without a VirtualService a request is retried twice, never timed out, and traced by its service", () => {
  const route = routeOf(routesOf(""));
  assert.equal(route.name, "default");
  assert.equal(route.decorator?.operation, "reviews.default.svc.cluster.local:9080/*");
  const action = actionOf(routesOf(""));
  assert.equal(action.timeout?.seconds, 0n);
  assert.equal(action.retryPolicy?.numRetries, 2);
  assert.equal(
    action.retryPolicy?.retryOn,
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
  );
  assert.equal(action.retryPolicy?.hostSelectionRetryMaxAttempts, 5n);
});

test("matches are tried in order, members of a match together", () => {
  const routes = routesOf(
    virtualService(`
- name: beta
  match:
  - {name: form, uri: {prefix: /api}, method: {exact: POST}, headers: {x-beta: {regex: ".+"}}}
  - {uri: {exact: /health}}
  route: [{destination: {host: reviews, subset: v2}}]
- match: [{uri: {regex: "/v[0-9]+/.*"}, withoutHeaders: {x-old: {exact: "yes"}}}]
  route: [{destination: {host: reviews, subset: v3}}]
- route: [{destination: {host: reviews, subset: v1}}]
`),
  );
  const go = (request: Partial<SampleRequest>): string => whereGoes(routes, { host: "reviews", ...request });
  assert.equal(go({ path: "/api/1", method: "POST", headers: { "x-beta": "1" } }), reviews("v2"));
  assert.equal(go({ path: "/api/1", method: "GET", headers: { "x-beta": "1" } }), reviews("v1"));
  assert.equal(go({ path: "/health" }), reviews("v2"));
  assert.equal(go({ path: "/health/x" }), reviews("v1"));
  assert.equal(go({ path: "/v12/x" }), reviews("v3"));
  assert.equal(go({ path: "/v12/x", headers: { "x-old": "yes" } }), reviews("v1"));
  assert.equal(routeOf(routes, { path: "/health" }).name, "beta");
  assert.equal(routeOf(routes, { path: "/api", method: "POST", headers: { "x-beta": "1" } }).name, "beta.form");
});

test("matches on port, source and gateway are settled when routes are compiled", () => {
  const yaml = virtualService(`
- match: [{port: 1234}]
  route: [{destination: {host: reviews, subset: port}}]
- match: [{sourceLabels: {app: ratings}}]
  route: [{destination: {host: reviews, subset: source}}]
- match: [{sourceNamespace: shop}]
  route: [{destination: {host: reviews, subset: namespace}}]
- match: [{gateways: [default/my-gateway], uri: {prefix: /}}]
  route: [{destination: {host: reviews, subset: gateway}}]
- match: [{port: 9080, sourceLabels: {app: productpage}, uri: {prefix: /}}]
  route: [{destination: {host: reviews, subset: here}}]
- route: [{destination: {host: reviews, subset: unreachable}}]
`);
  const routes = routesOf(yaml);
  assert.equal(whereGoes(routes, { host: "reviews" }), reviews("here"));
  const host = routes.virtualHosts.find(({ name }) => name.startsWith("reviews"));
  assert.equal(host?.routes.length, 1);
});

test("rewrites, timeout and retries reach the route", () => {
  const routes = routesOf(
    virtualService(`
- match: [{uri: {prefix: /old}}]
  rewrite: {uri: /new, authority: example.com}
  timeout: 1.5s
  retries: {attempts: 4, perTryTimeout: 200ms, retryOn: "5xx,503", backoff: 10ms}
  route: [{destination: {host: reviews}}]
- match: [{uri: {prefix: /regex}}]
  rewrite: {uriRegexRewrite: {match: "^/regex/(.*)$", rewrite: '/\\1'}}
  retries: {attempts: 0}
  route: [{destination: {host: reviews}}]
`),
  );
  const old = actionOf(routes, { path: "/old" });
  assert.equal(old.prefixRewrite, "/new");
  assert.deepEqual(old.hostRewriteSpecifier, { case: "hostRewriteLiteral", value: "example.com" });
  assert.deepEqual([old.timeout?.seconds, old.timeout?.nanos], [1n, 500_000_000]);
  assert.equal(old.retryPolicy?.retryOn, "5xx,retriable-status-codes");
  assert.deepEqual(old.retryPolicy?.retriableStatusCodes, [503]);
  assert.equal(old.retryPolicy?.perTryTimeout?.nanos, 200_000_000);
  assert.equal(old.retryPolicy?.retryBackOff?.baseInterval?.nanos, 10_000_000);
  const regex = actionOf(routes, { path: "/regex" });
  assert.equal(regex.regexRewrite?.pattern?.regex, "^/regex/(.*)$");
  assert.equal(regex.retryPolicy, undefined);
});

test("redirects and direct answers need no destination", () => {
  const routes = routesOf(
    virtualService(`
- match: [{uri: {prefix: /moved}}]
  redirect: {uri: /there, authority: example.com, scheme: https, port: 443, redirectCode: 308}
- match: [{uri: {prefix: /teapot}}]
  directResponse: {status: 418, body: {string: short and stout}}
`),
  );
  const moved = routeOf(routes, { path: "/moved" }).action;
  assert.ok(moved.case === "redirect");
  assert.equal(moved.value.responseCode, 4);
  assert.equal(moved.value.portRedirect, 0);
  assert.deepEqual(moved.value.pathRewriteSpecifier, { case: "pathRedirect", value: "/there" });
  const teapot = routeOf(routes, { path: "/teapot" }).action;
  assert.ok(teapot.case === "directResponse");
  assert.deepEqual(teapot.value.body?.specifier, { case: "inlineString", value: "short and stout" });
  assert.equal(whereGoes(routes, { host: "reviews", path: "/else" }), "no route");
});

test("header operations: set before add, sorted, Host as a rewrite", () => {
  const action = routesOf(
    virtualService(`
- headers:
    request: {set: {x-b: "1", x-a: "2", host: other.example.com}, add: {x-c: "3"}, remove: [x-d]}
    response: {remove: [server]}
  route: [{destination: {host: reviews}, headers: {request: {add: {x-e: "4"}}}}]
`),
  );
  const route = routeOf(action);
  assert.deepEqual(
    route.requestHeadersToAdd.map(({ header, appendAction }) => `${header?.key}=${header?.value} ${appendAction}`),
    ["x-a=2 2", "x-b=1 2", "x-c=3 0", "x-e=4 0"],
  );
  assert.deepEqual(route.requestHeadersToRemove, ["x-d"]);
  assert.deepEqual(route.responseHeadersToRemove, ["server"]);
  assert.deepEqual(actionOf(action).hostRewriteSpecifier, { case: "hostRewriteLiteral", value: "other.example.com" });
});

test("a destination without weight is left out beside others; mirrors, faults and CORS become Envoy's", () => {
  const routes = routesOf(
    virtualService(`
- fault: {delay: {fixedDelay: 7s, percentage: {value: 100}}, abort: {httpStatus: 500, percentage: {value: 0.1}}}
  mirror: {host: ratings}
  mirrorPercentage: {value: 50}
  corsPolicy: {allowOrigins: [{exact: "https://example.com"}], allowMethods: [GET, POST], maxAge: 24h}
  route:
  - {destination: {host: reviews, subset: v1}, weight: 100}
  - {destination: {host: reviews, subset: v2}, weight: 0}
`),
  );
  assert.equal(whereGoes(routes, { host: "reviews" }), `100:${reviews("v1")}`);
  const [mirror] = actionOf(routes).requestMirrorPolicies;
  assert.equal(mirror?.cluster, "outbound|9080||ratings.default.svc.cluster.local");
  assert.equal(mirror?.runtimeFraction?.defaultValue?.numerator, 500_000);
  assert.deepEqual(Object.keys(routeOf(routes).typedPerFilterConfig).sort(), [
    "envoy.filters.http.cors",
    "envoy.filters.http.fault",
  ]);
});

test("a route to a service that does not exist names the cluster that is not there", () => {
  const routes = routesOf(virtualService("- route: [{destination: {host: nobody, subset: v9}}]"));
  assert.equal(whereGoes(routes, { host: "reviews" }), "outbound|9080|v9|nobody.default.svc.cluster.local");
});

test("of two VirtualServices for a host the older one speaks, and a more specific host before a wildcard", () => {
  const older = virtualService(
    "- route: [{destination: {host: ratings}}]",
    "older",
    "[reviews]",
    "2026-01-01T00:00:00Z",
  );
  const newer = virtualService(
    "- route: [{destination: {host: details}}]",
    "newer",
    "[reviews]",
    "2026-01-03T00:00:00Z",
  );
  const wide = virtualService(
    "- route: [{destination: {host: productpage}}]",
    "wide",
    '["*.default.svc.cluster.local"]',
    "2025-01-01T00:00:00Z",
  );
  const routes = routesOf([newer, older, wide].join("---"));
  const to = (name: string): string => `outbound|9080||${name}.default.svc.cluster.local`;
  assert.equal(whereGoes(routes, { host: "reviews" }), to("ratings"));
  assert.equal(whereGoes(routes, { host: "details" }), to("productpage"));
});

test("a host that no service carries is served on port 80", () => {
  const routes = routesOf(
    virtualService("- route: [{destination: {host: reviews, port: {number: 9080}}}]", "web", "[web.example.com]"),
    "80",
  );
  assert.equal(whereGoes(routes, { host: "web.example.com:80" }), reviews());
});

test("a route says where it was written", () => {
  const annotation = JSON.stringify({
    file: "vs.yaml",
    line: 1,
    column: 1,
    fields: { "spec.http[0]": [8, 5], "spec.http[1]": [15, 5] },
  });
  const [object] = fromYaml(
    virtualService(
      "- match: [{uri: {prefix: /a}}]\n  route: [{destination: {host: reviews}}]\n- route: [{destination: {host: ratings}}]",
    ),
  );
  assert.ok(object);
  const annotated = {
    ...object,
    metadata: { ...object.metadata, annotations: { "outrigger.dev/source": annotation } },
  };
  const routes = compileRoutes(mesh([...bookinfo, annotated]), client, ["9080"]).get("9080") ?? assert.fail();
  const line = (path: string): number | undefined =>
    decodeProvenance(routeOf(routes, { path }).metadata?.filterMetadata).origins[0]?.line;
  assert.equal(line("/a"), 8);
  assert.equal(line("/b"), 15);
  assert.equal(
    routeOf(routes, { path: "/a" }).metadata?.filterMetadata["istio"]?.["config"],
    "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews",
  );
});

test("consistent hashing of a rule is done by the route, and retries stay on the host", () => {
  const action = actionOf(
    routesOf(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}
`),
  );
  const [policy] = action.hashPolicy;
  assert.equal(policy?.policySpecifier.case, "header");
  assert.deepEqual(action.retryPolicy?.retryHostPredicate, []);
});

test("on port 80 a VirtualService may take a name that a service has beside its own", () => {
  const yaml = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.70, ports: [{name: http, port: 80}], selector: {app: web}}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: default}
spec: {type: ExternalName, externalName: web.default.svc.cluster.local}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: alias, namespace: default}
spec:
  hosts: [alias.default.svc.cluster.local, 10.96.0.70]
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
`;
  const routes = routesOf(yaml, "80");
  const elsewhere = "outbound|9080||reviews.default.svc.cluster.local";
  const own = "outbound|80||web.default.svc.cluster.local";
  assert.equal(whereGoes(routes, { host: "alias.default.svc.cluster.local" }), elsewhere);
  assert.equal(whereGoes(routes, { host: "10.96.0.70" }), elsewhere);
  assert.equal(whereGoes(routes, { host: "alias.default" }), own);
  assert.equal(whereGoes(routes, { host: "web" }), own);
});
