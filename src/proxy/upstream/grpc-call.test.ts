// Servers are node:http2 ones that answer what no gRPC server would; real ones are in http/filters/ratelimit.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { clusterOn, dataPath } from "../listener/testing/data-path.ts";
import { callGrpc } from "./grpc-call.ts";

/** The outcome of a call to a server, as `message: …` or as the status and why. */
async function outcome(t: TestContext, answer: (stream: ServerHttp2Stream) => void): Promise<string> {
  const server = createServer();
  server.on("stream", answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const path = dataPath();
  path.clusters.update(clusterOn("c", [(server.address() as AddressInfo).port], { upstreamProtocol: "http2" }));
  t.after(() => {
    path.stop();
    server.close();
  });
  return new Promise((resolve) => {
    const call = {
      cluster: "c",
      authority: "",
      path: "/s/m",
      metadata: [],
      message: Buffer.from("in"),
      timeoutMs: 500,
    };
    callGrpc(path, call, {
      onGrpcDone: (message) => resolve(`message: ${message.toString()}`),
      onGrpcFailed: ({ status, words }) => resolve(`${status}: ${words}`),
    });
  });
}

const grpc = { ":status": 200, "content-type": "application/grpc" };

/** Answers with a head, a body and trailers. */
function respond(stream: ServerHttp2Stream, body: Buffer | string, trailers: Record<string, string>): void {
  stream.respond(grpc, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.end(body);
}

test("a message comes back, or the server's status and words", async (t) => {
  const ok = await outcome(t, (stream) => respond(stream, Buffer.from("\0\0\0\0\x03out"), { "grpc-status": "0" }));
  assert.equal(ok, "message: out");
  const failed = { "grpc-status": "5", "grpc-message": "no%20such thing" };
  assert.equal(await outcome(t, (stream) => respond(stream, "", failed)), "5: no such thing");
  const headOnly = await outcome(t, (stream) => stream.respond({ ...grpc, "grpc-status": "7" }, { endStream: true }));
  assert.equal(headOnly, "7: gRPC status 7");
});

test("an answer that is no gRPC, or not one plain message, is a failure with its reason", async (t) => {
  const cases: readonly (readonly [(stream: ServerHttp2Stream) => void, string])[] = [
    [(stream) => stream.respond({ ":status": 503 }, { endStream: true }), "14: HTTP status 503"],
    [(stream) => stream.respond({ ":status": 404 }, { endStream: true }), "2: HTTP status 404"],
    [
      (stream) => stream.respond({ ":status": 200, "content-type": "text/html" }, { endStream: true }),
      "2: the response is not gRPC",
    ],
    [(stream) => stream.respond(grpc, { endStream: true }), "2: the response has no grpc-status"],
    [(stream) => respond(stream, "", { "grpc-status": "0" }), "13: the answer is not one message"],
    [
      (stream) => respond(stream, Buffer.from("\0\0\0\0\x09out"), { "grpc-status": "0" }),
      "13: the answer is not one message",
    ],
    [
      (stream) => respond(stream, Buffer.from("\x01\0\0\0\x03out"), { "grpc-status": "0" }),
      "13: the answer is compressed",
    ],
    [
      (stream) => respond(stream, Buffer.alloc(5 * 1024 * 1024), { "grpc-status": "0" }),
      "8: the answer is longer than 4194304 bytes",
    ],
    [() => {}, "4: no answer within 500 ms"],
  ];
  for (const [answer, expected] of cases) assert.equal(await outcome(t, answer), expected);
});

test("a call to a cluster that is not there fails after it has begun", async (t) => {
  const path = dataPath();
  t.after(() => path.stop());
  let hasReturned = false;
  const failed = new Promise<string>((resolve) => {
    const call = { cluster: "c", authority: "", path: "/s/m", metadata: [], message: Buffer.alloc(0), timeoutMs: 0 };
    const cancel = callGrpc(path, call, {
      onGrpcDone: () => resolve("done"),
      onGrpcFailed: ({ words }) => resolve(`${hasReturned}: ${words}`),
    });
    hasReturned = true;
    assert.equal(typeof cancel, "function");
  });
  assert.equal(await failed, 'true: the cluster "c" does not exist');
});
