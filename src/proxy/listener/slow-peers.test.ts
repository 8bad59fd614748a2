// Peers that are slow on purpose: each is cut off by a bound that stands without being configured, and none makes the
// proxy hold more than a fixed number of bytes. The clock is the test's; the sockets are real.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import type { ListenerConfig } from "../config/listener.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { RawClient, type RawServer, rawServer } from "./testing/raw-peers.ts";
import { elapsed, until } from "./testing/requests.ts";

interface Timed {
  readonly path: TestDataPath;
  readonly clock: ManualClock;
  client(): RawClient;
}

interface Overrides {
  readonly manager?: Partial<HttpConnectionManagerConfig>;
  readonly listener?: Partial<ListenerConfig>;
  readonly cluster?: Partial<ClusterConfig>;
}

/** Proxy with a clock that stands still, and Istio's settings: no stream idle timeout. */
async function timed(
  context: TestContext,
  port: number,
  { manager, listener, cluster }: Overrides = {},
): Promise<Timed> {
  const clock = new ManualClock(1_000_000);
  const path = dataPath({ clock, now: () => clock.now(), sweepMs: 250 });
  context.after(() => path.stop());
  path.clusters.update(clusterOn("app", [port], cluster));
  const config = managerConfig([routeEntry("/", forward("app"))], manager);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])], listener));
  const client = (): RawClient => {
    const made = new RawClient(path.port());
    context.after(() => made.socket.destroy());
    return made;
  };
  return { path, clock, client };
}

/** A server that takes everything and says nothing. */
async function quietServer(context: TestContext): Promise<RawServer> {
  const server = await rawServer((socket) => socket.resume());
  context.after(() => server.stop());
  return server;
}

test("CVE-2020-8251 a head that drips in is refused after 15 seconds, however busily it drips", async (context) => {
  const { path, clock, client } = await timed(context, 1);
  const slow = client();
  slow.send("GET / HTTP/1.1\r\nHost: a\r\n");
  await until(() => path.listeners.connectionCount === 1);
  for (let second = 0; second < 14; second++) {
    const before = slow.socket.bytesWritten;
    slow.send(`X-${second}: 1\r\n`);
    await until(() => slow.socket.bytesWritten > before);
    await new Promise(setImmediate);
    clock.advance(1000);
  }
  assert.equal(slow.text, "");
  await elapsed(clock, () => slow.text.includes("HTTP/1.1 408 "));
  await slow.isEnded();
  assert.equal(path.logs[0]?.["responseCodeDetails"], "request_header_timeout");
  slow.socket.end();
  await slow.isClosed();
});

test("request_headers_timeout moves the bound of a head", async (context) => {
  const { path, clock, client } = await timed(context, 1, { manager: { requestHeadersTimeoutMs: 60_000 } });
  const slow = client();
  slow.send("GET /");
  await until(() => path.listeners.connectionCount === 1);
  const waitedMs = await elapsed(clock, () => slow.text.includes("request header timeout"));
  assert.ok(waitedMs >= 60_000, `${waitedMs} ms`);
});

test("a connection that says nothing is closed after idle_timeout, without an answer", async (context) => {
  const { path, clock, client } = await timed(context, 1, { manager: { idleTimeoutMs: 60_000 } });
  const silent = client();
  await until(() => path.listeners.connectionCount === 1);
  clock.advance(59_000);
  await new Promise(setImmediate);
  assert.equal(silent.ended, false);
  await elapsed(clock, () => silent.ended);
  assert.equal(silent.text, "");
  silent.socket.end();
  await silent.isClosed();
  await until(() => path.listeners.connectionCount === 0);
});

test("a body that drips in is bounded by request_timeout", async (context) => {
  const server = await quietServer(context);
  const { path, clock, client } = await timed(context, server.port, { manager: { requestTimeoutMs: 10_000 } });
  const slow = client();
  slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
  await until(() => path.clusters.describe()[0]?.counters.activeRequests === 1);
  for (let second = 0; second < 9; second++) {
    slow.send("x");
    await new Promise(setImmediate);
    clock.advance(1000);
  }
  assert.equal(slow.text, "");
  await elapsed(clock, () => slow.text.includes("HTTP/1.1 408 "));
  assert.equal(path.logs[0]?.["responseCodeDetails"], "request_overall_timeout");
  await until(() => path.clusters.describe()[0]?.counters.connections === 0);
});

test("a stream on which nothing moves is bounded by stream_idle_timeout", async (context) => {
  const server = await quietServer(context);
  const { path, clock, client } = await timed(context, server.port, { manager: { streamIdleTimeoutMs: 30_000 } });
  const silent = client();
  silent.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
  await until(() => path.clusters.describe()[0]?.counters.activeRequests === 1);
  const waitedMs = await elapsed(clock, () => silent.text.includes("HTTP/1.1 408 "));
  assert.ok(waitedMs >= 30_000, `${waitedMs} ms`);
  assert.equal(path.logs[0]?.["responseFlags"], "SI");
});

test("a client that ended its side gets its answer, and counts as gone when none comes for a minute", async (context) => {
  const server = await rawServer((socket) => {
    socket.on(
      "data",
      (data) => data.includes("/quick") && socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    );
    socket.on("end", () => socket.end());
  });
  context.after(() => server.stop());
  const { path, clock, client } = await timed(context, server.port);
  const quick = client();
  quick.send("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n");
  quick.socket.end();
  await quick.sees(/connection: close\r\n[^]*ok$/);
  const gone = client();
  gone.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
  gone.socket.end();
  await until(() => path.clusters.describe()[0]?.counters.activeRequests === 1);
  clock.advance(58_000);
  await new Promise(setImmediate);
  assert.equal(path.clusters.describe()[0]?.counters.activeRequests, 1);
  await elapsed(clock, () => path.clusters.describe()[0]?.counters.activeRequests === 0);
  await gone.isClosed();
  assert.equal(path.logs[1]?.["responseFlags"], "DC");
});

const total = 64 * 1024 * 1024;

/** Answers with 64 MB, as fast as they are taken, and counts what was taken. */
async function largeServer(context: TestContext, head: string): Promise<RawServer & { taken(): number }> {
  let taken = 0;
  const block = Buffer.alloc(64 * 1024, 120);
  const server = await rawServer((socket) => {
    let sent = 0;
    const more = (): void => {
      while (sent < total && !socket.destroyed) {
        sent += block.length;
        taken += block.length;
        if (!socket.write(block)) return;
      }
    };
    socket.on("drain", more);
    socket.once("data", () => {
      socket.write(head);
      more();
    });
    socket.on("end", () => socket.end());
  });
  context.after(() => server.stop());
  return { ...server, taken: () => taken };
}

/** Waits until no more is taken. */
async function standsStill(taken: () => number): Promise<void> {
  let before = -1;
  let steady = 0;
  await until(() => {
    steady = taken() > 0 && taken() === before ? steady + 1 : 0;
    before = taken();
    return steady > 20;
  }, 10_000);
}

for (const limit of [0, 16 * 1024, 1024 * 1024]) {
  const name = limit === 0 ? "no configured limit" : `a limit of ${limit} bytes`;
  test(`with ${name} a client that stops reading holds bounded memory and is reset after five minutes`, async (context) => {
    const server = await largeServer(context, `HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`);
    const overrides = { listener: { bufferLimitBytes: limit }, cluster: { bufferLimitBytes: limit } };
    const { path, clock, client } = await timed(context, server.port, overrides);
    const stuck = client();
    stuck.socket.pause();
    stuck.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await standsStill(server.taken);
    // Three kernel buffers hold some megabytes each; the rest of the 64 MB has not been asked for.
    assert.ok(server.taken() < 48 * 1024 * 1024, `${server.taken()} bytes were taken from the server`);
    clock.advance(299_000);
    await new Promise(setImmediate);
    assert.equal(path.listeners.connectionCount, 1);
    await elapsed(clock, () => path.listeners.connectionCount === 0);
    assert.equal(path.logs[0]?.["responseFlags"], "SI");
    await until(() => path.clusters.describe()[0]?.counters.connections === 0);
    server.stop();
  });
}

test("a client that reads slowly and is closed after its answer gets all of it", async (context) => {
  const server = await largeServer(context, "HTTP/1.1 200 OK\r\n\r\n");
  server.server.on("connection", (socket) => {
    // The body runs until the end of the connection.
    socket.on("drain", () => server.taken() >= total && socket.end());
  });
  const { clock, client } = await timed(context, server.port);
  const slow = client();
  let received = 0;
  slow.socket.removeAllListeners("data");
  slow.socket.on("data", (data) => (received += data.length));
  slow.socket.pause();
  slow.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  await standsStill(server.taken);
  // Each pause is longer than a closing connection waits for its peer, and shorter than the bound of a stalled one.
  while (!slow.ended && !slow.closed) {
    const before = received;
    slow.socket.resume();
    await until(() => received > before + 4_000_000 || slow.ended || slow.closed, 5000);
    slow.socket.pause();
    clock.advance(20_000);
    await new Promise(setImmediate);
  }
  assert.equal(slow.error, undefined);
  assert.ok(received > total, `${received} bytes arrived`);
});

test("a client that never reads the end of its answer is closed after five minutes", async (context) => {
  const body = "x".repeat(64 * 1024);
  const server = await rawServer((socket) => {
    socket.once("data", () => socket.end(`HTTP/1.1 200 OK\r\n\r\n${body.repeat(200)}`));
  });
  context.after(() => server.stop());
  const { path, clock, client } = await timed(context, server.port, {
    listener: { bufferLimitBytes: 64 * 1024 * 1024 },
  });
  const stuck = client();
  stuck.socket.pause();
  stuck.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  await until(() => path.logs.length === 1);
  clock.advance(200_000);
  await new Promise(setImmediate);
  assert.equal(path.listeners.connectionCount, 1);
  await elapsed(clock, () => path.listeners.connectionCount === 0);
});

test("delayed_close_timeout bounds how long a closed connection waits for its client", async (context) => {
  const { path, clock, client } = await timed(context, 1, { manager: { delayedCloseTimeoutMs: 5000 } });
  const rude = client();
  rude.send("not http\r\n\r\n");
  await rude.isEnded();
  assert.match(rude.text, /^HTTP\/1\.1 400 /);
  clock.advance(4000);
  await new Promise(setImmediate);
  assert.equal(path.listeners.connectionCount, 1);
  await elapsed(clock, () => path.listeners.connectionCount === 0);
});

test("chunk extensions and trailers that never end are refused at their limits", async (context) => {
  const server = await quietServer(context);
  const { client } = await timed(context, server.port);
  const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const [rest, status] of [
    [`5;${"a=b;".repeat(10_000)}`, "400"],
    [`0\r\n${"X: y\r\n".repeat(200)}`, "431"],
    [`0\r\nX: ${"y".repeat(100_000)}`, "431"],
  ] as const) {
    const endless = client();
    endless.send(head + rest);
    await endless.sees(`HTTP/1.1 ${status} `);
    await endless.isEnded();
    endless.socket.destroy();
  }
});
