import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { standardRules } from "../../../config/metric-rules.ts";
import { filterConfig } from "../../../listener/testing/data-path.ts";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, until } from "../../../listener/testing/requests.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig";

const message = (text: string): Buffer => {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(text.length, 1);
  return Buffer.concat([header, Buffer.from(text)]);
};

async function bench(t: TestContext, yaml: string): Promise<FilterBench & { call(method: string): Promise<void> }> {
  const started = await filterBench({
    filters: `[{ name: stats, typed_config: { "@type": ${type}, ${yaml} } }]`,
    upstream: (req, res) => {
      req.resume();
      req.on("end", () => {
        res.writeHead(200, { "content-type": "application/grpc", trailer: "grpc-status" });
        res.write(message("one"));
        res.write(message(""));
        res.addTrailers({ "grpc-status": req.url?.endsWith("Fail") === true ? "5" : "0" });
        res.end(message("three"));
      });
    },
  });
  t.after(() => started.stop());
  const call = async (method: string): Promise<void> => {
    const before = started.path.logs.length;
    const headers = { "content-type": "application/grpc+proto", "transfer-encoding": "chunked" };
    await ask(started.path, method, { method: "POST", headers }, Buffer.concat([message("a"), message("b")]));
    await until(() => started.path.logs.length > before);
  };
  return { ...started, call };
}

test("calls, statuses and messages are counted by cluster", async (t) => {
  const { call, stat, path } = await bench(t, "");
  await call("/shop.Cart/Add");
  await call("/shop.Cart/Fail");
  await ask(path, "/shop.Cart/Add");
  const count = (name: string): unknown => stat(`cluster.app.grpc.${name}`);
  assert.deepEqual(
    ["total", "success", "failure", "0", "5", "request_message_count", "response_message_count"].map(count),
    [2, 1, 1, 1, 1, 4, 6],
  );
  assert.equal(count("shop.Cart.Add.total"), undefined);
});

test("all methods, or those that are listed, have counters of their own", async (t) => {
  const all = await bench(t, "stats_for_all_methods: true, replace_dots_in_grpc_service_name: true");
  await all.call("/shop.v1.Cart/Add?x=1");
  assert.equal(all.stat("cluster.app.grpc.shop_v1_Cart.Add.success"), 1);
  await all.call("/no-method");
  assert.equal(all.stat("cluster.app.grpc.success"), 1);
  const listed = await bench(
    t,
    "individual_method_stats_allowlist: { services: [{ name: shop.Cart, method_names: [Add] }] }",
  );
  await listed.call("/shop.Cart/Add");
  await listed.call("/shop.Cart/Other");
  assert.equal(listed.stat("cluster.app.grpc.shop.Cart.Add.total"), 1);
  assert.equal(listed.stat("cluster.app.grpc.total"), 1);
});

test("upstream times have a histogram where that is configured", async (t) => {
  const { call, stat } = await bench(t, "stats_for_all_methods: true, enable_upstream_stats: true");
  await call("/shop.Cart/Add");
  await call("/shop.Cart/Add");
  assert.equal(stat("cluster.app.grpc.shop.Cart.Add.upstream_rq_time"), 2);
});

test("no more than 1000 methods have counters of their own, whatever clients ask for", async (t) => {
  const { CallStats } = await import("./call-stats.ts");
  const { Stats } = await import("../../../stats/stats.ts");
  const stats = new Stats();
  const calls = new CallStats(stats, { methods: null, replacesDots: false, hasTimes: false });
  for (let i = 0; i < 2000; i++) calls.of("app", `/s/m${i}`);
  assert.equal(stats.values().filter(({ name }) => name.endsWith(".total")).length, 1001);
  t.diagnostic("the last one is for all others");
});

test("the metrics hear how many messages a call had, and its status from the trailers", async (t) => {
  const facts: unknown[] = [];
  const started = await filterBench({
    filters: [
      filterConfig("grpc_stats", { reportsMessages: true, methods: new Set(), replacesDots: false }),
      filterConfig("istio_stats", standardRules),
    ],
    upstream: (_req, res) => {
      res.writeHead(200, { "content-type": "application/grpc", trailer: "grpc-status" });
      res.write(message("one"));
      res.addTrailers({ "grpc-status": "7" });
      res.end();
    },
    path: {
      observer: {
        onRequestComplete: ({ requestMessages, responseMessages, grpcStatus }) =>
          void facts.push([requestMessages, responseMessages, grpcStatus]),
        peerOf: () => null,
        onTcpOpened: () => {},
        onTcpProgress: () => {},
        onTcpClosed: () => {},
      },
    },
  });
  t.after(() => started.stop());
  const headers = { "content-type": "application/grpc", "content-length": 12 };
  await ask(started.path, "/s/m", { method: "POST", headers }, Buffer.concat([message("a"), message("b")]));
  await until(() => facts.length === 1);
  assert.deepEqual(facts, [[2, 1, "7"]]);
});
