import assert from "node:assert/strict";
import { test } from "node:test";
import { routeConfig } from "../config/testing/resources.ts";
import { newTrace } from "../config/trace.ts";
import { type RouteRequest, selectRoute, withoutPathParameters } from "./route.ts";

const request = (authority: string, path = "/", headers: Record<string, string> = {}): RouteRequest => ({
  authority,
  path,
  metadata: () => undefined,
  share: ({ fraction }) => fraction,
  clientCertificate: "none",
  header: (name) => ({ ":path": path, ":method": "GET", ":authority": authority, ...headers })[name],
});

const config = routeConfig(`
name: "9080"
ignore_port_in_host_matching: true
virtual_hosts:
- name: reviews
  domains: [reviews, reviews.default.svc.cluster.local, 10.96.0.7, "[fd00::7]"]
  routes:
  - name: jason
    match: { prefix: /, headers: [{ name: End-User, string_match: { exact: jason } }] }
    route: { cluster: v2 }
    metadata:
      filter_metadata:
        outrigger: { origins: [{ kind: VirtualService, namespace: default, name: reviews, file: vs.yaml, line: 7 }] }
  - name: split
    match: { prefix: / }
    route:
      weighted_clusters: { clusters: [{ name: v1, weight: 90 }, { name: v3, weight: 10 }] }
- name: paths
  domains: ["*.paths.com"]
  routes:
  - { name: exact, match: { path: /exact }, route: { cluster: c } }
  - { name: separated, match: { path_separated_prefix: /api }, route: { cluster: c } }
  - { name: regex, match: { safe_regex: { regex: "/v[0-9]+/x" } }, route: { cluster: c } }
  - { name: anycase, match: { prefix: /Any, case_sensitive: false }, route: { cluster: c } }
  - name: query
    match: { prefix: /q, query_parameters: [{ name: debug, string_match: { exact: "a b" } }, { name: on, present_match: true }] }
    route: { cluster: c }
  - { name: method, match: { prefix: /m, headers: [{ name: ":method", string_match: { exact: GET } }] }, route: { cluster: c } }
  - { name: grpc, match: { prefix: /g, grpc: {} }, route: { cluster: c } }
  - { name: without, match: { prefix: /w, headers: [{ name: x, string_match: { exact: bad }, invert_match: true, treat_missing_header_as_empty: true }] }, route: { cluster: c } }
  - { name: old, match: { prefix: /old }, redirect: { path_redirect: /new, response_code: FOUND } }
  - { name: teapot, match: { prefix: /tea }, direct_response: { status: 418, body: { inline_string: short and stout } } }
`);

const chosen = (authority: string, path?: string, headers?: Record<string, string>, random = 0): string =>
  selectRoute(config, request(authority, path, headers), random, null)?.route.name ?? "none";

const p = "www.paths.com";
const cases: readonly [string, string, string][] = [
  ["authority with port", chosen("reviews:9080"), "split"],
  ["authority in capitals", chosen("REVIEWS"), "split"],
  ["IPv6 authority with port", chosen("[fd00::7]:9080"), "split"],
  ["IPv4 authority with port", chosen("10.96.0.7:9080"), "split"],
  ["header match wins by order", chosen("reviews", "/", { "end-user": "jason" }), "jason"],
  ["header match is exact", chosen("reviews", "/", { "end-user": "jason2" }), "split"],
  ["unknown authority", chosen("details"), "none"],
  ["exact path", chosen(p, "/exact"), "exact"],
  ["exact path with query", chosen(p, "/exact?a=b"), "exact"],
  ["exact path is not a prefix", chosen(p, "/exactly"), "none"],
  ["separated prefix itself", chosen(p, "/api"), "separated"],
  ["separated prefix below", chosen(p, "/api/x"), "separated"],
  ["separated prefix ends at a slash", chosen(p, "/apix"), "none"],
  ["regex matches the whole path without query", chosen(p, "/v12/x?y"), "regex"],
  ["regex is anchored", chosen(p, "/a/v12/x"), "none"],
  ["prefix in any case", chosen(p, "/aNYthing"), "anycase"],
  ["query parameters decoded", chosen(p, "/q?debug=a%20b&on"), "query"],
  ["query parameter missing", chosen(p, "/q?debug=a%20b"), "none"],
  ["method", chosen(p, "/m"), "method"],
  ["gRPC by content type", chosen(p, "/g", { "content-type": "application/grpc+proto" }), "grpc"],
  ["not gRPC", chosen(p, "/g", { "content-type": "application/grpc-web" }), "none"],
  ["inverted match takes a missing header as empty", chosen(p, "/w"), "without"],
  ["inverted match refuses the value", chosen(p, "/w", { x: "bad" }), "none"],
];

for (const [name, actual, expected] of cases) {
  test(`route match: ${name}`, () => assert.equal(actual, expected));
}

test("the draw falls into weights in their order", () => {
  const cluster = (random: number) => selectRoute(config, request("reviews"), random, null)?.cluster?.name;
  assert.deepEqual([0, 0.5, 0.8999, 0.9, 0.9999].map(cluster), ["v1", "v1", "v1", "v3", "v3"]);
});

test("a redirect and a direct response have no cluster", () => {
  const redirect = selectRoute(config, request(p, "/old"), 0, null);
  assert.equal(redirect?.cluster, null);
  assert.equal(redirect?.route.action.type === "redirect" && redirect.route.action.redirect.status, 302);
  const answer = selectRoute(config, request(p, "/tea"), 0, null)?.route.action;
  assert.deepEqual(answer, { type: "direct_response", status: 418, body: "short and stout" });
});

test("a trace leads from the decision to file and line", () => {
  const trace = newTrace();
  selectRoute(config, request("reviews", "/", { "end-user": "jason" }), 0, trace);
  const step = trace.steps.find((it) => it.what === "route");
  assert.match(step?.decision ?? "", /route jason \(prefix "\/" and header end-user exact "jason"\) is the first/);
  assert.equal(step?.origins[0]?.file, "vs.yaml");
  assert.equal(step?.origins[0]?.line, 7);
});

test("a trace names the virtual host whose routes all failed", () => {
  const trace = newTrace();
  assert.equal(selectRoute(config, request(p, "/nowhere"), 0, trace), null);
  assert.match(trace.steps[0]?.decision ?? "", /none of paths matches \/nowhere: 404/);
});

test("a virtual host that requires TLS redirects what came without, whatever its routes say", () => {
  const secure = routeConfig(`
name: http.8080
virtual_hosts:
- name: secure
  domains: ["*"]
  require_tls: ALL
  routes: [{ name: app, match: { prefix: / }, route: { cluster: app } }]
`);
  const byScheme = (scheme: string) => selectRoute(secure, request("a.example", "/x", { ":scheme": scheme }), 0, null);
  const action = byScheme("http")?.route.action;
  assert.deepEqual(action?.type === "redirect" && [action.redirect.status, action.redirect.scheme], [301, "https"]);
  assert.equal(byScheme("https")?.route.name, "app");
});

test("path parameters are cut off every segment", () => {
  assert.equal(withoutPathParameters("/a;x=1/b;y;z/c?d;e"), "/a/b/c?d;e");
  assert.equal(withoutPathParameters("/a/b"), "/a/b");
});
