import assert from "node:assert/strict";
import type { IncomingHttpHeaders, RequestListener } from "node:http";
import { request } from "node:http";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { clusterOn } from "../../../listener/testing/data-path.ts";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { grpcServer } from "../../../listener/testing/grpc-server.ts";
import { type Answer, ask, until } from "../../../listener/testing/requests.ts";
import { Base64Decoder, Base64FrameEncoder } from "./base64.ts";

const web = `
- name: web
  typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb }`;

const message = (text: string, flag = 0): Buffer => {
  const header = Buffer.alloc(5);
  header[0] = flag;
  header.writeUInt32BE(text.length, 1);
  return Buffer.concat([header, Buffer.from(text)]);
};

interface Seen {
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** A gRPC server, as far as HTTP/1 with trailers carries it: answers each call with two messages. */
function twoMessages(seen: Seen): RequestListener {
  return (req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      seen.headers = req.headers;
      seen.body = Buffer.concat(chunks);
      res.writeHead(200, { "content-type": "application/grpc+proto", trailer: "grpc-status, grpc-message" });
      res.write(message("Hello "));
      res.addTrailers({ "grpc-status": "0", "grpc-message": "fine" });
      res.end(message("world"));
    });
  };
}

async function bench(t: TestContext, upstream?: RequestListener): Promise<FilterBench & { seen: Seen }> {
  const seen: Seen = { headers: {}, body: Buffer.alloc(0) };
  const started = await filterBench({ filters: web, upstream: upstream ?? twoMessages(seen) });
  t.after(() => started.stop());
  return { ...started, seen };
}

const post = (contentType: string, more: Record<string, string> = {}): Record<string, unknown> => ({
  method: "POST",
  headers: { "content-type": contentType, "transfer-encoding": "chunked", ...more },
});

const trailers = message("grpc-status:0\r\ngrpc-message:fine\r\n", 0x80);
const answered = Buffer.concat([message("Hello "), message("world"), trailers]);

test("binary gRPC-Web becomes gRPC, and the trailers of the answer its last frame", async (t) => {
  const { path, seen } = await bench(t);
  const answer = await ask(path, "/s/m", post("application/grpc-web+proto"), message("hi"));
  assert.equal(seen.headers["content-type"], "application/grpc+proto");
  assert.equal(seen.headers["te"], "trailers");
  assert.deepEqual(seen.body, message("hi"));
  assert.equal(answer.headers["content-type"], "application/grpc-web+proto");
  assert.deepEqual(answer.bytes, answered);
  assert.deepEqual(answer.trailers, {});
});

test("text gRPC-Web is base64 in both directions, each message readable by itself", async (t) => {
  const { path, seen } = await bench(t);
  const body = Buffer.from(message("hi").toString("base64"));
  const answer = await ask(path, "/s/m", post("application/grpc-web-text"), body);
  assert.deepEqual([seen.headers["content-type"], seen.body], ["application/grpc", message("hi")]);
  assert.equal(answer.headers["content-type"], "application/grpc-web-text");
  assert.equal(
    answer.body,
    [message("Hello "), message("world"), trailers].map((frame) => frame.toString("base64")).join(""),
  );
});

test("the client says in Accept whether the answer is text", async (t) => {
  const { path } = await bench(t);
  const text = await ask(path, "/", post("application/grpc-web", { accept: "application/grpc-web-text" }), message(""));
  assert.equal(text.headers["content-type"], "application/grpc-web-text");
  const binary = await ask(
    path,
    "/",
    post("application/grpc-web-text", { accept: "application/grpc-web" }),
    "AAAAAAA=",
  );
  assert.deepEqual(binary.bytes, answered);
});

test("messages of a stream reach the client while the call goes on", async (t) => {
  let send: (data: Buffer | null) => void = () => {};
  const { path } = await bench(t, (req, res) => {
    req.resume();
    res.writeHead(200, { "content-type": "application/grpc" });
    res.flushHeaders();
    send = (data) => (data === null ? res.end() : res.write(data));
  });
  let got = "";
  const client = request({ host: "127.0.0.1", port: path.port(), ...post("application/grpc-web-text") }, (response) => {
    response.on("data", (chunk: Buffer) => (got += chunk.toString()));
    send(message("1"));
  });
  client.end("AAAAAAA=");
  await until(() => got === message("1").toString("base64"));
  send(message("22"));
  await until(() => got === message("1").toString("base64") + message("22").toString("base64"));
  client.destroy();
});

test("an answer without a body keeps its status in the head", async (t) => {
  const { path } = await bench(t, (req, res) => {
    req.resume();
    req.on("end", () =>
      res.writeHead(200, { "content-type": "application/grpc", "grpc-status": "5", "content-length": 0 }).end(),
    );
  });
  const answer = await ask(path, "/", post("application/grpc-web"), message(""));
  assert.deepEqual([answer.headers["grpc-status"], answer.headers["content-type"]], ["5", "application/grpc-web"]);
});

test("an answer that is no gRPC becomes a status and a message", async (t) => {
  const { path } = await bench(t, (req, res) => {
    req.resume();
    req.on("end", () => res.writeHead(404, { "content-type": "text/html" }).end("<h1>no such 100% page</h1>"));
  });
  const answer = await ask(path, "/", post("application/grpc-web"), message(""));
  assert.deepEqual(
    [answer.headers["grpc-status"], answer.headers["grpc-message"], answer.headers["content-type"], answer.body],
    ["12", "<h1>no such 100%25 page</h1>", "application/grpc-web", ""],
  );
});

test("what the proxy answers itself is gRPC-Web too", async (t) => {
  const { path } = await bench(t);
  path.clusters.remove("app");
  const answer = await ask(path, "/", post("application/grpc-web-text"), "AAAAAAA=");
  assert.deepEqual(
    [answer.status, answer.headers["content-type"], answer.headers["grpc-status"]],
    [200, "application/grpc-web-text", "14"],
  );
});

test("a body that is no base64 is refused, and other formats pass", async (t) => {
  const { path, seen } = await bench(t);
  for (const body of ["!!!!", "AAAA A==", "AAA"]) {
    const answer = await ask(path, "/", post("application/grpc-web-text"), body);
    assert.equal(answer.headers["grpc-status"], "13", body);
  }
  assert.deepEqual(seen.headers, {});
  await until(() => path.logs.length === 3);
  assert.equal(path.logs[0]?.["responseCodeDetails"], "grpc_base_64_decode_failed");
  await ask(path, "/", post("application/json"), "{}");
  assert.equal(seen.headers["content-type"], "application/json");
});

test("a server of @grpc/grpc-js answers a call in gRPC-Web", async (t) => {
  const bytes = (data: Buffer): Buffer => data;
  const server = await grpcServer(
    {
      path: "/s/m",
      requestStream: false,
      responseStream: false,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    },
    (request) => {
      if (request.toString() === "fail") throw Object.assign(new Error("no"), { code: 5, details: "not found" });
      return Buffer.from(`Hello ${request.toString()}`);
    },
  );
  t.after(() => server.stop());
  const { path } = await bench(t);
  path.clusters.update(clusterOn("app", [server.port], { upstreamProtocol: "http2" }));
  const call = (text: string): Promise<Answer> =>
    ask(path, "/s/m", post("application/grpc-web-text"), message(text).toString("base64"));
  const answer = await call("world");
  assert.equal(answer.body.slice(0, 24), message("Hello world").toString("base64"));
  assert.match(Buffer.from(answer.body.slice(24), "base64").toString("latin1"), /^\x80.{4}grpc-status:0\r\n/s);
  const failed = await call("fail");
  const status = `${failed.headers["grpc-status"] ?? ""}${Buffer.from(failed.body, "base64").toString("latin1")}`;
  assert.match(status, /^5|grpc-status:5/);
});

test("base64 in pieces is what it is in one", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 20 }), { maxLength: 5 }), fc.array(fc.nat(9)), (texts, cuts) => {
      const body = Buffer.concat(texts.map((text) => message(Buffer.from(text).toString("latin1"))));
      const encoder = new Base64FrameEncoder();
      const decoder = new Base64Decoder();
      let back = Buffer.alloc(0);
      let at = 0;
      for (const cut of [...cuts, body.length]) {
        const coded = encoder.encode(body.subarray(at, at + cut));
        at = Math.min(body.length, at + cut);
        for (let i = 0; i < coded.length; i += 3) {
          back = Buffer.concat([back, decoder.decode(coded.subarray(i, i + 3)) ?? Buffer.from("broken")]);
        }
      }
      assert.ok(decoder.isComplete);
      assert.deepEqual(back, body);
    }),
  );
});
