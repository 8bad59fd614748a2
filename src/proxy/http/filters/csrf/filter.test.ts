import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Runtime } from "../../../config/runtime.ts";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, until } from "../../../listener/testing/requests.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.csrf.v3.CsrfPolicy";
const on = "filter_enabled: { default_value: { numerator: 100 } }";

async function bench(t: TestContext, yaml: string, routes?: string, runtime = new Runtime()): Promise<FilterBench> {
  const started = await filterBench({
    filters: `[{ name: csrf, typed_config: { "@type": ${type}, ${yaml} } }]`,
    upstream: (_req, res) => void res.end("app"),
    path: { runtime },
    ...(routes !== undefined && { routes }),
  });
  t.after(() => started.stop());
  return started;
}

const post = (headers: Record<string, string>, method = "POST"): Record<string, unknown> => ({
  method,
  headers: { host: "shop.example", ...headers },
});

test("a request that changes something must come from the same origin, or from one that is allowed", async (t) => {
  const { path, stat } = await bench(t, `${on}, additional_origins: [{ suffix: .partner.example }]`);
  const status = async (options: Record<string, unknown>): Promise<number> => (await ask(path, "/", options)).status;
  assert.equal(await status(post({ origin: "https://shop.example" })), 200);
  assert.equal(await status(post({ referer: "https://SHOP.example/cart?x" })), 200);
  assert.equal(await status(post({ origin: "https://www.partner.example" })), 200);
  assert.equal(await status(post({ origin: "https://shop.example.evil.example" })), 403);
  assert.equal(await status(post({ origin: "https://shop.example:8443" })), 403, "another port is another origin");
  assert.equal(await status(post({}, "DELETE")), 403);
  assert.equal(await status({ headers: { origin: "https://evil.example" } }), 200, "GET changes nothing");
  assert.deepEqual(
    ["request_valid", "request_invalid", "missing_source_origin"].map((name) => stat(`http.test.csrf.${name}`)),
    [3, 3, 1],
  );
  const answer = await ask(path, "/", post({ origin: "null" }));
  assert.deepEqual([answer.status, answer.body], [403, "Invalid origin"]);
  await until(() => path.logs.length === 8);
  assert.equal(path.logs[7]?.["responseCodeDetails"], "csrf_origin_mismatch");
});

test("the runtime says for how many requests the policy is enabled", async (t) => {
  const evil = post({ origin: "https://evil.example" });
  const runtime = new Runtime();
  const keyed = "filter_enabled: { default_value: { numerator: 100 }, runtime_key: csrf.share }";
  const { path } = await bench(t, keyed, undefined, runtime);
  assert.equal((await ask(path, "/", evil)).status, 403);
  runtime.modify([["csrf.share", "0"]]);
  assert.equal((await ask(path, "/", evil)).status, 200);
});

test("a policy may only count, apply to a share, or differ by route", async (t) => {
  const evil = post({ origin: "https://evil.example" });
  const none = "filter_enabled: { default_value: {} }";
  const shadow = await bench(t, `${none}, shadow_enabled: { default_value: { numerator: 100 } }`);
  assert.equal((await ask(shadow.path, "/", evil)).status, 200);
  assert.equal(shadow.stat("http.test.csrf.request_invalid"), 1);
  const routed = await bench(
    t,
    none,
    `
routes:
- match: { prefix: /strict }
  route: { cluster: app }
  typed_per_filter_config: { csrf: { "@type": ${type}, ${on} } }
- match: { prefix: / }
  route: { cluster: app }`,
  );
  assert.equal((await ask(routed.path, "/", evil)).status, 200);
  assert.equal((await ask(routed.path, "/strict", evil)).status, 403);
});
