import assert from "node:assert/strict";
import type { IncomingHttpHeaders } from "node:http";
import { type TestContext, test } from "node:test";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask } from "../../../listener/testing/requests.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3";
const set = (key: string, value: string, action = "OVERWRITE_IF_EXISTS_OR_ADD"): string =>
  `{ append: { header: { key: "${key}", value: "${value}" }, append_action: ${action} } }`;

async function bench(
  t: TestContext,
  chain: string,
  routes = "routes: [{ match: { prefix: / }, route: { cluster: app } }]",
): Promise<FilterBench & { seen: () => { url: string; method: string; headers: IncomingHttpHeaders } }> {
  let seen = { url: "", method: "", headers: {} as IncomingHttpHeaders };
  const started = await filterBench({
    filters: `[{ name: mutate, typed_config: { "@type": ${type}.HeaderMutation, ${chain} } }]`,
    routes,
    upstream: (req, res) => {
      seen = { url: req.url ?? "", method: req.method ?? "", headers: req.headers };
      res.setHeader("x-old", "1");
      res.end("app");
    },
  });
  t.after(() => started.stop());
  return { ...started, seen: () => seen };
}

test("headers are added, replaced, kept and removed in both directions, with operators in values", async (t) => {
  const { path, seen } = await bench(
    t,
    `mutations: {
       request_mutations: [${set("x-a", "%REQ(x-b)%!")}, ${set("x-b", "2", "APPEND_IF_EXISTS_OR_ADD")},
         ${set("x-c", "no", "ADD_IF_ABSENT")}, ${set("x-none", "no", "OVERWRITE_IF_EXISTS")}, { remove: x-d },
         ${set("x-e", "%PATH(NQ)% %CONNECTION_ID% %METADATA(ROUTE:own:a)% 5%% %NONSENSE%")}],
       response_mutations: [{ remove: x-old }, ${set("x-new", "%RESPONSE_CODE%")}] }`,
  );
  const answer = await ask(path, "/?q", { headers: { "x-b": "1", "x-c": "c", "x-d": "d" } });
  const { headers } = seen();
  assert.deepEqual(
    [headers["x-a"], headers["x-b"], headers["x-c"], headers["x-none"], headers["x-d"]],
    ["1!", "1, 2", "c", undefined, undefined],
  );
  assert.equal(headers["x-e"], "/ 1 - 5% %NONSENSE%", "every operator of access logs; what is none stays");
  assert.deepEqual([answer.headers["x-old"], answer.headers["x-new"]], [undefined, "200"]);
});

test("path, host and method of a request, and the status of a response, can be set", async (t) => {
  const { path, seen } = await bench(
    t,
    `mutations: { request_mutations: [${set(":path", "/new")}, ${set(":authority", "b.example")}, ${set(":method", "PUT")}],
       response_mutations: [${set(":status", "203")}] }`,
  );
  const answer = await ask(path, "/old");
  assert.deepEqual([seen().url, seen().method, seen().headers.host], ["/new", "PUT", "b.example"]);
  assert.equal(answer.status, 203);
});

test("responses that are made here are changed too", async (t) => {
  const { path } = await bench(
    t,
    `mutations: { response_mutations: [${set("x-new", "1")}] }`,
    "routes: [{ match: { prefix: / }, direct_response: { status: 404 } }]",
  );
  assert.equal((await ask(path, "/")).headers["x-new"], "1");
});

test("of routes and virtual hosts, the less specific has the last word, or the more specific when that is asked for", async (t) => {
  const own = (value: string): string =>
    `typed_per_filter_config: { mutate: { "@type": ${type}.HeaderMutationPerRoute,
       mutations: { request_mutations: [${set("x-who", value)}, ${set("x-all", value, "APPEND_IF_EXISTS_OR_ADD")}] } } }`;
  const routes = `
routes: [{ match: { prefix: / }, route: { cluster: app }, ${own("route")} }]
${own("host")}`;
  const chain = `mutations: { request_mutations: [${set("x-all", "chain")}] }`;
  const outer = await bench(t, chain, routes);
  await ask(outer.path, "/");
  assert.deepEqual([outer.seen().headers["x-who"], outer.seen().headers["x-all"]], ["host", "chain, route, host"]);
  const inner = await bench(t, `${chain}, most_specific_header_mutations_wins: true`, routes);
  await ask(inner.path, "/");
  assert.deepEqual([inner.seen().headers["x-who"], inner.seen().headers["x-all"]], ["route", "chain, host, route"]);
});

test("what a message cannot do without is not removed", async () => {
  for (const name of [":path", "Host", ""]) {
    const filters = `[{ name: m, typed_config: { "@type": ${type}.HeaderMutation,
      mutations: { request_mutations: [{ remove: "${name}" }] } } }]`;
    await assert.rejects(filterBench({ filters, upstream: () => {} }), /cannot be removed|names no action/);
  }
});
