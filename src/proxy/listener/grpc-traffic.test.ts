// gRPC through one proxy, and through two sidecars with mutual TLS between them, with @grpc/grpc-js as client and server
// and Python's grpcio as a second implementation.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync } from "node:fs";
import { constants as http2Constants, type IncomingHttpHeaders } from "node:http2";
import { after, before, type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { type ClientDuplexStream, type ClientOptions, Metadata, status } from "@grpc/grpc-js";
import { type ForwardAction, RetryOn } from "../config/http.ts";
import { clusterConfig as clusterFromYaml } from "../config/testing/resources.ts";
import { type TestAuthority, testAuthority } from "./testing/certificates.ts";
import {
  byTurns,
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  listenerConfig,
  managerConfig,
  retryPolicy,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { EchoClient, type EchoHandlers, grpcServer } from "./testing/grpc-echo.ts";
import { http2Server, http2Session } from "./testing/http2-peers.ts";
import { until } from "./testing/requests.ts";
import { startClientSidecar, startServerSidecar } from "./testing/sidecar-pair.ts";

let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

type Way = "one proxy" | "two sidecars";

/** The data path that clients connect to. */
async function pathTo(
  context: TestContext,
  port: number,
  way: Way = "one proxy",
  route: Partial<ForwardAction> = {},
): Promise<TestDataPath> {
  const cluster = { upstreamProtocol: "http2" as const };
  if (way === "two sidecars") {
    const server = await startServerSidecar(authority, { mode: "strict", port, cluster });
    const client = await startClientSidecar(authority, { port: server.port(), cluster, route });
    context.after(() => {
      client.stop();
      server.stop();
    });
    return client;
  }
  const path = dataPath();
  context.after(() => path.stop());
  path.clusters.update(clusterOn("app", [port], cluster));
  const config = managerConfig([routeEntry("/", forward("app", route))]);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  return path;
}

async function echoBehind(
  context: TestContext,
  way: Way,
  handlers: Partial<EchoHandlers> = {},
  options: ClientOptions = {},
): Promise<{ readonly client: EchoClient; readonly path: TestDataPath }> {
  const server = await grpcServer(handlers);
  context.after(() => server.stop());
  const path = await pathTo(context, server.port, way);
  return { client: clientOf(context, path, options), path };
}

function clientOf(context: TestContext, path: TestDataPath, options: ClientOptions = {}): EchoClient {
  const client = new EchoClient(path.port(), options);
  context.after(() => client.close());
  return client;
}

async function read(stream: AsyncIterable<unknown>): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return parts;
}

for (const way of ["one proxy", "two sidecars"] as const) {
  test(`${way}: a unary call with metadata in all places, text and bytes`, async (context) => {
    const { client, path } = await echoBehind(context, way);
    const metadata = new Metadata();
    metadata.set("x-text", "some text");
    metadata.add("x-list", "one");
    metadata.add("x-list", "two");
    metadata.set("x-raw-bin", Buffer.from([0, 255, 10, 13, 44]));
    const { error, body, head, trailers } = await client.unary(Buffer.from("hello"), metadata);
    assert.equal(error, null);
    assert.equal(body?.toString(), "hello");
    assert.deepEqual(head?.get("x-head"), ["early"]);
    assert.deepEqual(trailers?.get("x-text"), ["some text"]);
    assert.deepEqual(trailers?.get("x-raw-bin"), [Buffer.from([0, 255, 10, 13, 44])]);
    await until(() => path.logs.length === 1);
    if (way === "one proxy") assert.equal(path.requests[0]?.grpcStatus, "0");
  });

  test(`${way}: client, server and bidirectional streaming`, async (context) => {
    const { client } = await echoBehind(context, way);
    const parts = Array.from({ length: 200 }, (_, i) => Buffer.from(`part ${i};`));
    assert.equal((await client.collect(parts)).toString(), Buffer.concat(parts).toString());
    assert.equal((await read(client.expand(Buffer.from("one by one")))).length, 10);
    const chat = client.chat();
    for (const word of ["ask", "answer", "again"]) {
      chat.write(Buffer.from(word));
      const [answer] = (await once(chat, "data")) as [Buffer];
      assert.equal(answer.toString(), word);
    }
    chat.end();
    const [end] = (await once(chat, "status")) as [{ code: number }];
    assert.equal(end.code, status.OK);
  });

  test(`${way}: messages of megabytes both ways, many at a time, within the windows`, async (context) => {
    const { client } = await echoBehind(context, way);
    const bodies = Array.from({ length: 4 }, (_, i) => Buffer.alloc(4_000_000 + i, 97 + i));
    const answers = await Promise.all(bodies.map((body) => client.unary(body, new Metadata(), 20_000)));
    answers.forEach(({ error, body }, i) => assert.ok(error === null && body?.equals(bodies[i]!)));
  });

  test(`${way}: an error arrives with code, words and metadata, whether or not a head was sent before`, async (context) => {
    const { client } = await echoBehind(context, way, {
      unary: (call, done) => {
        if (call.request.length > 0) call.sendMetadata(new Metadata());
        const metadata = new Metadata();
        metadata.set("x-why", "because");
        done({ code: status.FAILED_PRECONDITION, details: "Größe, 100 %", metadata });
      },
    });
    for (const body of [Buffer.of(), Buffer.from("with a head")]) {
      const { error, trailers } = await client.unary(body);
      assert.deepEqual([error?.code, error?.details], [status.FAILED_PRECONDITION, "Größe, 100 %"]);
      assert.deepEqual(trailers?.get("x-why"), ["because"]);
    }
  });

  test(`${way}: a deadline ends the call at both ends, a cancellation too`, async (context) => {
    let cancelled = 0;
    const { client, path } = await echoBehind(context, way, {
      unary: (call) => void call.on("cancelled", () => cancelled++),
    });
    const { error } = await client.unary(Buffer.from("x"), new Metadata(), 200);
    assert.equal(error?.code, status.DEADLINE_EXCEEDED);
    await until(() => cancelled === 1);
    const { call, answer } = client.startUnary(Buffer.from("x"));
    await until(() => path.clusters.get(way === "one proxy" ? "app" : "server")?.endpoints[0]?.activeRequests === 1);
    call.cancel();
    assert.equal((await answer).error?.code, status.CANCELLED);
    await until(() => cancelled === 2);
    assert.deepEqual(
      path.logs.map((log) => log["responseFlags"]),
      ["DR", "DR"],
    );
  });
}

test("a slow reader of a server stream holds the server up, and gets everything in the end", async (context) => {
  let written = 0;
  let isHeld = false;
  const part = Buffer.alloc(64 * 1024, "s");
  const { client } = await echoBehind(context, "two sidecars", {
    expand: (call) => {
      const pump = (): void => {
        while (written < 400) {
          written++;
          if (!call.write(part)) {
            isHeld = true;
            call.once("drain", pump);
            return;
          }
        }
        call.end();
      };
      pump();
    },
  });
  const stream = client.expand(Buffer.from("go"));
  stream.pause();
  await until(() => isHeld);
  let before = -1;
  await until(() => {
    const isStill = written === before;
    before = written;
    return isStill;
  });
  assert.ok(written < 200, `${written} messages went out to nobody`);
  const parts = await read(stream);
  assert.equal(parts.length, 400);
});

test("the route's grpc-timeout ends the call with DEADLINE_EXCEEDED, even where the client forgot to", async (context) => {
  let resets = 0;
  const server = await http2Server((stream) => stream.on("aborted", () => resets++));
  context.after(() => server.stop());
  const path = await pathTo(context, server.port, "one proxy", { grpcTimeout: { maxMs: 0, offsetMs: 0 } });
  const session = http2Session(path.port());
  context.after(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": "/test.Echo/Unary",
    "content-type": "application/grpc",
    "grpc-timeout": "100m",
  });
  stream.end();
  const [head, flags] = (await once(stream, "response")) as [IncomingHttpHeaders, number];
  assert.deepEqual([head["grpc-status"], head["content-type"]], ["4", "application/grpc"]);
  assert.equal(flags & http2Constants.NGHTTP2_FLAG_END_STREAM, http2Constants.NGHTTP2_FLAG_END_STREAM);
  await until(() => resets === 1);
});

test("answers of HTTP are statuses of gRPC for the client: no endpoint, no route, an HTTP error of the server", async (context) => {
  const server = await http2Server((stream) => {
    stream.respond({ ":status": 503, "content-type": "text/plain" });
    stream.end("down");
  });
  context.after(() => server.stop());
  const path = await pathTo(context, server.port);
  const client = clientOf(context, path);
  assert.equal((await client.unary(Buffer.from("x"))).error?.code, status.UNAVAILABLE);
  path.clusters.update(clusterOn("app", [], { upstreamProtocol: "http2" }));
  const { error } = await client.unary(Buffer.from("x"));
  assert.deepEqual([error?.code, error?.details], [status.UNAVAILABLE, "no healthy upstream"]);
  const routes = managerConfig([routeEntry("/other", forward("app"))]);
  await path.listeners.update(listenerConfig([chain([httpFilter(routes)])]));
  const stranger = clientOf(context, path, { "grpc.use_local_subchannel_pool": 1 });
  assert.equal((await stranger.unary(Buffer.from("x"))).error?.code, status.UNIMPLEMENTED);
});

test("the route retries the statuses that it names, and hands the last one on", async (context) => {
  let calls = 0;
  const server = await grpcServer({
    unary: (call, done) => {
      calls++;
      if (call.request.toString() === "never" || calls < 3) done({ code: status.UNAVAILABLE, details: `try ${calls}` });
      else done(null, call.request);
    },
  });
  context.after(() => server.stop());
  const retry = retryPolicy({ retryOn: RetryOn.GrpcUnavailable, numRetries: 2 });
  const path = await pathTo(context, server.port, "one proxy", { retry });
  const client = clientOf(context, path);
  assert.equal((await client.unary(Buffer.from("third time"))).body?.toString(), "third time");
  calls = 0;
  const { error } = await client.unary(Buffer.from("never"));
  assert.deepEqual([error?.code, error?.details, calls], [status.UNAVAILABLE, "try 3", 3]);
  assert.equal(path.logs[1]?.["responseFlags"], "URX");
});

test("an endpoint that refuses calls by status alone is an outlier, though HTTP says 200", async (context) => {
  const bad = await grpcServer({ unary: (_call, done) => done({ code: status.UNAVAILABLE, details: "bad" }) });
  const good = await grpcServer();
  context.after(() => {
    bad.stop();
    good.stop();
  });
  const path = await pathTo(context, good.port);
  const yaml = "{ name: c, type: STATIC, outlier_detection: { consecutive_5xx: 3, max_ejection_percent: 50 } }";
  const { outlierDetection } = clusterFromYaml(yaml);
  path.clusters.update(
    clusterOn("app", [bad.port, good.port], {
      upstreamProtocol: "http2",
      loadBalancing: byTurns,
      outlierDetection,
    }),
  );
  const client = clientOf(context, path);
  const codes: unknown[] = [];
  for (let i = 0; i < 12; i++) codes.push((await client.unary(Buffer.from("x"))).error?.code ?? 0);
  assert.equal(codes.filter((code) => code === status.UNAVAILABLE).length, 3);
});

test("keepalive PINGs are answered for as long as a call is open, and are no flood", async (context) => {
  const { client } = await echoBehind(
    context,
    "one proxy",
    {},
    {
      "grpc.keepalive_time_ms": 20,
      "grpc.keepalive_timeout_ms": 200,
      "grpc.keepalive_permit_without_calls": 1,
    },
  );
  const chat: ClientDuplexStream<Buffer, Buffer> = client.chat();
  for (let i = 0; i < 30; i++) {
    chat.write(Buffer.of(i));
    await once(chat, "data");
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  chat.end();
  const [end] = (await once(chat, "status")) as [{ code: number }];
  assert.equal(end.code, status.OK);
});

const python = "/usr/bin/python3";

async function hasGrpcio(): Promise<boolean> {
  try {
    accessSync(python);
    await promisify(execFile)(python, ["-c", "import grpc"]);
    return true;
  } catch {
    return false; // not installed
  }
}

const pythonServer = `
import grpc, time, sys
from concurrent import futures
def unary(body, context):
    meta = dict(context.invocation_metadata())
    if body == b"fail": context.abort(grpc.StatusCode.NOT_FOUND, "nothing there")
    context.set_trailing_metadata((("x-raw-bin", meta.get("x-raw-bin", b"")),))
    return body
def chat(bodies, context):
    for body in bodies: yield body
def slow(body, context):
    time.sleep(20)
    return body
class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/test.Echo/Unary": return grpc.unary_unary_rpc_method_handler(unary)
        if details.method == "/test.Echo/Slow": return grpc.unary_unary_rpc_method_handler(slow)
        return grpc.stream_stream_rpc_method_handler(chat)
options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=options)
server.add_generic_rpc_handlers((Handler(),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(0)
`;

const pythonClient = `
import grpc, sys
options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
with grpc.insecure_channel("127.0.0.1:" + sys.argv[1], options=options) as channel:
    unary = channel.unary_unary("/test.Echo/Unary")
    answer, call = unary.with_call(b"hello", metadata=(("x-raw-bin", b"\\x00\\xff"),), timeout=10)
    print(answer.decode(), dict(call.trailing_metadata())["x-raw-bin"].hex())
    big = b"b" * 6000000
    print(unary(big, timeout=20) == big)
    print(b"".join(channel.stream_stream("/test.Echo/Chat")(iter([b"one ", b"two ", b"three"]), timeout=10)).decode())
    for method, body, timeout in (("Unary", b"fail", 10), ("Slow", b"x", 0.3)):
        try:
            channel.unary_unary("/test.Echo/" + method)(body, timeout=timeout)
        except grpc.RpcError as error:
            print(error.code().name)
`;

test("Python's grpcio calls Python's grpcio through two sidecars", async (context) => {
  if (!(await hasGrpcio())) {
    context.skip("grpcio is not installed");
    return;
  }
  const server = spawn(python, ["-c", pythonServer], { stdio: ["pipe", "pipe", "inherit"] });
  context.after(() => server.kill("SIGKILL"));
  const [line] = (await once(server.stdout, "data")) as [Buffer];
  const path = await pathTo(context, Number(line.toString()), "two sidecars");
  const { stdout } = await promisify(execFile)(python, ["-c", pythonClient, String(path.port())]);
  assert.deepEqual(stdout.trim().split("\n"), [
    "hello 00ff",
    "True",
    "one two three",
    "NOT_FOUND",
    "DEADLINE_EXCEEDED",
  ]);
});
