// HTTP/2 on both sides of the proxy, with node:http2, node:http and curl as independent peers.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { type ClientHttp2Session, constants, type IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { RetryOn } from "../config/http.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  retryPolicy,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { askHttp2, http2Server, http2Session } from "./testing/http2-peers.ts";
import { ask, until } from "./testing/requests.ts";

type Protocol = "http1" | "http2" | "downstream";

async function pathTo(
  port: number,
  upstreamProtocol: Protocol,
  route: Parameters<typeof forward>[1] = {},
  manager: Parameters<typeof managerConfig>[1] = {},
): Promise<TestDataPath> {
  const path = dataPath();
  path.clusters.update(clusterOn("app", [port], { upstreamProtocol }));
  const config = managerConfig([routeEntry("/", forward("app", route))], manager);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  return path;
}

function open(path: TestDataPath): ClientHttp2Session {
  return http2Session(path.port());
}

test("an HTTP/2 client reaches an HTTP/1 server, bodies both ways", async () => {
  const server = await httpServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      res.setHeader("X-Seen", `${req.method} ${req.url} ${req.headers.host} ${req.httpVersion}`);
      res.end(Buffer.concat(chunks));
    });
  });
  const path = await pathTo(server.port, "downstream");
  path.clusters.update(clusterOn("app", [server.port], { upstreamProtocol: "http1" }));
  const session = open(path);
  const body = Buffer.alloc(300_000, "abc");
  const answer = await askHttp2(session, { ":method": "POST", ":path": "/x?y", ":authority": "shop.test" }, body);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["x-seen"], "POST /x?y shop.test 1.1");
  assert.equal(answer.body, body.toString());
  const got = await askHttp2(session, { ":path": "/get" });
  assert.match(String(got.headers["x-seen"]), /^GET \/get/);
  session.close();
  await until(() => path.logs.length === 2);
  assert.equal(path.logs[0]?.["protocol"], "HTTP/2");
  path.stop();
  server.stop();
});

test("an HTTP/1 client reaches an HTTP/2 server, with trailers", async () => {
  const server = await http2Server((stream, headers) => {
    stream.respond(
      { ":status": 201, "x-seen": `${headers[":method"]} ${headers[":authority"]}` },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "42" }));
    stream.end("over two");
  });
  const path = await pathTo(server.port, "http2");
  const answer = await ask(path, "/", { headers: { host: "shop.test", te: "trailers" } });
  assert.equal(answer.status, 201);
  assert.equal(answer.headers["x-seen"], "GET shop.test");
  assert.equal(answer.headers["transfer-encoding"], "chunked");
  assert.equal(answer.body, "over two");
  path.stop();
  server.stop();
});

test("many streams share one connection on each side", async () => {
  let sessions = 0;
  const server = await http2Server((stream, headers) => {
    stream.respond({ ":status": 200 });
    setTimeout(() => stream.end(String(headers[":path"])), 5);
  });
  const path = await pathTo(server.port, "http2");
  const session = open(path);
  const answers = await Promise.all(
    Array.from({ length: 80 }, (_, i) => askHttp2(session, { ":path": `/${i}` }).then((answer) => answer.body)),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 80 }, (_, i) => `/${i}`),
  );
  sessions = path.clusters.get("app")?.endpoints[0]?.activeConnections ?? 0;
  assert.equal(sessions, 1);
  session.close();
  path.stop();
  server.stop();
});

test("gRPC: messages both ways, trailers with the status, and a refusal as trailers only", async () => {
  const server = await http2Server((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "5", "grpc-message": "not here" }));
    stream.on("data", (chunk: Buffer) => stream.write(chunk));
    stream.on("end", () => stream.end());
  });
  const path = await pathTo(server.port, "http2");
  const session = open(path);
  const stream = session.request({
    ":method": "POST",
    ":path": "/p.S/M",
    "content-type": "application/grpc",
    te: "trailers",
  });
  await once(stream, "response");
  // A bidirectional stream: each message comes back before the next one is sent.
  for (const message of ["one", "two", "three"]) {
    stream.write(message);
    const [chunk] = (await once(stream, "data")) as [Buffer];
    assert.equal(chunk.toString(), message);
  }
  stream.end();
  const [trailers] = (await once(stream, "trailers")) as [IncomingHttpHeaders];
  assert.equal(trailers["grpc-status"], "5");
  await until(() => path.requests.length === 1);
  assert.equal(path.requests[0]?.grpcStatus, "5");
  server.stop();
  await until(() => path.clusters.get("app")?.endpoints[0]?.activeConnections === 0);
  const refused = session.request({ ":method": "POST", ":path": "/p.S/M", "content-type": "application/grpc" });
  refused.end();
  const [head, flags] = (await once(refused, "response")) as [IncomingHttpHeaders, number];
  assert.equal(head["grpc-status"], "14");
  assert.equal(flags & constants.NGHTTP2_FLAG_END_STREAM, constants.NGHTTP2_FLAG_END_STREAM);
  session.close();
  path.stop();
});

test("a client that resets its stream resets the upstream's, and other streams go on", async () => {
  let resets = 0;
  const server = await http2Server((stream, headers) => {
    stream.respond({ ":status": 200 });
    if (headers[":path"] === "/slow") stream.on("close", () => resets++);
    else stream.end("quick");
  });
  const path = await pathTo(server.port, "http2");
  const session = open(path);
  const slow = session.request({ ":path": "/slow" });
  await once(slow, "response");
  slow.close(constants.NGHTTP2_CANCEL);
  await until(() => resets === 1);
  assert.equal((await askHttp2(session, { ":path": "/quick" })).body, "quick");
  await until(() => path.logs.length === 2);
  assert.equal(path.logs[0]?.["responseFlags"], "DR");
  assert.equal(path.logs[0]?.["responseCodeDetails"], "http2.remote_reset");
  session.close();
  path.stop();
  server.stop();
});

test("a server's reset is told as such, a refused stream is sent again", async () => {
  let calls = 0;
  const server = await http2Server((stream, headers) => {
    calls++;
    if (headers[":path"] === "/refuse" && calls === 1) stream.close(constants.NGHTTP2_REFUSED_STREAM);
    else if (headers[":path"] === "/reset") stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    else {
      stream.respond({ ":status": 200 });
      stream.end("served");
    }
  });
  const path = await pathTo(server.port, "http2");
  assert.equal((await ask(path, "/refuse", { method: "POST" }, "x")).body, "served");
  assert.equal(calls, 2);
  const reset = await ask(path, "/reset");
  assert.equal(reset.status, 503);
  assert.equal(path.logs[1]?.["responseFlags"], "UR");
  assert.equal(path.logs[1]?.["responseCodeDetails"], "upstream_reset_before_response_started{remote_reset}");
  path.stop();
  server.stop();
});

test("retries on gRPC status follow the policy", async () => {
  let calls = 0;
  const server = await http2Server((stream) => {
    calls++;
    const status = calls < 3 ? "14" : "0";
    stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": status }, { endStream: true });
  });
  const retry = retryPolicy({ retryOn: RetryOn.GrpcUnavailable, numRetries: 3 });
  const path = await pathTo(server.port, "http2", { retry });
  const session = open(path);
  const headers = { ":method": "POST", ":path": "/p.S/M", "content-type": "application/grpc" };
  const answer = await askHttp2(session, headers, "message");
  assert.equal(answer.headers["grpc-status"], "0");
  assert.equal(calls, 3);
  session.close();
  path.stop();
  server.stop();
});

test("an extended CONNECT becomes an Upgrade for an HTTP/1 server, and bytes flow both ways", async () => {
  const server = await httpServer(() => {});
  server.server.on("upgrade", (req, socket) => {
    assert.equal(req.headers.upgrade, "websocket");
    assert.match(String(req.headers["sec-websocket-key"]), /^[A-Za-z0-9+/]{22}==$/);
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    socket.on("data", (data: Buffer) => socket.write(data));
    socket.on("end", () => socket.end());
  });
  const path = await pathTo(server.port, "http1");
  const session = open(path);
  await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/chat",
    ":scheme": "http",
  });
  const [head] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status"?: number }];
  assert.equal(head[":status"], 200);
  stream.write("hello");
  const [echo] = (await once(stream, "data")) as [Buffer];
  assert.equal(echo.toString(), "hello");
  stream.end();
  await once(stream, "close");
  session.close();
  path.stop();
  server.stop();
});

test("an Upgrade becomes an extended CONNECT for an HTTP/2 server", async () => {
  const server = await http2Server((stream, headers) => {
    assert.equal(headers[":protocol"], "websocket");
    stream.respond({ ":status": 200 });
    stream.on("data", (data: Buffer) => stream.write(data));
    stream.on("end", () => stream.end());
  });
  const path = await pathTo(server.port, "http2");
  const socket = connect(path.port(), "127.0.0.1");
  socket.write(
    "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  const [head] = (await once(socket, "data")) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1\.1 101 /);
  assert.match(head.toString(), /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
  socket.write("hello");
  const [echo] = (await once(socket, "data")) as [Buffer];
  assert.equal(echo.toString(), "hello");
  socket.end();
  await once(socket, "close");
  path.stop();
  server.stop();
});

test("draining tells HTTP/2 clients to go, and what runs is finished", async () => {
  let finish: (() => void) | null = null;
  const server = await http2Server((stream) => {
    stream.respond({ ":status": 200 });
    finish = () => stream.end("finished");
  });
  const path = await pathTo(server.port, "http2");
  const session = open(path);
  const running = askHttp2(session, { ":path": "/" });
  await until(() => finish !== null);
  const goaway = once(session, "goaway");
  const drained = path.listeners.drain(5000);
  await goaway;
  finish!();
  assert.equal((await running).body, "finished");
  assert.equal(await drained, 0);
  path.stop();
  server.stop();
});

test("a slow reader holds its own stream up, and memory stays bounded", async () => {
  let sent = 0;
  const chunk = Buffer.alloc(64 * 1024, "x");
  const server = await http2Server((stream, headers) => {
    stream.respond({ ":status": 200 });
    if (headers[":path"] !== "/big") {
      stream.end("small");
      return;
    }
    const pump = (): void => {
      while (sent < 64 * 1024 * 1024) {
        sent += chunk.length;
        if (!stream.write(chunk)) {
          stream.once("drain", pump);
          return;
        }
      }
      stream.end();
    };
    pump();
  });
  const path = await pathTo(server.port, "http2");
  const session = open(path);
  const big = session.request({ ":path": "/big" });
  await once(big, "response");
  assert.equal((await askHttp2(session, { ":path": "/small" })).body, "small");
  // Nobody reads `big`: the windows of three connections fill, and the server has to stop.
  let before = -1;
  await until(() => {
    const isStill = sent === before;
    before = sent;
    return isStill;
  });
  assert.ok(sent < 8 * 1024 * 1024, `${sent} bytes were taken from the server`);
  big.close();
  session.destroy();
  path.stop();
  server.stop();
});

test("curl speaks HTTP/2 by prior knowledge and HTTP/1 to one port", async () => {
  const server = await httpServer((req, res) => res.end(`${req.method} ${req.url}`));
  const path = await pathTo(server.port, "http1");
  const curl = async (...args: string[]): Promise<string> =>
    (
      await promisify(execFile)("curl", [
        "-sS",
        "-m",
        "10",
        "-w",
        " %{http_version}",
        ...args,
        `http://127.0.0.1:${path.port()}/c`,
      ])
    ).stdout;
  assert.equal(await curl("--http2-prior-knowledge"), "GET /c 2");
  assert.equal(await curl("--http1.1"), "GET /c 1.1");
  assert.equal(await curl("--http2-prior-knowledge", "-d", "body"), "POST /c 2");
  path.stop();
  server.stop();
});
