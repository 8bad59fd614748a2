import assert from "node:assert/strict";
import { test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { StatefulSessionPerRouteSchema } from "#wire/gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.ts";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { CookieBasedSessionStateSchema } from "#wire/gen/envoy/extensions/http/stateful_session/cookie/v3/cookie_pb.ts";
import { HeaderBasedSessionStateSchema } from "#wire/gen/envoy/extensions/http/stateful_session/header/v3/header_pb.ts";
import {
  type Asked,
  compiled,
  decide,
  gatewayMesh,
  httpRoute,
  originOf,
  outcome,
  webGateway,
} from "./testing/gateway-mesh.ts";

function routesOf(...documents: string[]) {
  return compiled(gatewayMesh(webGateway, ...documents)).routes.get("http.80");
}

const to = (name: string): string => `backendRefs: [{name: ${name}, port: 80}]`;
const at = "parentRefs: [{name: web}]";

/** Rules of one route → requests → what becomes of each. */
function cases(title: string, rules: string, expected: readonly (readonly [Asked, string])[]): void {
  test(title, () => {
    const routes = routesOf(httpRoute("r", `${at}\nrules:\n${rules.trim()}`));
    for (const [asked, answer] of expected) assert.equal(outcome(routes, asked), answer, JSON.stringify(asked));
  });
}

cases("a rule without matches takes everything", `- ${to("a")}`, [
  [{ path: "/" }, "a /"],
  [{ path: "/x?y=1", method: "POST" }, "a /x?y=1"],
]);

cases(
  "prefixes are of whole segments, and a slash at the end means nothing",
  `
- {matches: [{path: {value: /foo}}], ${to("a")}}
- {matches: [{path: {type: PathPrefix, value: /bar/}}], ${to("b")}}
`,
  [
    [{ path: "/foo" }, "a /foo"],
    [{ path: "/foo/" }, "a /foo/"],
    [{ path: "/foo/x?q" }, "a /foo/x?q"],
    [{ path: "/foobar" }, "404"],
    [{ path: "/bar" }, "b /bar"],
    [{ path: "/bar/x" }, "b /bar/x"],
    [{ path: "/" }, "404"],
  ],
);

cases(
  "exact before the longest prefix before regular expressions, whatever the order of the rules",
  `
- {matches: [{path: {type: RegularExpression, value: "/a.*"}}], ${to("c")}}
- {matches: [{path: {value: /a}}], ${to("a")}}
- {matches: [{path: {value: /a/long}}], ${to("b")}}
- {matches: [{path: {type: Exact, value: /a/long}}], ${to("c")}}
`,
  [
    [{ path: "/a" }, "a /a"],
    [{ path: "/a/long/x" }, "b /a/long/x"],
    [{ path: "/a/long" }, "c /a/long"],
    [{ path: "/ab" }, "c /ab"],
  ],
);

cases(
  "of equal paths a method comes first, then more headers, then more query parameters, then the earlier rule",
  `
- {matches: [{path: {value: /a}}], ${to("a")}}
- {matches: [{path: {value: /a}, queryParams: [{name: q, value: "1"}]}], ${to("b")}}
- {matches: [{path: {value: /a}, headers: [{name: x, value: "1"}]}], ${to("c")}}
- {matches: [{path: {value: /a}, headers: [{name: x, value: "1"}, {name: z, value: "1"}]}], ${to("b")}}
- {matches: [{path: {value: /a}, method: PUT}], ${to("c")}}
- {matches: [{path: {value: /a}}], ${to("c")}}
`,
  [
    [{ path: "/a" }, "a /a"],
    [{ path: "/a?q=1" }, "b /a?q=1"],
    [{ path: "/a?q=1", headers: { x: "1" } }, "c /a?q=1"],
    [{ path: "/a", headers: { x: "1", z: "1" } }, "b /a"],
    [{ path: "/a", headers: { x: "1", z: "1" }, method: "PUT" }, "c /a"],
  ],
);

cases(
  "headers and query parameters match exactly or by regular expression, and a rule's matches are alternatives",
  `
- matches:
  - {headers: [{name: Version, value: two}], queryParams: [{name: animal, value: whale}]}
  - {headers: [{name: color, type: RegularExpression, value: "(blue|green)"}]}
  - {queryParams: [{name: number, type: RegularExpression, value: "[0-9]+"}]}
  ${to("b")}
- ${to("a")}
`,
  [
    [{ path: "/?animal=whale", headers: { version: "two" } }, "b /?animal=whale"],
    [{ path: "/?animal=whale", headers: { version: "twos" } }, "a /?animal=whale"],
    [{ headers: { version: "two" } }, "a /"],
    [{ headers: { color: "green" } }, "b /"],
    [{ headers: { color: "greenish" } }, "a /"],
    [{ path: "/?number=12" }, "b /?number=12"],
    [{ path: "/?number=x" }, "a /?number=x"],
  ],
);

const redirect = (settings: string): string => `filters: [{type: RequestRedirect, requestRedirect: ${settings}}]`;

cases(
  "redirects: scheme, host, port, whole path and prefix",
  `
- {matches: [{path: {value: /scheme}}], ${redirect("{scheme: https, statusCode: 301}")}}
- {matches: [{path: {value: /host}}], ${redirect("{hostname: example.org}")}}
- {matches: [{path: {value: /port}}], ${redirect("{port: 8080}")}}
- {matches: [{path: {value: /full}}], ${redirect("{path: {type: ReplaceFullPath, replaceFullPath: /whole}}")}}
- {matches: [{path: {value: /old}}], ${redirect("{path: {type: ReplacePrefixMatch, replacePrefixMatch: /new/}, statusCode: 308}")}}
- {matches: [{path: {value: /gone}}], ${redirect("{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}")}}
`,
  [
    [{ path: "/scheme/x" }, "redirect 301 https://shop.example.com/scheme/x"],
    [{ path: "/host" }, "redirect 302 http://example.org/host"],
    [{ path: "/port" }, "redirect 302 http://shop.example.com:8080/port"],
    [{ path: "/full/x?q=1" }, "redirect 302 http://shop.example.com/whole?q=1"],
    [{ path: "/old/x" }, "redirect 308 http://shop.example.com/new/x"],
    [{ path: "/old" }, "redirect 308 http://shop.example.com/new"],
    [{ path: "/gone/x" }, "redirect 302 http://shop.example.com/x"],
    [{ path: "/gone" }, "redirect 302 http://shop.example.com/"],
  ],
);

const rewrite = (settings: string): string => `filters: [{type: URLRewrite, urlRewrite: ${settings}}], ${to("a")}`;

cases(
  "rewrites: host, whole path, and prefix as the API's table has them",
  `
- {matches: [{path: {value: /host}}], ${rewrite("{hostname: in.example}")}}
- {matches: [{path: {value: /full}}], ${rewrite("{path: {type: ReplaceFullPath, replaceFullPath: /one}}")}}
- {matches: [{path: {value: /foo}}], ${rewrite("{path: {type: ReplacePrefixMatch, replacePrefixMatch: /xyz/}}")}}
- {matches: [{path: {value: /strip.it}}], ${rewrite("{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}")}}
- {matches: [{path: {value: /none}}], ${rewrite('{path: {type: ReplacePrefixMatch, replacePrefixMatch: ""}}')}}
- {matches: [{path: {value: /}}], ${rewrite("{path: {type: ReplacePrefixMatch, replacePrefixMatch: /all}}")}}
`,
  [
    [{ path: "/host" }, "a /host as in.example"],
    [{ path: "/full/x?q=1" }, "a /one?q=1"],
    [{ path: "/foo/bar" }, "a /xyz/bar"],
    [{ path: "/foo" }, "a /xyz"],
    [{ path: "/foo/" }, "a /xyz/"],
    [{ path: "/strip.it/x" }, "a /x"],
    [{ path: "/strip.it" }, "a /"],
    [{ path: "/none/x" }, "a /x"],
    [{ path: "/none/" }, "a /"],
    [{ path: "/other?q" }, "a /all/other?q"],
  ],
);

cases(
  "weights share the requests, 0 takes none, and what is not there answers 500 for its share",
  `
- {matches: [{path: {value: /split}}], backendRefs: [{name: a, port: 80, weight: 30}, {name: b, port: 80, weight: 70}, {name: c, port: 80, weight: 0}]}
- {matches: [{path: {value: /half}}], backendRefs: [{name: a, port: 80}, {name: gone, port: 80}]}
- {matches: [{path: {value: /zero}}], backendRefs: [{name: a, port: 80, weight: 0}]}
- {matches: [{path: {value: /gone}}], backendRefs: [{name: gone, port: 80}]}
- {matches: [{path: {value: /port}}], backendRefs: [{name: a, port: 81}]}
- {matches: [{path: {value: /kind}}], backendRefs: [{kind: ConfigMap, name: a}]}
- {matches: [{path: {value: /none}}]}
`,
  [
    [{ path: "/split", random: 0.29 }, "a /split"],
    [{ path: "/split", random: 0.31 }, "b /split"],
    [{ path: "/split", random: 0.999 }, "b /split"],
    [{ path: "/half", random: 0.1 }, "a /half"],
    [{ path: "/half", random: 0.9 }, "UnknownService 500 /half"],
    [{ path: "/zero" }, "answers 500"],
    [{ path: "/gone" }, "UnknownService 500 /gone"],
    [{ path: "/port" }, "UnknownService 500 /port"],
    [{ path: "/kind" }, "UnknownService 500 /kind"],
    [{ path: "/none" }, "answers 500"],
  ],
);

cases(
  "a filter that is not there answers 500 for its rule only",
  `
- {matches: [{path: {value: /x}}], filters: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Auth, name: a}}], ${to("a")}}
- ${to("a")}
`,
  [
    [{ path: "/x" }, "answers 500"],
    [{ path: "/y" }, "a /y"],
  ],
);

test("hostnames choose the routes, and those that the listener has not are left out", () => {
  const gateway = webGateway.replace("protocol: HTTP,", 'protocol: HTTP, hostname: "*.example.com",');
  const routes = compiled(
    gatewayMesh(
      gateway,
      httpRoute("exact", `${at}\nhostnames: [shop.example.com, shop.example.net]\nrules: [{${to("a")}}]`),
      httpRoute("wild", `${at}\nhostnames: ["*.in.example.com"]\nrules: [{${to("b")}}]`),
      httpRoute("any", `${at}\nrules: [{${to("c")}}]`),
    ),
  ).routes.get("http.80");
  assert.equal(outcome(routes, { host: "shop.example.com" }), "a /");
  assert.equal(outcome(routes, { host: "x.in.example.com:8080" }), "b /");
  assert.equal(outcome(routes, { host: "other.example.com" }), "c /");
  assert.equal(outcome(routes, { host: "shop.example.net" }), "404");
});

test("rules of all routes for a host are ordered together; of equal ones the older route's, then by name", () => {
  const route = (name: string, created: string, path: string): string =>
    httpRoute(
      name,
      `${at}\nhostnames: [shop.example.com]\nrules: [{matches: [{path: {value: ${path}}}], ${to(name)}}]`,
      `, creationTimestamp: "2026-01-0${created}T00:00:00Z"`,
    );
  const routes = routesOf(route("a", "2", "/x"), route("b", "1", "/x"), route("c", "3", "/x/long"));
  assert.equal(outcome(routes, { path: "/x" }), "b /x");
  assert.equal(outcome(routes, { path: "/x/long" }), "c /x/long");
  assert.equal(outcome(routesOf(route("c", "1", "/x"), route("b", "1", "/x")), { path: "/x" }), "b /x");
});

test("a more specific listener keeps its hosts from a wider one of the same port", () => {
  const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: istio
  listeners:
  - {name: wide, port: 80, protocol: HTTP}
  - {name: shop, port: 80, protocol: HTTP, hostname: shop.example.com}
`;
  const routes = compiled(
    gatewayMesh(
      gateway,
      httpRoute(
        "wide",
        `parentRefs: [{name: web, sectionName: wide}]\nhostnames: [shop.example.com, b.example.com]\nrules: [{${to("b")}}]`,
      ),
      httpRoute(
        "shop",
        `parentRefs: [{name: web, sectionName: shop}]\nrules: [{matches: [{path: {value: /a}}], ${to("a")}}]`,
      ),
    ),
  ).routes.get("http.80");
  assert.equal(outcome(routes, { path: "/a" }), "a /a");
  assert.equal(outcome(routes, { path: "/b" }), "404");
  assert.equal(outcome(routes, { host: "b.example.com" }), "b /");
});

test("every route leads back to the HTTPRoute and the line of its rule", () => {
  const rules = `rules:\n- {matches: [{path: {value: /x}}], ${to("a")}}\n- ${to("b")}`;
  const snapshot = gatewayMesh(webGateway, httpRoute("r", `${at}\n${rules}`));
  const routes = compiled(snapshot).routes.get("http.80");
  const line = snapshot.entries.get("HTTPRoute/default/r")?.object?.position("spec.rules[1]")?.line;
  assert.equal(originOf(routes, { path: "/y" }), `HTTPRoute default/r mesh.yaml:${line}`);
  assert.notEqual(originOf(routes, { path: "/x" }), originOf(routes, { path: "/y" }));
});

test("names of what is made are Istio's", () => {
  const snapshot = gatewayMesh(
    webGateway,
    httpRoute("r", `${at}\nhostnames: [shop.example.com]\nrules: [{${to("a")}}]`),
  );
  assert.deepEqual(
    snapshot.gatewayApi.api.objects.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`),
    [
      "Gateway default/web~istio-autogenerated-k8s-gateway~http",
      "VirtualService default/default~web~istio-autogenerated-k8s-gateway~http~shop.example.com",
    ],
  );
  const route = compiled(snapshot).routes.get("http.80")?.virtualHosts[0]?.routes[0];
  assert.equal(route?.name, "default.r.0");
});

test("timeouts, retries and mirrors reach the route", () => {
  const rules = `rules:
- matches: [{path: {value: /retry}}]
  retry: {codes: [500, 503], attempts: 3, backoff: 100ms}
  timeouts: {request: 10s, backendRequest: 2s}
  ${to("a")}
- matches: [{path: {value: /once}}]
  timeouts: {request: 10s, backendRequest: 2s}
  ${to("a")}
- matches: [{path: {value: /off}}]
  retry: {attempts: 0}
  ${to("a")}
- matches: [{path: {value: /mirror}}]
  filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}, percent: 25}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: c, port: 80}, fraction: {numerator: 1, denominator: 8}}}
  ${to("a")}`;
  const routes = routesOf(httpRoute("r", `${at}\n${rules}`));
  const forward = (path: string) => {
    const action = decide(routes, { path })?.route.action;
    assert.ok(action?.type === "forward");
    return action.forward;
  };
  const { retry, timeoutMs } = forward("/retry");
  assert.deepEqual(
    [retry?.numRetries, retry?.perTryTimeoutMs, retry?.retriableStatusCodes, timeoutMs],
    [3, 2000, [500, 503], 10_000],
  );
  assert.equal(forward("/once").timeoutMs, 2000);
  assert.equal(forward("/off").retry, null);
  assert.deepEqual(
    forward("/mirror").mirrors.map(({ cluster, fraction }) => [cluster.split("|").at(-1), fraction.fraction]),
    [
      ["b.default.svc.cluster.local", 0.25],
      ["c.default.svc.cluster.local", 0.125],
    ],
  );
});

test("sessionPersistence: a cookie or header leads requests of a rule back to their endpoint", () => {
  const rules = `
rules:
- matches: [{path: {value: /named}}]
  sessionPersistence: {sessionName: cart, cookieConfig: {lifetimeType: Permanent}, absoluteTimeout: 1h}
  ${to("a")}
- {matches: [{path: {value: /own}}], sessionPersistence: {}, ${to("a")}}
- {matches: [{path: {value: /header}}], sessionPersistence: {type: Header, sessionName: x-cart}, ${to("a")}}
- ${to("a")}`;
  const snapshot = gatewayMesh(webGateway, httpRoute("r", `${at}${rules}`));
  const { routes, listeners } = compiled(snapshot);
  const settings = (prefix: string): unknown => {
    const route = routes
      .get("http.80")
      ?.virtualHosts[0]?.routes.find(({ match }) => match?.pathSpecifier.value === prefix);
    const any = route?.typedPerFilterConfig["envoy.filters.http.stateful_session"];
    if (any === undefined) return undefined;
    const { override } = anyUnpack(any, StatefulSessionPerRouteSchema) ?? {};
    const state = override?.case === "statefulSession" ? override.value.sessionState?.typedConfig : undefined;
    assert.ok(state !== undefined);
    const cookie = anyUnpack(state, CookieBasedSessionStateSchema)?.cookie;
    if (cookie !== undefined) return [cookie.name, cookie.path, cookie.ttl?.seconds];
    return anyUnpack(state, HeaderBasedSessionStateSchema)?.name;
  };
  assert.deepEqual(settings("/named"), ["cart", "/", 3600n]);
  assert.deepEqual(settings("/own"), ["session-default-r-1", "/", undefined]);
  assert.equal(settings("/header"), "x-cart");
  assert.equal(settings("/"), undefined);
  const chain = listeners.values().next().value?.filterChains[0]?.filters.at(-1);
  assert.equal(chain?.configType.case, "typedConfig");
  const manager = anyUnpack(chain.configType.value, HttpConnectionManagerSchema);
  assert.ok(manager?.httpFilters.some(({ name }) => name === "envoy.filters.http.stateful_session"));
});
