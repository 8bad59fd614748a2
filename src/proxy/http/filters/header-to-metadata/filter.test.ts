import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { fromJson, toBinary } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { type FilterBench, filterBench, script } from "../../../listener/testing/filter-bench.ts";
import { ask } from "../../../listener/testing/requests.ts";
import { CONTINUE } from "../../filter.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config";
const own = "envoy.filters.http.header_to_metadata";

async function bench(
  t: TestContext,
  yaml: string,
  routes?: string,
): Promise<FilterBench & { found(namespace?: string): unknown; seen(): Record<string, unknown> }> {
  const found: Record<string, unknown> = {};
  let seen: Record<string, unknown> = {};
  const reading = script(() => ({
    onComplete: (stream) => {
      for (const namespace of [own, "other"]) found[namespace] = { ...stream.metadata(namespace) };
    },
    onRequestHeaders: () => CONTINUE,
  }));
  const started = await filterBench({
    filters: `[{ name: rules, typed_config: { "@type": ${type}, ${yaml} } }]`,
    filtersBehind: [reading],
    upstream: (req, res) => {
      seen = req.headers;
      res.writeHead(201, { "x-version": "v2" }).end();
    },
    ...(routes !== undefined && { routes }),
  });
  t.after(() => started.stop());
  return { ...started, found: (namespace = own) => found[namespace], seen: () => seen };
}

test("headers and cookies become metadata: as they are, rewritten, or as what is configured", async (t) => {
  const { path, found, seen } = await bench(
    t,
    `request_rules: [
      { header: X-User, on_header_present: { key: user }, on_header_missing: { key: user, value: nobody }, remove: true },
      { header: ":path", on_header_present: { metadata_namespace: other, key: first,
        regex_value_rewrite: { pattern: { regex: "^/([^/]*).*$" }, substitution: "\\\\1" } } },
      { header: x-flag, on_header_present: { key: flagged, value: "yes" } },
      { cookie: tier, on_header_present: { key: tier } },
      { header: x-size, on_header_present: { key: size, type: NUMBER } }]`,
  );
  await ask(path, "/shop/cart", {
    headers: { "x-user": "jason", "x-flag": "0", cookie: 'a=b; tier="gold"', "x-size": "12.5" },
  });
  assert.deepEqual(found(), { user: "jason", flagged: "yes", tier: "gold", size: 12.5 });
  assert.deepEqual(found("other"), { first: "shop" });
  assert.equal(seen()["x-user"], undefined);
  await ask(path, "/", { headers: { "x-size": "large" } });
  assert.deepEqual(found(), { user: "nobody" });
});

test("a header may hold a value of any kind in base64", async (t) => {
  const { path, found } = await bench(
    t,
    "request_rules: [{ header: x-v, on_header_present: { key: v, type: PROTOBUF_VALUE, encode: BASE64 } }]",
  );
  const value = fromJson(ValueSchema, { a: [1, null] });
  await ask(path, "/", { headers: { "x-v": Buffer.from(toBinary(ValueSchema, value)).toString("base64") } });
  assert.deepEqual(found(), { v: { a: [1, null] } });
  await ask(path, "/", { headers: { "x-v": "!!" } });
  assert.deepEqual(found(), {});
});

test("responses have rules of their own, and so has a route", async (t) => {
  const chain =
    "response_rules: [{ header: x-version, on_header_present: { key: version } }, { header: ':status', on_header_present: { key: status } }]";
  const { path, found } = await bench(
    t,
    chain,
    `
routes:
- match: { prefix: /own }
  route: { cluster: app }
  typed_per_filter_config: { rules: { "@type": ${type}, request_rules: [{ header: host, on_header_present: { key: host } }] } }
- match: { prefix: / }
  route: { cluster: app }`,
  );
  await ask(path, "/");
  assert.deepEqual(found(), { version: "v2", status: "201" });
  await ask(path, "/own", { headers: { host: "a.example" } });
  assert.deepEqual(found(), { host: "a.example" });
});

test("rules that read nothing or do nothing are refused", async () => {
  const refusal = (rules: string): Promise<string> =>
    filterBench({
      filters: `[{ name: rules, typed_config: { "@type": ${type}, request_rules: [${rules}] } }]`,
      upstream: () => {},
    }).then(() => "accepted", String);
  assert.match(await refusal(""), /has no rules/);
  assert.match(await refusal("{ on_header_present: { key: a } }"), /needs a header or a cookie/);
  assert.match(await refusal("{ header: a }"), /does nothing/);
  assert.match(await refusal("{ header: a, on_header_missing: { key: b } }"), /on_header_missing.value: is missing/);
});
