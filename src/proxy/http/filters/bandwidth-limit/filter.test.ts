import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type FilterBench, type FilterBenchOptions, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask } from "../../../listener/testing/requests.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit";
const limit = (yaml: string): string =>
  `[{ name: limit, typed_config: { "@type": ${type}, stat_prefix: bw, ${yaml} } }]`;

async function bench(t: TestContext, options: Partial<FilterBenchOptions>): Promise<FilterBench> {
  const started = await filterBench({
    filters: limit("enable_mode: REQUEST_AND_RESPONSE, limit_kbps: 128"),
    upstream: (req, res) => {
      let bytes = 0;
      req.on("data", (chunk: Buffer) => (bytes += chunk.length));
      req.on("end", () => res.end(req.method === "GET" ? Buffer.alloc(32 * 1024, "x") : String(bytes)));
    },
    ...options,
  });
  t.after(() => started.stop());
  return started;
}

const timed = async (run: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await run();
  return performance.now() - started;
};

test("requests and responses go at the rate of their budget, whole", async (t) => {
  const { path, stat } = await bench(t, {});
  const down = await timed(async () => assert.equal((await ask(path, "/")).body.length, 32 * 1024));
  assert.ok(down > 150 && down < 1500, `32 KiB at 128 KiB/s took ${down} ms`);
  const body = Buffer.alloc(192 * 1024, "y");
  const post = { method: "POST", headers: { "content-length": body.length } };
  const up = await timed(async () => assert.equal((await ask(path, "/", post, body)).body, "196608"));
  assert.ok(up > 300, `a second's budget, then at the rate: ${up} ms`);
  assert.equal(stat("bw.http_bandwidth_limit.request_allowed_total_size"), 192 * 1024);
  assert.equal(stat("bw.http_bandwidth_limit.response_incoming_total_size"), 32 * 1024 + 6);
  assert.equal(stat("bw.http_bandwidth_limit.response_pending"), 0);
});

test("all streams share one budget, and a route has its own", async (t) => {
  const { path } = await bench(t, {
    filters: limit("enable_mode: RESPONSE, limit_kbps: 128"),
    routes: `
routes:
- match: { prefix: /off }
  route: { cluster: app }
  typed_per_filter_config: { limit: { "@type": ${type}, stat_prefix: own } }
- match: { prefix: / }
  route: { cluster: app }`,
  });
  const both = await timed(() => Promise.all([ask(path, "/"), ask(path, "/")]));
  assert.ok(both > 400, `2 × 32 KiB at 128 KiB/s took ${both} ms`);
  assert.ok((await timed(() => ask(path, "/off"))) < 150);
});

test("a client that leaves gives its place back", async (t) => {
  const { path, stat } = await bench(t, { filters: limit("enable_mode: RESPONSE, limit_kbps: 1") });
  await assert.rejects(ask(path, "/", { signal: AbortSignal.timeout(40) }));
  path.listeners.destroy();
  assert.equal(stat("bw.http_bandwidth_limit.response_pending"), 0);
});

test("a limit of nothing is refused", async () => {
  const started = filterBench({ filters: limit("enable_mode: RESPONSE"), upstream: () => {} });
  await assert.rejects(started, /limit_kbps: is below 1/);
});
