import assert from "node:assert/strict";
import { Agent } from "node:http";
import { type TestContext, test } from "node:test";
import { Runtime } from "../../../config/runtime.ts";
import { type FilterBench, type FilterBenchOptions, filterBench } from "../../../listener/testing/filter-bench.ts";
import { type Answer, ask, until } from "../../../listener/testing/requests.ts";

const type = '"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';
const always = "default_value: { numerator: 100 }";
const on = `filter_enabled: { ${always} }, filter_enforced: { ${always} }`;
const bucket = (max: number, perFill = 1, seconds = 60): string =>
  `token_bucket: { max_tokens: ${max}, tokens_per_fill: ${perFill}, fill_interval: ${seconds}s }`;

const limit = (yaml: string): string => `
- name: limit
  typed_config: { ${type}, stat_prefix: rl, ${yaml} }`;

interface Bench extends FilterBench {
  /** Asks n times and gives the statuses. */
  statuses(count: number, target?: string, options?: Record<string, unknown>): Promise<number[]>;
  advance(ms: number): void;
  seen(): Record<string, unknown>;
}

async function bench(t: TestContext, options: Partial<FilterBenchOptions>): Promise<Bench> {
  let now = 1_700_000_000_000;
  let headers: Record<string, unknown> = {};
  const started = await filterBench({
    filters: limit(`${on}, ${bucket(2)}`),
    upstream: (req, res) => {
      headers = req.headers;
      res.end("app");
    },
    ...options,
    path: { now: () => now, ...options.path },
  });
  t.after(() => started.stop());
  return {
    ...started,
    statuses: async (count, target = "/", request = {}) => {
      const answers: number[] = [];
      for (let i = 0; i < count; i++) answers.push((await ask(started.path, target, request)).status);
      return answers;
    },
    advance: (ms) => (now += ms),
    seen: () => headers,
  };
}

test("a bucket lets as many requests pass as it has tokens, and fills with time", async (t) => {
  const { path, statuses, advance, stat } = await bench(t, { filters: limit(`${on}, ${bucket(2, 6)}`) });
  assert.deepEqual(await statuses(3), [200, 200, 429]);
  advance(9_999);
  assert.deepEqual(await statuses(1), [429]);
  advance(1);
  assert.deepEqual(await statuses(2), [200, 429]);
  advance(3_600_000);
  assert.deepEqual(await statuses(3), [200, 200, 429], "never more than the bucket holds");
  assert.equal(stat("rl.http_local_rate_limit.enabled"), 9);
  assert.equal(stat("rl.http_local_rate_limit.ok"), 5);
  assert.equal(stat("rl.http_local_rate_limit.rate_limited"), 4);
  assert.equal(stat("rl.http_local_rate_limit.enforced"), 4);
  await until(() => path.logs.length === 9);
  const entry = path.logs[2];
  assert.deepEqual([entry?.["responseFlags"], entry?.["responseCodeDetails"]], ["RL", "local_rate_limited"]);
  assert.equal(entry?.["cause"], "the limit of 2 for all requests is used up");
});

test("the refusal has the status, body and headers that are configured", async (t) => {
  const { path, statuses } = await bench(t, {
    filters: limit(
      `${on}, ${bucket(1)}, status: { code: 503 },
       response_headers_to_add: [{ header: { key: x-local-rate-limit, value: "true" } }]`,
    ),
  });
  await statuses(1);
  const answer = await ask(path, "/");
  assert.deepEqual(
    [answer.status, answer.body, answer.headers["x-local-rate-limit"]],
    [503, "local_rate_limited", "true"],
  );
  const low = await bench(t, { filters: limit(`${on}, ${bucket(1)}, status: { code: 200 }`) });
  assert.deepEqual(await low.statuses(2), [200, 429], "a status below 400 would be no refusal");
});

test("a refused gRPC call gets UNAVAILABLE, or RESOURCE_EXHAUSTED when that is asked for", async (t) => {
  const call = { method: "POST", headers: { "content-type": "application/grpc" } };
  const plain = await bench(t, { filters: limit(`${on}, ${bucket(1)}`) });
  await plain.statuses(1, "/", call);
  assert.equal((await ask(plain.path, "/", call)).headers["grpc-status"], "14");
  const exhausted = await bench(t, { filters: limit(`${on}, ${bucket(1)}, rate_limited_as_resource_exhausted: true`) });
  await exhausted.statuses(1, "/", call);
  assert.equal((await ask(exhausted.path, "/", call)).headers["grpc-status"], "8");
});

test("a limit that is not enforced only marks the request, one that is not enabled does nothing", async (t) => {
  const { statuses, seen, stat } = await bench(t, {
    filters: limit(
      `filter_enabled: { ${always} }, ${bucket(1)},
       request_headers_to_add_when_not_enforced: [{ header: { key: x-would-limit, value: "1" } }]`,
    ),
  });
  assert.deepEqual(await statuses(1), [200]);
  assert.equal(seen()["x-would-limit"], undefined);
  assert.deepEqual(await statuses(1), [200]);
  assert.equal(seen()["x-would-limit"], "1");
  assert.equal(stat("rl.http_local_rate_limit.enforced"), 0);
  assert.equal(stat("rl.http_local_rate_limit.rate_limited"), 1);
  const off = await bench(t, { filters: limit(bucket(1)) });
  assert.deepEqual(await off.statuses(3), [200, 200, 200]);
  const share = await bench(t, {
    filters: limit(
      `filter_enabled: { default_value: { numerator: 30 } }, filter_enforced: { ${always} }, ${bucket(1)}`,
    ),
    path: { random: () => 0.3 },
  });
  assert.deepEqual(await share.statuses(3), [200, 200, 200]);
});

test("the runtime says how many requests are limited, and how many of those are refused", async (t) => {
  const runtime = new Runtime();
  const keyed = (key: string): string => `{ default_value: { numerator: 100 }, runtime_key: ${key} }`;
  const { statuses, stat } = await bench(t, {
    filters: limit(`filter_enabled: ${keyed("limit.on")}, filter_enforced: ${keyed("limit.hard")}, ${bucket(1)}`),
    path: { runtime },
  });
  assert.deepEqual(await statuses(2), [200, 429]);
  runtime.modify([["limit.hard", "0"]]);
  assert.deepEqual(await statuses(1), [200]);
  assert.equal(stat("rl.http_local_rate_limit.rate_limited"), 2, "it is counted");
  runtime.modify([["limit.on", "0"]]);
  assert.deepEqual(await statuses(1), [200]);
  assert.equal(stat("rl.http_local_rate_limit.enabled"), 3);
});

test("a route has a bucket of its own in place of the chain's", async (t) => {
  const { statuses } = await bench(t, {
    filters: limit(`${on}, ${bucket(1)}`),
    routes: `
routes:
- match: { prefix: /own }
  route: { cluster: app }
  typed_per_filter_config: { limit: { ${type}, stat_prefix: own, ${on}, ${bucket(2)} } }
- match: { prefix: / }
  route: { cluster: app }`,
  });
  assert.deepEqual(await statuses(3, "/own"), [200, 200, 429]);
  assert.deepEqual(await statuses(2), [200, 429]);
});

test("descriptors of the route have buckets of their own, beside the one of all requests", async (t) => {
  const filters = (more: string): string =>
    limit(
      `${on}, ${bucket(3)}, ${more} descriptors: [
        { entries: [{ key: user, value: a }], ${bucket(1)} },
        { entries: [{ key: user, value: a }, { key: path, value: /x }], ${bucket(9)} }]`,
    );
  const routes = `
routes:
- match: { prefix: / }
  route:
    cluster: app
    rate_limits:
    - actions: [{ request_headers: { header_name: x-user, descriptor_key: user } }]
    - actions:
      - request_headers: { header_name: x-user, descriptor_key: user }
      - request_headers: { header_name: ":path", descriptor_key: path }`;
  const a = { headers: { "x-user": "a" } };
  const first = await bench(t, { filters: filters(""), routes });
  assert.deepEqual(await first.statuses(2, "/", a), [200, 429], "the descriptor's bucket");
  assert.deepEqual(await first.statuses(3, "/", { headers: { "x-user": "b" } }), [200, 200, 429], "the default bucket");
  await until(() => first.path.logs.length === 5);
  assert.equal(first.path.logs[1]?.["cause"], "the limit of 1 for requests with user a is used up");
  const second = await bench(t, { filters: filters("always_consume_default_token_bucket: false,"), routes });
  assert.deepEqual(await second.statuses(1, "/", a), [200]);
  assert.deepEqual(await second.statuses(4), [200, 200, 200, 429], "the first request took none of the default's");
});

test("each connection has buckets of its own when that is asked for", async (t) => {
  const { statuses } = await bench(t, {
    filters: limit(`${on}, ${bucket(1)}, local_rate_limit_per_downstream_connection: true`),
  });
  const first = new Agent({ keepAlive: true, maxSockets: 1 });
  const second = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => {
    first.destroy();
    second.destroy();
  });
  assert.deepEqual(await statuses(2, "/", { agent: first }), [200, 429]);
  assert.deepEqual(await statuses(2, "/", { agent: second }), [200, 429]);
});

test("x-ratelimit headers tell the limit, what is left, and when the bucket is full", async (t) => {
  const { path } = await bench(t, {
    filters: limit(`${on}, ${bucket(2, 1, 10)}, enable_x_ratelimit_headers: DRAFT_VERSION_03`),
  });
  const told = ({ status, headers }: Answer): unknown[] => [
    status,
    ...["limit", "remaining", "reset"].map((name) => headers[`x-ratelimit-${name}`]),
  ];
  assert.deepEqual(told(await ask(path, "/")), [200, "2", "1", "10"]);
  assert.deepEqual(told(await ask(path, "/")), [200, "2", "0", "20"]);
  assert.deepEqual(told(await ask(path, "/")), [429, "2", "0", "20"]);
});

test("settings that cannot work are refused", async () => {
  const refusal = (yaml: string, routes?: string): Promise<string> =>
    filterBench({ filters: limit(yaml), upstream: () => {}, ...(routes !== undefined && { routes }) }).then(
      () => "accepted",
      String,
    );
  assert.match(await refusal("token_bucket: { max_tokens: 1, fill_interval: 0.01s }"), /10 ms is below 50 ms/);
  assert.match(await refusal("token_bucket: { fill_interval: 1s }"), /max_tokens: is below 1/);
  assert.match(
    await refusal(
      `descriptors: [{ entries: [{ key: a, value: b }], ${bucket(1)} }, { entries: [{ key: a, value: b }], ${bucket(2)} }]`,
    ),
    /is the same as one before/,
  );
  const routes = `routes: [{ match: { prefix: / }, route: { cluster: app },
    typed_per_filter_config: { limit: { ${type}, stat_prefix: own } } }]`;
  assert.match(await refusal("", routes), /token_bucket: is missing/);
  assert.match(await refusal("local_cluster_rate_limit: {}"), /is not supported/);
});
