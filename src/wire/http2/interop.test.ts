// The codec over real sockets, with other implementations as peers: node:http2 and the nghttp2 tools (nghttp2), curl.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type ClientHttp2Session, connect, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import fc from "fast-check";
import { freePort } from "#base/net/testing/free-port.ts";
import { Headers } from "../http/headers.ts";
import { CLIENT, type Http2Connection } from "./connection.ts";
import { edgeSettings, type Http2Settings, meshSettings } from "./settings.ts";
import { EchoServer } from "./testing/echo-server.ts";
import { listening, missing, programEnvironment } from "./testing/programs.ts";
import { EventRecorder, lines, StreamRecorder } from "./testing/recorder.ts";
import { connectOver } from "./testing/socket-sink.ts";

const run = promisify(execFile);
const request = { method: "GET", scheme: "http", authority: "a.example", path: "/", protocol: "", status: 0 };

async function echoServer(context: TestContext, settings: Partial<Http2Settings> = {}): Promise<[EchoServer, number]> {
  const server = new EchoServer(settings);
  const port = await server.listen();
  context.after(() => server.close());
  return [server, port];
}

/** A recorder that can be waited for. */
class Exchange extends StreamRecorder {
  readonly done: Promise<this>;
  #resolve: (value: this) => void = () => {};

  constructor() {
    super();
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  #check(): void {
    if (this.isEnd || this.resets.length > 0) this.#resolve(this);
  }

  override onHeaders(...head: Parameters<StreamRecorder["onHeaders"]>): void {
    super.onHeaders(...head);
    this.#check();
  }

  override onData(data: Buffer, isEnd: boolean): void {
    super.onData(data, isEnd);
    this.#check();
  }

  override onTrailers(trailers: Headers): void {
    super.onTrailers(trailers);
    this.#check();
  }

  override onReset(code: number, byPeer: boolean): void {
    super.onReset(code, byPeer);
    this.#check();
  }
}

async function ourClient(
  context: TestContext,
  port: number,
  settings: Partial<Http2Settings> = {},
): Promise<{ connection: Http2Connection; events: EventRecorder; socket: Socket }> {
  const socket = createConnection(port, "127.0.0.1");
  context.after(() => socket.destroy());
  await once(socket, "connect");
  const events = new EventRecorder();
  const ready = new Promise<void>((resolve) => {
    events.onSettings = resolve;
  });
  const connection = connectOver(socket, CLIENT, { ...edgeSettings, ...settings }, events);
  await ready;
  return { connection, events, socket };
}

async function nodeServer(
  context: TestContext,
  onStream: (stream: ServerHttp2Stream, headers: string[]) => void,
): Promise<number> {
  const server: Http2Server = createServer();
  server.on("stream", (stream, _headers, _flags, raw) =>
    onStream(stream as ServerHttp2Stream, raw as unknown as string[]),
  );
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function nodeClient(context: TestContext, port: number): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 100 });
  context.after(() => session.destroy());
  return session;
}

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/).map((text) => `x-${text}`);
const value = fc.stringMatching(/^([!-~]([ -~]{0,80}[!-~])?)?$/);
const fields = fc.array(fc.tuple(name, value), { maxLength: 25 });

for (const huffman of [false, true]) {
  test(`any headers arrive at node:http2 as we sent them, ${huffman ? "with" : "without"} Huffman coding`, async (context) => {
    let received: string[] = [];
    const port = await nodeServer(context, (stream, raw) => {
      received = raw.slice(8);
      stream.respond({ ":status": 204 }, { endStream: true });
    });
    const { connection } = await ourClient(context, port, { huffman });
    await fc.assert(
      fc.asyncProperty(fields, async (list) => {
        // Sent twice, so that the second time comes from the table.
        for (let i = 0; i < 2; i++) {
          const headers = new Headers();
          for (const [fieldName, fieldValue] of list) headers.add(fieldName, fieldValue);
          const exchange = new Exchange();
          connection.openStream(exchange, request, headers, true);
          await exchange.done;
          assert.equal(exchange.head?.status, 204);
          assert.deepEqual(received, list.flat());
        }
      }),
      { numRuns: 100 },
    );
  });
}

test("any headers of node:http2 arrive here as it sent them", async (context) => {
  const [server, port] = await echoServer(context);
  const session = nodeClient(context, port);
  await fc.assert(
    fc.asyncProperty(value, fields, async (echo, list) => {
      for (let i = 0; i < 2; i++) {
        const headers: Record<string, string | string[]> = { ":path": "/", "x-echo": echo };
        for (const [fieldName, fieldValue] of list) headers[`${fieldName}0`] = fieldValue;
        const stream = session.request(headers);
        stream.end();
        const [response] = (await once(stream, "response")) as [Record<string, string>];
        stream.resume();
        await once(stream, "end");
        assert.equal(response["x-echo"], echo);
      }
    }),
    { numRuns: 100 },
  );
  assert.deepEqual(server.errors, []);
});

test("node:http2 uploads and downloads many megabytes at once on many streams", async (context) => {
  const [server, port] = await echoServer(context, meshSettings);
  const session = nodeClient(context, port);
  const body = Buffer.alloc(2_000_000, "0123456789");
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const stream = session.request({ ":method": "POST", ":path": "/" });
      stream.end(body);
      const parts: Buffer[] = [];
      for await (const part of stream) parts.push(part as Buffer);
      assert.ok(Buffer.concat(parts).equals(body));
    }),
  );
  assert.deepEqual(server.errors, []);
});

test("our client downloads and uploads with node:http2 as the server", async (context) => {
  const port = await nodeServer(context, (stream) => {
    stream.respond({ ":status": 200, "content-type": "text/plain" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "1" }));
    stream.pipe(stream);
  });
  const { connection, events } = await ourClient(context, port);
  const body = Buffer.alloc(3_000_000, "abcdef");
  const exchanges = Array.from({ length: 4 }, () => {
    const exchange = new Exchange();
    connection.openStream(exchange, { ...request, method: "POST" }, new Headers(), false)?.sendData(body, true);
    return exchange.done;
  });
  for (const exchange of await Promise.all(exchanges)) {
    assert.equal(exchange.head?.headers.get("content-type"), "text/plain");
    assert.equal(exchange.body, body.toString("latin1"));
    assert.deepEqual(exchange.trailers, [["x-sum", "1"]]);
  }
  assert.deepEqual(events.errors, []);
  assert.equal(connection.activeStreams, 0);
});

test("node:http2 hears our GOAWAY, and its requests until then are answered", async (context) => {
  const [server, port] = await echoServer(context);
  const session = nodeClient(context, port);
  const goaway = once(session, "goaway");
  const stream = session.request({ ":method": "POST", ":path": "/" });
  await once(stream, "response");
  for (const connection of server.connections) connection.drain();
  await goaway;
  stream.end("last words");
  stream.setEncoding("latin1");
  let text = "";
  for await (const part of stream) text += part;
  assert.equal(text, "last words");
  await once(session, "close");
});

test("node:http2 resets, and we reset, without harm to others", async (context) => {
  const port = await nodeServer(context, (stream) => stream.close(8));
  const { connection, events } = await ourClient(context, port);
  const exchange = new Exchange();
  connection.openStream(exchange, request, new Headers(), false);
  assert.deepEqual((await exchange.done).resets, ["CANCEL by peer"]);
  const other = connection.openStream(new Exchange(), request, new Headers(), false);
  other?.reset(8);
  const last = new Exchange();
  connection.openStream(last, request, new Headers(), true);
  await last.done;
  assert.deepEqual(events.errors, []);
});

test("curl speaks to us with prior knowledge, with a body and without", { skip: missing("curl") }, async (context) => {
  const [server, port] = await echoServer(context);
  const url = `http://127.0.0.1:${port}/`;
  const { stdout } = await run("curl", [
    "-s",
    "--http2-prior-knowledge",
    "-w",
    "%{http_version} %{http_code}",
    "-H",
    "X-Echo: yes",
    "-D",
    "-",
    "--data-binary",
    "a body",
    url,
  ]);
  assert.match(stdout, /^HTTP\/2 200 \r\n/);
  assert.match(stdout, /x-echo: yes\r\n/);
  assert.match(stdout, /a body2 200$/);
  const { stdout: plain } = await run("curl", ["-s", "--http2-prior-knowledge", url]);
  assert.equal(plain, "x".repeat(64));
  const folder = mkdtempSync(join(tmpdir(), "outrigger-http2-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "body");
  writeFileSync(file, Buffer.alloc(5_000_000, "z"));
  const { stdout: size } = await run("curl", [
    "-s",
    "--http2-prior-knowledge",
    "-T",
    file,
    "-o",
    "/dev/null",
    "-w",
    "%{size_download}",
    url,
  ]);
  assert.equal(size, "5000000");
  assert.deepEqual(server.errors, []);
});

test("nghttp speaks to us, with padding, trailers and many streams", { skip: missing("nghttp") }, async (context) => {
  const [server, port] = await echoServer(context);
  const folder = mkdtempSync(join(tmpdir(), "outrigger-http2-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "body");
  writeFileSync(file, Buffer.alloc(1_000_000, "\x01"));
  const url = `http://127.0.0.1:${port}/`;
  const { stdout } = await run("nghttp", ["-v", "--padding=200", "-d", file, "--trailer=x-sum: 12", "-m", "20", url], {
    maxBuffer: 1 << 28,
    encoding: "latin1",
  });
  assert.equal(stdout.match(/:status: 200/g)?.length, 20);
  assert.equal(stdout.match(/recv \(stream_id=\d+\) x-sum: 12/g)?.length, 20);
  assert.equal(stdout.split("\x01").length - 1, 20_000_000);
  assert.doesNotMatch(stdout, /recv RST_STREAM|error_code=(?!NO_ERROR)/);
  assert.deepEqual(server.errors, []);
});

test("h2load loads us on several connections without a failure", { skip: missing("h2load") }, async (context) => {
  const [server, port] = await echoServer(context);
  const url = `http://127.0.0.1:${port}/`;
  const { stdout } = await run("h2load", ["-n", "20000", "-c", "4", "-m", "50", "-H", "x-echo: 1", url]);
  assert.match(stdout, /20000 succeeded, 0 failed, 0 errored, 0 timeout/);
  assert.deepEqual(server.errors, []);
});

test("our client speaks to nghttpd", { skip: missing("nghttpd") }, async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-http2-"));
  writeFileSync(join(folder, "file"), Buffer.alloc(1_000_000, "f"));
  const port = await freePort();
  const server = spawn("nghttpd", ["--no-tls", "-d", folder, "--echo-upload", "--trailer=x-sum: 9", String(port)], {
    stdio: "ignore",
    env: programEnvironment,
  });
  context.after(() => {
    server.kill();
    rmSync(folder, { recursive: true });
  });
  await listening(port);
  const { connection, events } = await ourClient(context, port);
  const gets = Array.from({ length: 50 }, () => {
    const exchange = new Exchange();
    connection.openStream(exchange, { ...request, path: "/file" }, new Headers(), true);
    return exchange.done;
  });
  for (const exchange of await Promise.all(gets)) {
    assert.equal(exchange.head?.status, 200);
    assert.equal(exchange.bodyBytes, 1_000_000);
    assert.deepEqual(exchange.trailers, [["x-sum", "9"]]);
  }
  const exchange = new Exchange();
  connection
    .openStream(exchange, { ...request, method: "POST" }, new Headers(), false)
    ?.sendData(Buffer.from("echo"), true);
  assert.equal((await exchange.done).body, "echo");
  assert.deepEqual(lines(exchange.head?.headers ?? new Headers()).find(([field]) => field === "server")?.[0], "server");
  assert.deepEqual(events.errors, []);
});

test("h2spec finds nothing", { skip: missing("h2spec") }, async (context) => {
  const [, port] = await echoServer(context);
  const { stdout } = await run("h2spec", ["-S", "-h", "127.0.0.1", "-p", String(port), "-o", "5"], {
    env: programEnvironment,
  });
  assert.match(stdout, / 0 skipped, 0 failed/);
});
