// Connections to HTTP/2 servers: how many there are, when they are used and when they end. Servers are node:http2 where
// a well-behaved one will do, and played frame by frame where it is about what they should not do.
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { type TestContext, test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { edgeSettings } from "#wire/http2/settings.ts";
import { data, get, goaway, headers, rst, settings, windowUpdate } from "#wire/http2/testing/raw-frames.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import { meshHttp2 } from "../config/http2.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  limitedTo,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import {
  askHttp2,
  http2Server,
  http2Session,
  type RawHttp2,
  rawHttp2Client,
  rawHttp2Server,
} from "./testing/http2-peers.ts";
import { ask, until } from "./testing/requests.ts";

const ok = headers(1, [[":status", "200"]]);

function answer(stream: number): Buffer {
  return headers(stream, [[":status", "200"]]);
}

interface Setup {
  readonly path: TestDataPath;
  readonly clock: ManualClock | null;
  update(cluster: Partial<ClusterConfig>): void;
  connections(): number;
}

async function pathTo(
  context: TestContext,
  port: number,
  cluster: Partial<ClusterConfig> = {},
  clock: ManualClock | null = null,
): Promise<Setup> {
  const path = dataPath(clock === null ? {} : { clock, now: () => clock.now(), sweepMs: 100 });
  context.after(() => path.stop());
  const update = (changes: Partial<ClusterConfig>): void =>
    void path.clusters.update(clusterOn("app", [port], { upstreamProtocol: "http2", ...cluster, ...changes }));
  update({});
  const manager = managerConfig([routeEntry("/", forward("app"))], { streamIdleTimeoutMs: 0, idleTimeoutMs: 0 });
  await path.listeners.update(listenerConfig([chain([httpFilter(manager)])]));
  return { path, clock, update, connections: () => path.clusters.get("app")?.endpoints[0]?.activeConnections ?? 0 };
}

/** Time passes in steps, so that sockets and timers take turns. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100);
    await new Promise(setImmediate);
  }
}

test("streams beyond the server's limit go over further connections, and none is refused to its client", async (context) => {
  let running = 0;
  let most = 0;
  const held: ServerHttp2Stream[] = [];
  const server = await http2Server(
    (stream) => {
      most = Math.max(most, ++running);
      stream.on("close", () => running--);
      stream.respond({ ":status": 200 });
      held.push(stream);
      if (held.length === 7) for (const it of held) it.end("done");
    },
    { settings: { maxConcurrentStreams: 2 } },
  );
  context.after(() => server.stop());
  const { path, connections } = await pathTo(context, server.port);
  const session = http2Session(path.port());
  context.after(() => session.destroy());
  const answers = await Promise.all(Array.from({ length: 7 }, () => askHttp2(session)));
  assert.deepEqual(new Set(answers.map(({ status, body }) => `${status} ${body}`)), new Set(["200 done"]));
  assert.equal(most, 7);
  assert.equal(connections(), 4);
});

test("with max_connections reached, requests wait for a stream to end", async (context) => {
  let running = 0;
  let most = 0;
  const server = await http2Server(
    (stream) => {
      most = Math.max(most, ++running);
      stream.on("close", () => running--);
      stream.respond({ ":status": 200 });
      setTimeout(() => stream.end("done"), 2);
    },
    { settings: { maxConcurrentStreams: 2 } },
  );
  context.after(() => server.stop());
  const { path, connections } = await pathTo(context, server.port, {
    circuitBreakers: limitedTo({ maxConnections: 1 }),
  });
  const answers = await Promise.all(Array.from({ length: 12 }, () => ask(path, "/")));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.equal(most, 2);
  assert.equal(server.sessions, 1);
  assert.equal(connections(), 1);
});

test("max_concurrent_streams of the cluster bounds the streams that are opened, whatever the server bears", async (context) => {
  const held: ServerHttp2Stream[] = [];
  const server = await http2Server((stream) => {
    stream.respond({ ":status": 200 });
    held.push(stream);
  });
  context.after(() => server.stop());
  const http2 = { ...meshHttp2, settings: { ...meshHttp2.settings, maxConcurrentStreams: 3 } };
  const { path } = await pathTo(context, server.port, { http2 });
  const answers = Promise.all(Array.from({ length: 9 }, () => ask(path, "/")));
  await until(() => held.length === 9);
  assert.equal(server.sessions, 3);
  for (const stream of held) stream.end();
  await answers;
});

test("CVE-2021-32780 after GOAWAY and SETTINGS without streams the connection ends, and requests find another", async (context) => {
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type !== "HEADERS") return;
    connection.send(answer(frame.streamId));
    if (server.connections.length > 1) return;
    connection.send(goaway(frame.streamId, 0), settings([3, 0]), settings([3, 0]));
  });
  context.after(() => server.stop());
  const { path, connections } = await pathTo(context, server.port);
  assert.equal((await ask(path, "/")).status, 200);
  await server.connections[0]?.isEnded();
  assert.equal((await ask(path, "/")).status, 200);
  assert.equal(server.connections.length, 2);
  assert.equal(connections(), 1);
});

test("CVE-2021-32780 a server that allows no streams is not waited for", async (context) => {
  const server = await rawHttp2Server(
    (connection, frame) => {
      if (frame.type === "HEADERS") connection.send(rst(frame.streamId, 7));
    },
    [[3, 0]],
  );
  context.after(() => server.stop());
  const { path, connections } = await pathTo(context, server.port);
  const refused = await ask(path, "/");
  assert.equal(refused.status, 503);
  assert.equal(path.logs[0]?.["responseFlags"], "UR");
  assert.equal(
    path.logs[0]?.["responseCodeDetails"],
    "upstream_reset_before_response_started{remote_refused_stream_reset}",
  );
  await until(() => connections() === 0);
});

test("what a GOAWAY leaves out is sent again elsewhere, and what it covers is finished", async (context) => {
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type !== "HEADERS") return;
    if (connection !== server.connections[0]) connection.send(answer(frame.streamId));
    else if (frame.streamId === 5) connection.send(goaway(1, 0));
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port);
  const session = http2Session(path.port());
  context.after(() => session.destroy());
  const first = askHttp2(session, { ":method": "POST" }, "first");
  await until(() => server.connections[0]?.heads.has(1) === true);
  const others = [askHttp2(session, { ":method": "POST" }, "a"), askHttp2(session, { ":method": "POST" }, "b")];
  assert.deepEqual(
    (await Promise.all(others)).map(({ status }) => status),
    [200, 200],
  );
  assert.equal(server.connections.length, 2);
  // The request that came before the GOAWAY has all the time that it wants.
  server.connections[0]?.send(answer(1));
  assert.equal((await first).status, 200);
  await server.connections[0]?.isEnded();
  assert.equal(server.connections[1]?.ended, false);
});

test("a connection that breaks is not taken for an idle one that was closed, once the server said anything", async (context) => {
  let requests = 0;
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type !== "HEADERS") return;
    if (++requests === 1) connection.send(answer(frame.streamId));
    else connection.send(windowUpdate(0, 1000));
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port);
  await ask(path, "/");
  const broken = ask(path, "/poison");
  await until(() => requests === 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  server.connections[0]?.socket.destroy();
  assert.equal((await broken).status, 503);
  assert.equal(requests, 2, "the request that broke the server is not sent to another");
  assert.equal(path.logs[1]?.["responseFlags"], "UC");
});

test("a server that closes an idle connection in the very moment of a request loses nobody", async (context) => {
  let requests = 0;
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type !== "HEADERS") return;
    if (++requests === 2) connection.socket.destroy();
    else connection.send(answer(frame.streamId));
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port);
  await ask(path, "/");
  assert.equal((await ask(path, "/")).status, 200);
  assert.equal(requests, 3);
});

test("requests that wait for a stream get another connection when theirs is lost", async (context) => {
  const server = await rawHttp2Server(
    (connection, frame) => {
      if (frame.type !== "HEADERS") return;
      if (connection !== server.connections[0]) connection.send(answer(frame.streamId));
      else if (frame.streamId === 1) connection.send(answer(1));
    },
    [[3, 1]],
  );
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port, { circuitBreakers: limitedTo({ maxConnections: 1 }) });
  await ask(path, "/");
  const running = ask(path, "/");
  await until(() => server.connections[0]?.heads.has(3) === true);
  const waiting = [ask(path, "/"), ask(path, "/")];
  await until(() => path.clusters.get("app")?.breakers.default.pendingRequests === 2);
  server.connections[0]?.send(windowUpdate(0, 1));
  await new Promise((resolve) => setTimeout(resolve, 20));
  server.connections[0]?.socket.destroy();
  assert.equal((await running).status, 503);
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ status }) => status),
    [200, 200],
  );
});

test("max_requests_per_connection holds for requests at a time too", async (context) => {
  const perSession = new Map<unknown, number>();
  const server = await http2Server((stream) => {
    perSession.set(stream.session, (perSession.get(stream.session) ?? 0) + 1);
    stream.respond({ ":status": 200 });
    setTimeout(() => stream.end(), 2);
  });
  context.after(() => server.stop());
  const { path, connections } = await pathTo(context, server.port, { maxRequestsPerConnection: 2 });
  const session = http2Session(path.port());
  context.after(() => session.destroy());
  await Promise.all(Array.from({ length: 7 }, () => askHttp2(session)));
  assert.deepEqual([...perSession.values()].sort(), [1, 2, 2, 2]);
  await until(() => connections() === 1);
});

test("an idle connection ends after the cluster's idle_timeout, with GOAWAY", async (context) => {
  const clock = new ManualClock(1_000_000);
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type === "HEADERS") connection.send(answer(frame.streamId));
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port, { idleTimeoutMs: 10_000 }, clock);
  await ask(path, "/");
  await pass(clock, 9000);
  await ask(path, "/");
  await pass(clock, 9000);
  assert.equal(server.connections[0]?.ended, false);
  await pass(clock, 1500);
  await server.connections[0]?.sees("GOAWAY 0 NO_ERROR");
  await server.connections[0]?.isEnded();
});

test("a connection above max_connection_duration takes nothing new and ends with its last stream", async (context) => {
  const clock = new ManualClock(1_000_000);
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type === "HEADERS" && frame.streamId !== 3) connection.send(answer(frame.streamId));
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port, { maxConnectionDurationMs: 10_000 }, clock);
  await ask(path, "/");
  const long = ask(path, "/");
  await until(() => server.connections[0]?.heads.has(3) === true);
  await pass(clock, 10_500);
  await ask(path, "/");
  assert.equal(server.connections.length, 2);
  assert.equal(server.connections[0]?.ended, false);
  server.connections[0]?.send(answer(3));
  assert.equal((await long).status, 200);
  await server.connections[0]?.isEnded();
});

test("a server that answers no PING is given up: what runs fails, what comes goes elsewhere", async (context) => {
  const clock = new ManualClock(1_000_000);
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type === "HEADERS" && connection !== server.connections[0]) connection.send(answer(frame.streamId));
  });
  context.after(() => server.stop());
  const keepalive = { intervalMs: 5000, idleIntervalMs: 0, timeoutMs: 2000 };
  const { path } = await pathTo(context, server.port, { http2: { ...meshHttp2, keepalive } }, clock);
  const lost = ask(path, "/");
  await until(() => server.connections[0]?.heads.has(1) === true);
  await pass(clock, 5200);
  await server.connections[0]?.sees(/^PING /);
  await pass(clock, 2200);
  assert.equal((await lost).status, 503);
  assert.match(String(path.logs[0]?.["cause"]), /did not answer a PING within 2000 ms/);
  assert.equal((await ask(path, "/")).status, 200);
});

test("connection_idle_interval asks a connection that was silent whether it is still there, beside the request", async (context) => {
  const clock = new ManualClock(1_000_000);
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type === "HEADERS") connection.send(answer(frame.streamId));
  });
  context.after(() => server.stop());
  const keepalive = { intervalMs: 0, idleIntervalMs: 5000, timeoutMs: 2000 };
  const { path } = await pathTo(context, server.port, { http2: { ...meshHttp2, keepalive } }, clock);
  await ask(path, "/");
  await pass(clock, 4000);
  await ask(path, "/");
  assert.equal(server.connections[0]?.count(/^PING/), 0);
  await pass(clock, 6000);
  await ask(path, "/");
  assert.equal(server.connections[0]?.count(/^PING/), 1);
});

test("an endpoint that goes away finishes its streams, then its connections end", async (context) => {
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type === "HEADERS" && frame.streamId === 1) connection.send(answer(1));
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port);
  await ask(path, "/");
  const running = ask(path, "/");
  await until(() => server.connections[0]?.heads.has(3) === true);
  path.clusters.update(clusterOn("app", [], { upstreamProtocol: "http2" }));
  assert.equal((await ask(path, "/")).status, 503);
  server.connections[0]?.send(headers(3, [[":status", "200"]], 4), data(3, "whole", 1));
  assert.equal((await running).body, "whole");
  await server.connections[0]?.isEnded();
});

test("slow readers that hold the window of a connection do not hold up other clients", async (context) => {
  const chunk = Buffer.alloc(16_384, "x");
  const server = await http2Server((stream, head) => {
    stream.respond({ ":status": 200 });
    if (head[":path"] === "/small") {
      stream.end("small");
      return;
    }
    const pump = (): void => {
      if (!stream.writable) return;
      if (stream.write(chunk)) setImmediate(pump);
      else stream.once("drain", pump);
    };
    pump();
  });
  context.after(() => server.stop());
  const http2 = { ...meshHttp2, settings: { ...edgeSettings, streamWindow: 65_535, connectionWindow: 262_140 } };
  const { path, connections } = await pathTo(context, server.port, { http2 });
  const slow = rawHttp2Client(path.port(), { settings: [[4, 0]] });
  context.after(() => slow.socket.destroy());
  const post = get.map(([name, value]) => [name, value] as const);
  for (let stream = 1; stream < 24; stream += 2) slow.send(headers(stream, post));
  await until(() => (path.clusters.get("app")?.endpoints[0]?.activeRequests ?? 0) === 12);
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (let i = 0; i < 5; i++) assert.equal((await ask(path, "/small")).body, "small");
  assert.ok(connections() <= 3, `${connections()} connections`);
});

test("a response that breaks off is told to the client and the log by what happened", async (context) => {
  const end: ((connection: RawHttp2, stream: number) => void)[] = [
    (connection, stream) => connection.send(rst(stream, 2)),
    (connection, stream) => connection.send(headers(stream, [["bad name", "x"]])),
    (connection) => connection.socket.destroy(),
  ];
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type !== "HEADERS") return;
    connection.send(headers(frame.streamId, [[":status", "200"]], 4), data(frame.streamId, "part"));
    setTimeout(() => end.shift()?.(connection, frame.streamId), 10);
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port);
  for (let i = 0; i < 3; i++) await assert.rejects(ask(path, "/"));
  assert.deepEqual(
    path.logs.map((log) => `${log["responseFlags"]} ${log["responseCodeDetails"]}`),
    [
      "UR upstream_reset_after_response_started{remote_reset}",
      "UPE upstream_reset_after_response_started{protocol_error}",
      "UC upstream_reset_after_response_started{connection_termination}",
    ],
  );
});

test("CVE-2026-73513 trailers that do not end their stream end the exchange", async (context) => {
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type !== "HEADERS") return;
    const stream = frame.streamId;
    connection.send(
      headers(stream, [[":status", "200"]], 4),
      data(stream, "body"),
      headers(stream, [["x-sum", "1"]], 4),
    );
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port);
  await assert.rejects(ask(path, "/"));
  await server.connections[0]?.sees("RST_STREAM 1 PROTOCOL_ERROR");
  assert.equal(path.logs[0]?.["responseFlags"], "UPE");
  assert.equal(server.connections[0]?.ended, false);
});

test("CVE-2026-48619 frames of extensions from a server cost nothing, and too many of them the connection", async (context) => {
  const origin = Buffer.from("00000a0c0000000000".concat("0008", "687474703a2f2f61"), "hex");
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type !== "HEADERS") return;
    const count = frame.streamId === 1 ? 50 : 5000;
    connection.send(...Array.from({ length: count }, () => origin), answer(frame.streamId));
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port);
  assert.equal((await ask(path, "/")).status, 200);
  assert.equal((await ask(path, "/")).status, 502);
  await server.connections[0]?.sees("GOAWAY 0 ENHANCE_YOUR_CALM");
});

test("a server that pushes breaks the rules, and only its connection", async (context) => {
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type !== "HEADERS") return;
    if (connection === server.connections[0]) connection.send(Buffer.from("00000405040000000100000002", "hex"), ok);
    else connection.send(answer(frame.streamId));
  });
  context.after(() => server.stop());
  const { path } = await pathTo(context, server.port);
  const refused = await ask(path, "/");
  assert.equal(refused.status, 502);
  assert.equal(path.logs[0]?.["responseFlags"], "UPE");
  assert.equal((await ask(path, "/")).status, 200);
});
