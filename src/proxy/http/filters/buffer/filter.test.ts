import assert from "node:assert/strict";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { type FilterBench, type FilterBenchOptions, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, sendRaw, until } from "../../../listener/testing/requests.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3";
const filters = `
- name: buffer
  typed_config: { "@type": ${type}.Buffer, max_request_bytes: 10 }`;

interface Seen {
  count: number;
  length: string | undefined;
  coding: string | undefined;
  body: string;
}

async function bench(t: TestContext, options: Partial<FilterBenchOptions> = {}): Promise<FilterBench & { seen: Seen }> {
  const seen: Seen = { count: 0, length: undefined, coding: undefined, body: "" };
  const started = await filterBench({
    filters,
    upstream: (req, res) => {
      seen.count++;
      seen.length = req.headers["content-length"];
      seen.coding = req.headers["transfer-encoding"];
      seen.body = "";
      req.on("data", (chunk: Buffer) => (seen.body += chunk.toString()));
      req.on("end", () => res.end(`${seen.body} ${JSON.stringify(req.trailers)}`));
    },
    ...options,
  });
  t.after(() => started.stop());
  return { ...started, seen };
}

test("the upstream sees nothing of a request before all of it is here, and then its length", async (t) => {
  const { path, seen } = await bench(t);
  const socket = connect(path.port(), "127.0.0.1");
  let answer = "";
  socket.on("data", (data) => (answer += data.toString()));
  socket.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(seen.count, 0);
  socket.write("2\r\nde\r\n0\r\n\r\n");
  await until(() => answer.includes("abcde"));
  assert.deepEqual([seen.count, seen.length, seen.coding, seen.body], [1, "5", undefined, "abcde"]);
  socket.destroy();
});

test("requests without a body, and their responses, pass as they are", async (t) => {
  const { path, seen } = await bench(t);
  assert.equal((await ask(path, "/")).status, 200);
  assert.equal(seen.length, undefined);
  await ask(path, "/", { method: "POST", headers: { "transfer-encoding": "chunked" } });
  assert.equal(seen.length, "0");
});

test("trailers stay where they were, behind a chunked body", async (t) => {
  const { path, seen } = await bench(t);
  const head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
  const text = await sendRaw(path.port(), `${head}3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n`);
  assert.match(text, /abc \{"x-sum":"1"\}/);
  assert.equal(seen.coding, "chunked");
});

test("a longer body is refused, whether its length is told or not", async (t) => {
  const { path, seen, stat } = await bench(t);
  const told = await ask(path, "/", { method: "POST", headers: { "content-length": 11 } }, "x".repeat(11));
  assert.deepEqual([told.status, told.body], [413, "Payload Too Large"]);
  const head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
  assert.match(await sendRaw(path.port(), `${head}6\r\nabcdef\r\n6\r\nabcdef\r\n`), /^HTTP\/1.1 413 Payload Too Large/);
  assert.equal(seen.count, 0);
  assert.equal(stat("http.test.downstream_rq_too_large"), 2);
  await until(() => path.logs.length === 2);
  assert.equal(path.logs[1]?.["responseCodeDetails"], "request_payload_too_large");
  assert.equal(
    (await ask(path, "/", { method: "POST", headers: { "content-length": 10 } }, "x".repeat(10))).status,
    200,
  );
});

test("a route has a limit of its own, or none", async (t) => {
  const own = (yaml: string): string =>
    `typed_per_filter_config: { buffer: { "@type": ${type}.BufferPerRoute, ${yaml} } }`;
  const { path, seen } = await bench(t, {
    routes: `
routes:
- { match: { prefix: /off }, route: { cluster: app }, ${own("disabled: true")} }
- { match: { prefix: /more }, route: { cluster: app }, ${own("buffer: { max_request_bytes: 20 }")} }
- { match: { prefix: / }, route: { cluster: app } }`,
  });
  const post = { method: "POST", headers: { "transfer-encoding": "chunked" } };
  assert.equal((await ask(path, "/off", post, "x".repeat(30))).status, 200);
  assert.equal(seen.coding, "chunked");
  assert.equal((await ask(path, "/more", post, "x".repeat(15))).status, 200);
  assert.equal(seen.length, "15");
  assert.equal((await ask(path, "/more", post, "x".repeat(21))).status, 413);
  assert.equal((await ask(path, "/", post, "x".repeat(15))).status, 413);
});

test("settings without a limit are refused", async () => {
  const without = `[{ name: buffer, typed_config: { "@type": ${type}.Buffer } }]`;
  await assert.rejects(filterBench({ filters: without, upstream: () => {} }), /max_request_bytes: is missing or 0/);
});
