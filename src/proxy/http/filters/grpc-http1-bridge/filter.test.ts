import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import { type TestContext, test } from "node:test";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, until } from "../../../listener/testing/requests.ts";

const bridge = (yaml: string): string => `
- name: bridge
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_http1_bridge.v3.Config, ${yaml} }`;

async function bench(t: TestContext, upstream: RequestListener, yaml = ""): Promise<FilterBench> {
  const started = await filterBench({ filters: bridge(yaml), upstream });
  t.after(() => started.stop());
  return started;
}

const call = { method: "POST", headers: { "content-type": "application/grpc", "transfer-encoding": "chunked" } };

const answering =
  (status: string, body: string | Buffer): RequestListener =>
  (req, res) => {
    req.resume();
    req.on("end", () => {
      res.writeHead(200, { "content-type": "application/grpc", trailer: "grpc-status", "x-path": req.url ?? "" });
      res.write(body);
      res.addTrailers({ "grpc-status": status, "grpc-message": "words" });
      res.end();
    });
  };

test("the trailers of a gRPC answer stand in its head, with its length", async (t) => {
  const { path } = await bench(t, answering("0", "message"));
  const answer = await ask(path, "/s/m", call, "request");
  assert.deepEqual(
    [answer.status, answer.headers["grpc-status"], answer.headers["grpc-message"], answer.headers["content-length"]],
    [200, "0", "words", "7"],
  );
  assert.deepEqual([answer.body, answer.trailers], ["message", {}]);
});

test("a call that failed is no success in HTTP", async (t) => {
  const { path } = await bench(t, answering("9", "x"));
  assert.equal((await ask(path, "/s/m", call, "request")).status, 503);
  const bare = await bench(t, (req, res) => {
    req.resume();
    req.on("end", () =>
      res.writeHead(200, { "content-type": "application/grpc", "grpc-status": "9", "content-length": 0 }).end(),
    );
  });
  const answer = await ask(bare.path, "/s/m", call, "request");
  assert.deepEqual([answer.status, answer.headers["grpc-status"]], [503, "9"]);
});

test("other requests pass, and queries go when they are to be ignored", async (t) => {
  const { path } = await bench(t, answering("0", "x"), "ignore_query_parameters: true");
  assert.equal((await ask(path, "/s/m?a=1", call, "request")).headers["x-path"], "/s/m");
  const plain = await ask(path, "/s/m?a=1", { method: "POST" }, "request");
  assert.deepEqual([plain.headers["x-path"], plain.trailers["grpc-status"]], ["/s/m?a=1", "0"]);
});

test("an answer that is too long to be held is an error", async (t) => {
  const { path } = await bench(t, answering("0", Buffer.alloc(2 * 1024 * 1024)));
  const answer = await ask(path, "/s/m", call, "request");
  assert.deepEqual([answer.status, answer.headers["grpc-status"]], [200, "2"]);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseCodeDetails"], "response_payload_too_large");
});

test("framing of plain messages is refused", async () => {
  const started = filterBench({ filters: bridge("upgrade_protobuf_to_grpc: true"), upstream: () => {} });
  await assert.rejects(started, /framing of plain messages is not supported/);
});
