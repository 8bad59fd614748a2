import assert from "node:assert/strict";
import { test } from "node:test";
import { routeConfig } from "../config/testing/resources.ts";
import { newTrace } from "../config/trace.ts";
import { type RouteRequest, selectRoute } from "./route.ts";

const config = routeConfig(`
name: http.8080
virtual_hosts:
- name: shop
  domains: ["*"]
  routes:
  - name: old
    match: { prefix: /old }
    redirect: { prefix_rewrite: /new, response_code: TEMPORARY_REDIRECT, port_redirect: 8443, https_redirect: true }
  - { name: tea, match: { prefix: /tea }, direct_response: { status: 418, body: { inline_string: "kürz" } } }
  - name: api
    match: { prefix: /api }
    request_headers_to_add: [{ header: { key: x-one, value: "1" }, append_action: OVERWRITE_IF_EXISTS_OR_ADD }]
    request_headers_to_remove: [x-two]
    route:
      cluster: api
      prefix_rewrite: /v1/api
      host_rewrite_literal: api.internal
      timeout: 1.5s
      retry_policy: { retry_on: "connect-failure,retriable-status-codes", retriable_status_codes: [503], num_retries: 2, per_try_timeout: 1s }
      request_mirror_policies:
      - { cluster: shadow, runtime_fraction: { default_value: { numerator: 125, denominator: TEN_THOUSAND } } }
      - { cluster: all }
  - { name: rest, match: { prefix: / }, route: { cluster: rest, auto_host_rewrite: true, timeout: 0s } }
`);

const request = (path: string): RouteRequest => ({
  authority: "shop.example.com:8080",
  path,
  metadata: () => undefined,
  share: ({ fraction }) => fraction,
  clientCertificate: "none",
  header: (name) => ({ ":path": path, ":method": "GET", ":scheme": "http" })[name],
});

function stepsAfterRoute(path: string): string[] {
  const trace = newTrace();
  selectRoute(config, request(path), 0, trace);
  return trace.steps.slice(2).map(({ what, decision }) => `${what}: ${decision}`);
}

test("a redirect tells where it leads, and an answer how long it is", () => {
  assert.deepEqual(stepsAfterRoute("/old/cart?id=1"), [
    "action: redirects with 307 to https://shop.example.com:8443/new/cart?id=1",
  ]);
  assert.deepEqual(stepsAfterRoute("/tea"), ["action: answers 418 itself, with a body of 5 bytes"]);
});

test("what a route does with a request on its way is told", () => {
  assert.deepEqual(stepsAfterRoute("/api/x?q=1"), [
    "cluster: api",
    "rewrite: path /api/x?q=1 becomes /v1/api/x?q=1, authority shop.example.com:8080 becomes api.internal",
    "headers: remove x-two, set x-one: 1",
    "mirror: a copy of 1.25 % of such requests goes to shadow",
    "mirror: a copy goes to all",
    "timeout: 1500 ms for the whole response",
    "retries: up to 2 on connect-failure, retriable-status-codes (503), 1 s for each try",
  ]);
});

test("what stays as it is is not told", () => {
  assert.deepEqual(stepsAfterRoute("/"), [
    "cluster: rest",
    "rewrite: authority shop.example.com:8080 becomes the name of the endpoint",
  ]);
});
