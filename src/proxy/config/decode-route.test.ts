import assert from "node:assert/strict";
import { test } from "node:test";
import { type RouteRequest, selectRoute } from "../decide/route.ts";
import { decodeRoute } from "./decode-route.ts";
import { RetryOn } from "./http.ts";
import { refusalOf, routeConfig, routeOf } from "./testing/resources.ts";

test("a redirect without a path of its own keeps the request's", () => {
  const config = routeConfig(`
name: r
virtual_hosts:
- name: v
  domains: ["*"]
  routes:
  - match: { prefix: / }
    redirect: { host_redirect: other.example, path_redirect: "" }
`);
  const action = config.virtualHosts[0]?.routes[0]?.action;
  assert.ok(action?.type === "redirect");
  assert.equal(action.redirect.path, null);
  assert.equal(action.redirect.host, "other.example");
});

test("a route that asks for metadata which nothing writes takes no request, and the others go on", () => {
  const config = routeConfig(`
name: r
virtual_hosts:
- name: v
  domains: ["*"]
  routes:
  - name: claims
    match: { prefix: /, dynamic_metadata: [{ filter: envoy.filters.http.jwt_authn, path: [{ key: payload }], value: { present_match: true } }] }
    route: { cluster: a }
  - name: rest
    match: { prefix: / }
    route: { cluster: b }
`);
  const request: RouteRequest = {
    authority: "x",
    path: "/",
    header: (name) => (name === ":path" ? "/" : undefined),
    metadata: () => undefined,
    share: ({ fraction }) => fraction,
    clientCertificate: "none",
  };
  assert.equal(selectRoute(config, request, 0, null)?.route.name, "rest");
});

test("a route's action is read with retries, rewrites and header changes", () => {
  const config = routeConfig(`
name: r
virtual_hosts:
- name: v
  domains: ["*"]
  include_request_attempt_count: true
  routes:
  - match: { prefix: /api/ }
    request_headers_to_remove: [x-gone]
    request_headers_to_add:
    - { header: { key: x-a, value: "1" }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
    - { header: { key: x-b, value: "%DOWNSTREAM_REMOTE_ADDRESS%" } }
    - { header: { key: x-c, value: "3" }, append: false }
    route:
      cluster: c
      timeout: 0s
      prefix_rewrite: /
      host_rewrite_literal: other
      retry_policy:
        retry_priority:
          name: envoy.retry_priorities.previous_priorities
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig
            update_frequency: 2
        retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes,nonsense"
        num_retries: 2
        per_try_timeout: 1.5s
        retriable_status_codes: [503]
        host_selection_retry_max_attempts: 5
        retry_host_predicate: [{ name: envoy.retry_host_predicates.previous_hosts }]
  - match: { safe_regex: { regex: "/v(\\\\d+)/(.*)" } }
    route: { cluster: c, regex_rewrite: { pattern: { regex: "^/v(\\\\d+)/(.*)$" }, substitution: '/\\2?v=\\1' } }
`);
  const [first, second] = config.virtualHosts[0]?.routes ?? [];
  assert.deepEqual(first?.headers.request, [
    { name: "x-gone", operation: "remove", value: "" },
    { name: "x-a", operation: "set", value: "1" },
    { name: "x-b", operation: "append", value: "%DOWNSTREAM_REMOTE_ADDRESS%" },
    { name: "x-c", operation: "set", value: "3" },
  ]);
  assert.equal(first?.action.type, "forward");
  if (first?.action.type !== "forward" || second?.action.type !== "forward") return;
  const { forward } = first.action;
  assert.equal(forward.timeoutMs, 0);
  assert.deepEqual(forward.prefixRewrite, { matched: "/api/", replacement: "/" });
  assert.deepEqual(forward.hostRewrite, { type: "literal", value: "other" });
  assert.deepEqual(forward.retry, {
    retryOn:
      RetryOn.ConnectFailure |
      RetryOn.RefusedStream |
      RetryOn.GrpcUnavailable |
      RetryOn.GrpcCancelled |
      RetryOn.RetriableStatusCodes,
    numRetries: 2,
    perTryTimeoutMs: 1500,
    perTryIdleTimeoutMs: 0,
    retriableStatusCodes: [503],
    retriableHeaders: [],
    retriableRequestHeaders: [],
    hostSelectionAttempts: 5,
    avoidPreviousHosts: true,
    avoidCanaryHosts: false,
    priorityUpdateFrequency: 2,
    backoffBaseMs: 25,
    backoffMaxMs: 250,
    rateLimitedBackoff: null,
  });
  assert.equal(second.action.forward.timeoutMs, 15_000);
  assert.equal(second.action.forward.regexRewrite?.("/v12/users/x"), "/users/x?v=12");
});

const routeShell = (route: string): string =>
  `{ name: r, virtual_hosts: [{ name: v, domains: ["*"], routes: [${route}] }] }`;

const routeRefusals: readonly [string, string, RegExp][] = [
  [
    "two hosts of one domain",
    "{ name: r, virtual_hosts: [{ name: a, domains: [x] }, { name: b, domains: [x] }] }",
    /domain "x" is in virtual hosts a and b/,
  ],
  [
    "a bad expression",
    routeShell('{ match: { safe_regex: { regex: "a**" } }, route: { cluster: c } }'),
    /virtual_hosts\[0\]\.routes\[0\]\.match\.safe_regex: .*not a regular expression/,
  ],
  ["no action", routeShell("{ match: { prefix: / } }"), /routes\[0\]: names no action/],
  [
    "weights of zero",
    routeShell("{ match: { prefix: / }, route: { weighted_clusters: { clusters: [{ name: a, weight: 0 }] } } }"),
    /sum of weights is 0/,
  ],
  [
    "a header that would split",
    routeShell(
      '{ match: { prefix: / }, route: { cluster: c }, request_headers_to_add: [{ header: { key: a, value: "x\\r\\ny: z" } }] }',
    ),
    /line break/,
  ],
  [
    "a group that does not exist",
    routeShell(
      "{ match: { prefix: / }, route: { cluster: c, regex_rewrite: { pattern: { regex: a }, substitution: '\\1' } } }",
    ),
    /names no group/,
  ],
  [
    "authorization by route",
    routeShell(
      '{ match: { prefix: / }, route: { cluster: c }, typed_per_filter_config: { rbac: { "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC } } }',
    ),
    /filter rbac \(envoy\S+RBAC\) is not supported/,
  ],
];

for (const [name, yaml, reason] of routeRefusals) {
  test(`a route configuration is refused for ${name}`, () =>
    assert.match(refusalOf(decodeRoute(routeOf(yaml))), reason));
}

test("what is left out without harm is a warning and no refusal", () => {
  const decoded = decodeRoute(
    routeOf(routeShell("{ match: { prefix: / }, route: { cluster: c, internal_redirect_policy: {} } }")),
  );
  assert.notEqual(decoded.value, null);
  assert.deepEqual(
    decoded.issues.map((issue) => [issue.severity, issue.code]),
    [["warning", "OUT0703"]],
  );
});
