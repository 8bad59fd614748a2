import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type FilterBench, type FilterBenchOptions, filterBench } from "../../../listener/testing/filter-bench.ts";
import { type Answer, ask, until } from "../../../listener/testing/requests.ts";

const policy = (yaml: string): string =>
  `{ "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy, ${yaml} }`;

async function bench(
  t: TestContext,
  route: string,
  options: { readonly host?: string } & Partial<FilterBenchOptions> = {},
): Promise<FilterBench & { readonly reached: () => number }> {
  let reached = 0;
  const { host, ...rest } = options;
  const started = await filterBench({
    filters: `
- name: cors
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors }`,
    routes: `
routes:
- match: { prefix: / }
  route: { cluster: app }
  typed_per_filter_config: { cors: ${policy(route)} }
${host === undefined ? "" : `typed_per_filter_config: { cors: ${policy(host)} }`}`,
    upstream: (_req, res) => {
      reached++;
      res.setHeader("access-control-allow-origin", "upstream");
      res.end("app");
    },
    ...rest,
  });
  t.after(() => started.stop());
  return { ...started, reached: () => reached };
}

const preflight = (origin: string, headers: Record<string, string> = {}): Record<string, unknown> => ({
  method: "OPTIONS",
  headers: { origin, "access-control-request-method": "PUT", ...headers },
});

const allowed = ({ headers }: Answer, ...names: string[]): unknown[] =>
  names.map((name) => headers[`access-control-${name}`]);

test("a preflight of an allowed origin is answered without the upstream", async (t) => {
  const { path, stat, reached } = await bench(
    t,
    `allow_origin_string_match: [{ exact: "https://a.example" }, { safe_regex: { regex: "https://.*[.]b[.]example" } }],
     allow_methods: "GET,PUT", allow_headers: x-token, expose_headers: x-out, max_age: "600", allow_credentials: true`,
  );
  const answer = await ask(path, "/", preflight("https://www.b.example"));
  assert.deepEqual([answer.status, answer.body], [200, ""]);
  assert.deepEqual(
    allowed(answer, "allow-origin", "allow-methods", "allow-headers", "max-age", "allow-credentials", "expose-headers"),
    ["https://www.b.example", "GET,PUT", "x-token", "600", "true", "x-out"],
  );
  assert.equal(reached(), 0);
  assert.equal(stat("http.test.cors.origin_valid"), 1);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseCodeDetails"], "cors_response");
});

test("other requests of an allowed origin reach the upstream, and the response says what the policy says", async (t) => {
  const { path, reached } = await bench(t, `allow_origin_string_match: [{ exact: "*" }], expose_headers: x-out`);
  const answer = await ask(path, "/", { headers: { origin: "https://any.example" } });
  assert.equal(answer.body, "app");
  assert.deepEqual(allowed(answer, "allow-origin", "expose-headers", "allow-credentials", "allow-methods"), [
    "https://any.example",
    "x-out",
    undefined,
    undefined,
  ]);
  const plainOptions = await ask(path, "/", { method: "OPTIONS", headers: { origin: "https://any.example" } });
  assert.equal(plainOptions.body, "app", "OPTIONS without a request method is no preflight");
  assert.equal(reached(), 2);
});

test("without an origin, or of another origin, a request goes on and the response stays as it is", async (t) => {
  const { path, stat, reached } = await bench(t, `allow_origin_string_match: [{ prefix: "https://a." }]`);
  assert.deepEqual(allowed(await ask(path, "/"), "allow-origin"), ["upstream"]);
  const other = await ask(path, "/", preflight("https://evil.example"));
  assert.deepEqual([other.body, ...allowed(other, "allow-origin")], ["app", "upstream"]);
  assert.equal(reached(), 2);
  assert.deepEqual([stat("http.test.cors.origin_valid"), stat("http.test.cors.origin_invalid")], [0, 1]);
});

test("preflights of other origins are answered here, without a permission, when they are not to be forwarded", async (t) => {
  const { path, reached } = await bench(
    t,
    `allow_origin_string_match: [{ exact: "https://a.example" }], forward_not_matching_preflights: false`,
  );
  const answer = await ask(path, "/", preflight("https://evil.example"));
  assert.deepEqual([answer.status, answer.body, ...allowed(answer, "allow-origin")], [200, "", undefined]);
  assert.equal(reached(), 0);
  assert.equal((await ask(path, "/", { headers: { origin: "https://evil.example" } })).body, "app");
});

test("a private network is allowed only when it is asked for and configured", async (t) => {
  const asked = { "access-control-request-private-network": "true" };
  const yes = await bench(t, `allow_origin_string_match: [{ exact: "*" }], allow_private_network_access: true`);
  assert.deepEqual(allowed(await ask(yes.path, "/", preflight("o", asked)), "allow-private-network"), ["true"]);
  assert.deepEqual(allowed(await ask(yes.path, "/", preflight("o")), "allow-private-network"), [undefined]);
  const no = await bench(t, `allow_origin_string_match: [{ exact: "*" }]`);
  assert.deepEqual(allowed(await ask(no.path, "/", preflight("o", asked)), "allow-private-network"), [undefined]);
});

test("what a route's policy leaves open, the virtual host's says", async (t) => {
  const { path } = await bench(t, `allow_methods: PUT, allow_credentials: false`, {
    host: `allow_origin_string_match: [{ exact: "*" }], allow_methods: GET, max_age: "1", allow_credentials: true`,
  });
  const answer = await ask(path, "/", preflight("o"));
  assert.deepEqual(allowed(answer, "allow-origin", "allow-methods", "max-age", "allow-credentials"), [
    "o",
    "PUT",
    "1",
    undefined,
  ]);
});

test("a policy that is not enabled, or for a share only, lets requests pass; shadowed it only counts", async (t) => {
  const none = await bench(
    t,
    `allow_origin_string_match: [{ exact: "*" }], filter_enabled: { default_value: { numerator: 0 } }`,
  );
  assert.equal((await ask(none.path, "/", preflight("o"))).body, "app");
  assert.equal(none.stat("http.test.cors.origin_valid"), 0);
  const shadow = await bench(
    t,
    `allow_origin_string_match: [{ exact: "*" }], filter_enabled: { default_value: { numerator: 0 } },
     shadow_enabled: { default_value: { numerator: 100 } }`,
  );
  assert.equal((await ask(shadow.path, "/", preflight("o"))).body, "app");
  assert.equal(shadow.stat("http.test.cors.origin_valid"), 1);
  const half = await bench(
    t,
    `allow_origin_string_match: [{ exact: "*" }], filter_enabled: { default_value: { numerator: 50 } }`,
    { path: { random: () => 0.4 } },
  );
  assert.equal((await ask(half.path, "/", preflight("o"))).body, "");
});
