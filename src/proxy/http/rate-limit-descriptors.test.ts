// What rules of rate limits make of requests, through the data path: every action, and whose rules apply.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { VirtualHostRules } from "../config/rate-limit.ts";
import { filterBench, script } from "../listener/testing/filter-bench.ts";
import { ask } from "../listener/testing/requests.ts";
import { CONTINUE } from "./filter.ts";
import { descriptorsOf } from "./rate-limit-descriptors.ts";

interface Asked {
  readonly target?: string;
  readonly headers?: Record<string, string>;
  readonly rules?: VirtualHostRules;
  readonly stage?: number;
}

type Describe = (asked?: Asked) => Promise<string>;

/** Serves routes and tells the descriptors of requests, as `key=value,key=value; key=value`. */
async function describing(t: TestContext, virtualHost: string): Promise<Describe> {
  let asked: Asked = {};
  let found = "";
  const filter = script(() => ({
    onRequestHeaders: (stream) => {
      stream.setMetadata("auth", "claims", { team: "blue", size: 3 });
      stream.setMetadata("limits", "override", { requests_per_unit: 7, unit: "HOUR" });
      found = descriptorsOf(stream, asked.stage ?? 0, asked.rules ?? "override")
        .map(({ entries, limit }) => {
          const words = entries.map(({ key, value }) => `${key}=${value}`).join(",");
          return limit === null ? words : `${words} (${limit.requestsPerUnit} per ${limit.unit})`;
        })
        .join("; ");
      return CONTINUE;
    },
  }));
  const { path, stop } = await filterBench({
    filters: [filter],
    routes: virtualHost,
    upstream: (_req, res) => void res.end(),
    path: { node: { id: "sidecar~a", cluster: "shop.default" } },
  });
  t.after(stop);
  return async (next = {}) => {
    asked = next;
    found = "";
    await ask(path, next.target ?? "/", { headers: next.headers ?? {} });
    return found;
  };
}

const route = (rateLimits: string, more = ""): string => `
routes:
- match: { prefix: / }
  metadata: { filter_metadata: { plan: { name: gold } } }
  route: { cluster: app, ${more} rate_limits: [${rateLimits}] }`;

const actions = (yaml: string): string => route(`{ actions: [${yaml}] }`);

test("each action makes its entry", async (t) => {
  const cases: readonly (readonly [action: string, asked: Asked, expected: string])[] = [
    ["source_cluster: {}", {}, "source_cluster=shop.default"],
    ["destination_cluster: {}", {}, "destination_cluster=app"],
    ["remote_address: {}", {}, "remote_address=127.0.0.1"],
    ["remote_address: {}", { headers: { "x-forwarded-for": "10.1.2.3" } }, "remote_address=10.1.2.3"],
    [
      "masked_remote_address: { v4_prefix_mask_len: 20 }",
      { headers: { "x-forwarded-for": "10.1.255.3" } },
      "masked_remote_address=10.1.240.0/20",
    ],
    [
      "masked_remote_address: { v6_prefix_mask_len: 33 }",
      { headers: { "x-forwarded-for": "2001:db8:ffff::1" } },
      "masked_remote_address=2001:db8:8000::/33",
    ],
    ["masked_remote_address: {}", {}, "masked_remote_address=127.0.0.1/32"],
    ["generic_key: { descriptor_value: all }", {}, "generic_key=all"],
    ["generic_key: { descriptor_value: all, descriptor_key: scope }", {}, "scope=all"],
    [
      "request_headers: { header_name: X-User, descriptor_key: user }",
      { headers: { "x-user": "jason" } },
      "user=jason",
    ],
    ["request_headers: { header_name: ':path', descriptor_key: path }", { target: "/a?b" }, "path=/a?b"],
    ["request_headers: { header_name: x-user, descriptor_key: user }", {}, ""],
    [
      "header_value_match: { descriptor_value: post, headers: [{ name: ':method', string_match: { exact: GET } }] }",
      {},
      "header_match=post",
    ],
    [
      `header_value_match: { descriptor_key: k, descriptor_value: v, expect_match: false,
         headers: [{ name: x-a, present_match: true }] }`,
      {},
      "k=v",
    ],
    ["header_value_match: { descriptor_value: v, headers: [{ name: x-a, present_match: true }] }", {}, ""],
    [
      "query_parameter_value_match: { descriptor_value: v, query_parameters: [{ name: a, present_match: true }] }",
      { target: "/?a=1" },
      "query_match=v",
    ],
    [
      "query_parameter_value_match: { descriptor_value: v, query_parameters: [{ name: a, present_match: true }] }",
      {},
      "",
    ],
    [
      "metadata: { descriptor_key: team, metadata_key: { key: auth, path: [{ key: claims }, { key: team }] } }",
      {},
      "team=blue",
    ],
    ["metadata: { descriptor_key: team, metadata_key: { key: auth, path: [{ key: claims }, { key: size }] } }", {}, ""],
    [
      `metadata: { descriptor_key: plan, source: ROUTE_ENTRY, metadata_key: { key: plan, path: [{ key: name }] } }`,
      {},
      "plan=gold",
    ],
    [
      `dynamic_metadata: { descriptor_key: x, default_value: none, metadata_key: { key: no, path: [{ key: x }] } }`,
      {},
      "x=none",
    ],
  ];
  for (const [action, asked, expected] of cases) {
    const describe = await describing(t, actions(`{ ${action} }`));
    assert.equal(await describe(asked), expected, action);
  }
});

test("a descriptor has all its entries or is not there, except for those that may be skipped", async (t) => {
  const describe = await describing(
    t,
    route(`
      { actions: [{ generic_key: { descriptor_value: a } }, { request_headers: { header_name: x-b, descriptor_key: b } }] },
      { actions: [{ generic_key: { descriptor_value: c } },
                  { request_headers: { header_name: x-d, descriptor_key: d, skip_if_absent: true } }] }`),
  );
  assert.equal(await describe(), "generic_key=c");
  assert.equal(await describe({ headers: { "x-b": "1", "x-d": "2" } }), "generic_key=a,b=1; generic_key=c,d=2");
});

test("a filter sees the rules of its own stage", async (t) => {
  const describe = await describing(
    t,
    route(`{ actions: [{ generic_key: { descriptor_value: zero } }] },
           { stage: 2, actions: [{ generic_key: { descriptor_value: two } }] }`),
  );
  assert.equal(await describe(), "generic_key=zero");
  assert.equal(await describe({ stage: 2 }), "generic_key=two");
  assert.equal(await describe({ stage: 1 }), "");
});

test("rules of the virtual host apply where the route has none, or as the filter or the route says", async (t) => {
  const host = "rate_limits: [{ actions: [{ generic_key: { descriptor_value: host } }] }]";
  const own = "{ actions: [{ generic_key: { descriptor_value: own } }] }";
  const without = await describing(t, `${route("")}\n${host}`);
  assert.equal(await without(), "generic_key=host");
  assert.equal(await without({ rules: "ignore" }), "");
  const both = await describing(t, `${route(own)}\n${host}`);
  assert.equal(await both(), "generic_key=own");
  assert.equal(await both({ rules: "include" }), "generic_key=own; generic_key=host");
  const including = await describing(t, `${route(own, "include_vh_rate_limits: true,")}\n${host}`);
  assert.equal(await including({ rules: "ignore" }), "generic_key=own; generic_key=host");
});

test("a limit may come from the request's metadata", async (t) => {
  const rule = (key: string): string =>
    route(`{ actions: [{ generic_key: { descriptor_value: a } }],
             limit: { dynamic_metadata: { metadata_key: { key: ${key}, path: [{ key: override }] } } } }`);
  assert.equal(await (await describing(t, rule("limits")))(), "generic_key=a (7 per 3)");
  assert.equal(await (await describing(t, rule("nothing")))(), "generic_key=a");
});

test("rules that name nothing are refused", async (t) => {
  const refusal = (yaml: string): Promise<string> => describing(t, route(yaml)).then(() => "accepted", String);
  assert.match(await refusal("{}"), /actions: is empty/);
  assert.match(await refusal("{ actions: [{}] }"), /names no action/);
  assert.match(await refusal("{ stage: 11, actions: [{ remote_address: {} }] }"), /11 is above 10/);
  assert.match(await refusal("{ actions: [{ extension: { name: expr } }] }"), /the rate limit action expr/);
});
