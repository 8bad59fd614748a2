// What routes, filters and the connection manager make of requests and responses.
import assert from "node:assert/strict";
import type { IncomingHttpHeaders } from "node:http";
import { after, before, test } from "node:test";
import type { ForwardAction, HeaderMutation, HttpFilterConfig, RedirectAction, RouteEntry } from "../config/http.ts";
import type { RbacPolicy } from "../config/rbac.ts";
import { routeConfig as decodedRoutes } from "../config/testing/resources.ts";
import {
  chain,
  clientAddress,
  clusterOn,
  dataPath,
  filterConfig,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeConfig,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { ask, until } from "./testing/requests.ts";

let server: Awaited<ReturnType<typeof httpServer>>;
let seen: { url: string; headers: IncomingHttpHeaders };
before(async () => {
  server = await httpServer((req, res) => {
    seen = { url: req.url ?? "", headers: req.headers };
    res.setHeader("x-from-app", "1");
    res.setHeader("x-envoy-peer-metadata", "c2VydmVy");
    res.setHeader("x-envoy-peer-metadata-id", "server-id");
    res.end("app");
  });
});
after(() => server.stop());

async function routed(
  routes: readonly RouteEntry[],
  manager: Parameters<typeof managerConfig>[1] = {},
  options: Parameters<typeof dataPath>[0] = {},
  direction: 1 | 2 = 1,
): Promise<TestDataPath> {
  const path = dataPath(options);
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig(routes, manager))])], { direction }));
  return path;
}

const set = (name: string, value: string, operation: HeaderMutation["operation"] = "set"): HeaderMutation => ({
  name,
  value,
  operation,
});

test("prefix, regex and host rewrites reach the upstream and the original path is kept for it", async () => {
  const rewrite = (overrides: Partial<ForwardAction>): ReturnType<typeof forward> => forward("app", overrides);
  const path = await routed([
    routeEntry("/old", rewrite({ prefixRewrite: { matched: "/old", replacement: "/new" } })),
    routeEntry("/cut", rewrite({ prefixRewrite: { matched: "/cut/", replacement: "/" } })),
    routeEntry(
      "/re",
      rewrite({
        regexRewrite: (text) => text.replace("/re", "/regex"),
        hostRewrite: { type: "literal", value: "other.example" },
      }),
    ),
  ]);
  await ask(path, "/old/x?q=/old");
  assert.equal(seen.url, "/new/x?q=/old");
  assert.equal(seen.headers["x-envoy-original-path"], "/old/x?q=/old");
  assert.equal(path.logs[0]?.["originalPath"], "/old/x?q=/old");
  await ask(path, "/cut/x");
  assert.equal(seen.url, "/x");
  await ask(path, "/re/x?/re");
  assert.equal(seen.url, "/regex/x?/re");
  assert.equal(seen.headers.host, "other.example");
  path.stop();
});

test("redirects build their location from what they replace", async () => {
  const none: RedirectAction = {
    status: 301,
    scheme: null,
    host: null,
    port: null,
    path: null,
    prefixRewrite: null,
    regexRewrite: null,
    stripQuery: false,
  };
  const redirect = (prefix: string, overrides: Partial<RedirectAction>): RouteEntry =>
    routeEntry(prefix, { type: "redirect", redirect: { ...none, ...overrides } });
  const path = await routed([
    redirect("/tls", { scheme: "https" }),
    redirect("/host", { host: "h.example", status: 308 }),
    redirect("/path", { path: "/elsewhere" }),
    redirect("/pre", { prefixRewrite: "/post", stripQuery: true }),
    redirect("/port", { port: 8443, scheme: "https" }),
  ]);
  const locate = async (target: string): Promise<unknown> =>
    (await ask(path, target, { headers: { host: "a.example:8080" } })).headers["location"];
  assert.equal(await locate("/tls?x"), "https://a.example:8080/tls?x");
  const implied = await ask(path, "/tls", { headers: { host: "a.example:80" } });
  assert.equal(implied.headers["location"], "https://a.example/tls");
  assert.equal(await locate("/host"), "http://h.example/host");
  assert.equal(await locate("/path?x"), "http://a.example:8080/elsewhere?x");
  assert.equal(await locate("/pre/1?x"), "http://a.example:8080/post/1");
  assert.equal(await locate("/port"), "https://a.example:8443/port");
  assert.equal((await ask(path, "/host")).status, 308);
  path.stop();
});

test("one of several destinations rewrites the host, and a host that requires TLS redirects plaintext", async () => {
  const decoded = (yaml: string): readonly RouteEntry[] =>
    decodedRoutes(`{ name: r, virtual_hosts: [{ name: h, domains: ["*"], ${yaml} }] }`).virtualHosts[0]?.routes ?? [];
  const weighted = await routed([
    ...decoded(`routes: [{ match: { prefix: / }, route: { host_rewrite_literal: route.example, weighted_clusters: {
      clusters: [{ name: app, weight: 1, host_rewrite_literal: 100%.example }, { name: other, weight: 0 }] } } }]`),
  ]);
  assert.equal((await ask(weighted, "/")).status, 200);
  assert.equal(seen.headers["host"], "100%.example");
  weighted.stop();
  const secure = await routed([
    ...decoded("require_tls: ALL, routes: [{ match: { prefix: / }, route: { cluster: app } }]"),
  ]);
  const answer = await ask(secure, "/x?y", { headers: { host: "a.example:8080" } });
  assert.deepEqual([answer.status, answer.headers["location"]], [301, "https://a.example:8080/x?y"]);
  secure.stop();
});

test("header operations run from the most specific owner to the least, with command operators", async () => {
  const route = routeEntry("/", forward("app"), {
    headers: {
      request: [
        set("x-who", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
        set("x-copy", "<%REQ(x-absent?user-agent):4%>"),
        set("x-percent", "100%%"),
        set("x-drop", "", "remove"),
        set("x-once", "no", "add_if_absent"),
        set("x-twice", "b", "append"),
      ],
      response: [set("x-from-app", "", "remove"), set("x-route", "%ROUTE_NAME%")],
    },
  });
  const config = routeConfig([route], {
    headers: { request: [set("x-twice", "c", "append")], response: [set("x-route", "host", "append")] },
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig(config))])]));
  const headers = { "user-agent": "tester", "x-drop": "1", "x-once": "yes", "x-twice": "a" };
  const answer = await ask(path, "/", { headers });
  assert.equal(seen.headers["x-who"], "127.0.0.1");
  assert.equal(seen.headers["x-copy"], "<test>");
  assert.equal(seen.headers["x-percent"], "100%");
  assert.equal(seen.headers["x-drop"], undefined);
  assert.equal(seen.headers["x-once"], "yes");
  assert.equal(seen.headers["x-twice"], "a, b, c");
  assert.equal(answer.headers["x-from-app"], undefined);
  assert.equal(answer.headers["x-route"], "default, host");
  path.stop();
});

test("an edge proxy believes nothing that a client says about itself", async () => {
  const forged = {
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-proto": "https",
    "x-forwarded-client-cert": "By=forged",
    "x-request-id": "forged",
    "x-envoy-internal": "true",
    "x-envoy-original-path": "/forged",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-retry-on": "5xx",
    "x-envoy-external-address": "6.6.6.6",
  };
  const path = await routed([routeEntry("/", forward("app"))], {
    client: clientAddress({ useRemoteAddress: true }),
    forwardClientCert: "sanitize_set",
  });
  await ask(path, "/", { headers: forged });
  assert.equal(seen.headers["x-forwarded-for"], "6.6.6.6,127.0.0.1");
  assert.equal(seen.headers["x-envoy-external-address"], "127.0.0.1");
  assert.equal(seen.headers["x-forwarded-proto"], "http");
  assert.notEqual(seen.headers["x-request-id"], "forged");
  for (const name of [
    "x-forwarded-client-cert",
    "x-envoy-internal",
    "x-envoy-original-path",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-timeout-ms",
  ]) {
    assert.equal(seen.headers[name], undefined, name);
  }
  path.stop();
});

test("a sidecar keeps forwarding headers and the request id of the mesh", async () => {
  const path = await routed([routeEntry("/", forward("app"))]);
  await ask(path, "/", {
    headers: {
      "x-forwarded-for": "1.2.3.4",
      "x-request-id": "kept",
      "x-forwarded-proto": "https",
      "x-envoy-original-path": "/before/the/rewrite",
    },
  });
  assert.equal(seen.headers["x-envoy-original-path"], "/before/the/rewrite");
  assert.equal(seen.headers["x-forwarded-for"], "1.2.3.4");
  assert.equal(seen.headers["x-request-id"], "kept");
  assert.equal(seen.headers["x-forwarded-proto"], "https");
  path.stop();
});

test("RBAC answers 403 with the policy's name, and the log says who and which condition was nearest", async () => {
  const policy = (name: string, matches: RbacPolicy["matches"]): RbacPolicy => ({
    name,
    matches,
    conditions: [{ description: `path is "/allowed"`, matches }],
    origin: { kind: "AuthorizationPolicy", namespace: "default", name, file: "policy.yaml", line: 3 },
  });
  const filters = (action: "allow" | "deny"): HttpFilterConfig[] => [
    filterConfig("rbac", {
      rules: { action, policies: [policy("p", (subject) => subject.path === "/allowed")] },
      shadowRules: null,
    }),
    filterConfig("router", {}),
  ];
  const allow = await routed([routeEntry("/", forward("app"))], { httpFilters: filters("allow") });
  assert.equal((await ask(allow, "/allowed?x=1")).status, 200);
  assert.equal((await ask(allow, "/x/../allowed")).status, 200);
  const denied = await ask(allow, "/other");
  assert.equal(denied.status, 403);
  assert.equal(denied.body, "RBAC: access denied");
  assert.equal(allow.logs.at(-1)?.["responseCodeDetails"], "rbac_access_denied_matched_policy[none]");
  assert.match(
    String(allow.logs.at(-1)?.["cause"]),
    /nearest is p, which needs path is "\/allowed" \(AuthorizationPolicy default\/p \(policy\.yaml:3\)\)/,
  );
  allow.stop();
  const deny = await routed([routeEntry("/", forward("app"))], { httpFilters: filters("deny") });
  assert.equal((await ask(deny, "/allowed")).status, 403);
  assert.equal(deny.logs.at(-1)?.["responseCodeDetails"], "rbac_access_denied_matched_policy[p]");
  // A body in flight does not keep the refusal from being read.
  const upload = await ask(
    deny,
    "/allowed",
    { method: "POST", headers: { "content-length": 20_000 } },
    "x".repeat(20_000),
  );
  assert.equal(upload.status, 403);
  deny.stop();
});

test("peer metadata is taken off for the application and exchanged between proxies", async () => {
  const exchange = (upstream: boolean, downstream: boolean): HttpFilterConfig[] => [
    filterConfig("peer_metadata", { upstreamPropagation: upstream, downstreamPropagation: downstream }),
    filterConfig("istio_stats", {}),
    filterConfig("router", {}),
  ];
  const own = { ownPeerMetadata: { id: "our-id", value: "b3Vy" } };
  const sent = { "x-envoy-peer-metadata": "Y2xpZW50", "x-envoy-peer-metadata-id": "client-id" };
  const inbound = await routed([routeEntry("/", forward("app"))], { httpFilters: exchange(false, true) }, own, 1);
  const answer = await ask(inbound, "/", { headers: sent });
  assert.equal(seen.headers["x-envoy-peer-metadata"], undefined);
  assert.equal(answer.headers["x-envoy-peer-metadata"], "b3Vy");
  await until(() => inbound.requests.length === 1);
  assert.equal(inbound.requests[0]?.downstreamPeerMetadata, "Y2xpZW50");
  inbound.stop();
  const outbound = await routed([routeEntry("/", forward("app"))], { httpFilters: exchange(true, false) }, own, 2);
  const plain = await ask(outbound, "/");
  assert.equal(seen.headers["x-envoy-peer-metadata-id"], "our-id");
  assert.equal(plain.headers["x-envoy-peer-metadata"], undefined);
  assert.equal(outbound.requests[0]?.upstreamPeerMetadataId, "server-id");
  outbound.stop();
});

test("a gRPC caller gets its refusal as a gRPC status", async () => {
  const path = await routed([routeEntry("/", forward("nowhere"))]);
  const answer = await ask(path, "/pkg.Service/Call", {
    method: "POST",
    headers: { "content-type": "application/grpc" },
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["grpc-status"], "14");
  path.stop();
});
