// What overload protection does on the data path, with the decision given.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { LoadShedding } from "../overload/load-shedding.ts";
import { Stats } from "../stats/stats.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeEntry,
} from "./testing/data-path.ts";

const shedding = new LoadShedding();
const stats = new Stats();
const path = dataPath({ shedding, stats, random: () => 0.5, explainToClients: true });
let upstream: Awaited<ReturnType<typeof httpServer>>;

before(async () => {
  upstream = await httpServer((_, response) => response.end("ok"));
  path.clusters.update(clusterOn("up", [upstream.port]));
  const manager = managerConfig([routeEntry("/", forward("up"))]);
  await path.listeners.update(
    listenerConfig([chain([httpFilter(manager)])], {
      accessLog: [{ path: "listener", render: (entry) => JSON.stringify(entry), accepts: null }],
    }),
  );
});

after(() => {
  upstream.stop();
  path.stop();
});

const ask = () => fetch(`http://127.0.0.1:${path.port()}/x`, { headers: { connection: "keep-alive" } });

function calm(): void {
  Object.assign(shedding, new LoadShedding());
}

test("a request that is shed is answered with 503, OM and overload, and costs no upstream", async () => {
  Object.assign(shedding, { isActive: true, stopRequests: 1, why: "the heap is at 93 %" });
  const before = path.requests.length;
  const response = await ask();
  assert.equal(response.status, 503);
  assert.equal(await response.text(), "envoy overloaded\nthis proxy is overloaded: the heap is at 93 %\n");
  assert.equal(response.headers.get("x-outrigger-explain"), "this proxy is overloaded: the heap is at 93 %");
  const entry = path.logs.at(-1);
  assert.equal(entry?.["responseFlags"], "OM");
  assert.equal(entry?.["responseCodeDetails"], "overload");
  assert.equal(entry?.["cause"], "this proxy is overloaded: the heap is at 93 %");
  assert.equal(shedding.shedRequests, 1);
  assert.equal(path.requests.length, before, "filters were not asked");
  assert.equal(stats.values().find(({ name }) => name === "http.test.downstream_rq_overload_close")?.value, 1);
  calm();
  assert.equal((await ask()).status, 200);
});

test("a gRPC client gets UNAVAILABLE", async () => {
  Object.assign(shedding, { isActive: true, stopRequests: 1 });
  const response = await fetch(`http://127.0.0.1:${path.port()}/a.B/C`, {
    method: "POST",
    headers: { "content-type": "application/grpc" },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("grpc-status"), "14");
  assert.equal(response.headers.get("grpc-message"), "envoy overloaded");
  calm();
});

test("a scaled action concerns a share of the requests", async () => {
  Object.assign(shedding, { isActive: true, stopRequests: 0.4 });
  assert.equal((await ask()).status, 200);
  Object.assign(shedding, { isActive: true, stopRequests: 0.6 });
  assert.equal((await ask()).status, 503);
  calm();
});

test("without keep-alive the answer is given and the connection ends", async () => {
  Object.assign(shedding, { isActive: true, disableKeepAlive: 1 });
  const socket = connect(path.port(), "127.0.0.1");
  let text = "";
  socket.on("data", (data: Buffer) => (text += data.toString("latin1")));
  socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await once(socket, "close");
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(text, /\r\nconnection: close\r\n/);
  calm();
});

test("idle connections go sooner when timeouts are reduced", async () => {
  const socket = connect(path.port(), "127.0.0.1");
  await once(socket, "connect");
  socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await once(socket, "data");
  Object.assign(shedding, { isActive: true, reduceTimeouts: 1, connectionIdle: { minMs: 1, minShare: 0 } });
  await once(socket, "end");
  calm();
});

test("connections that are rejected or too many are closed, counted and logged", async () => {
  const counters = () => path.listeners.describe()[0]?.counters;
  const logged = (details: string) =>
    path.logs.find((entry) => entry["responseCodeDetails"] === details && entry["responseCode"] === 0);
  const turnedAway = () => once(connect(path.port(), "127.0.0.1").resume(), "close");
  Object.assign(shedding, { isActive: true, rejectConnections: 1, why: "memory is at 99 %" });
  await turnedAway();
  assert.equal(counters()?.overloadRejects, 1);
  assert.equal(logged("overload")?.["responseFlags"], "OM");
  assert.equal(logged("overload")?.["cause"], "this proxy is overloaded: memory is at 99 %");
  calm();
  const { limits } = path.listeners;
  limits.set(limits.open, new Map());
  await turnedAway();
  assert.equal(counters()?.globalOverflows, 1);
  assert.match(String(logged("downstream_global_cx_overflow")?.["cause"]), /this proxy has the connections/);
  limits.set(Number.POSITIVE_INFINITY, new Map([["test", path.listeners.connectionCount]]));
  await turnedAway();
  assert.equal(counters()?.overflows, 1);
  assert.match(String(logged("downstream_cx_overflow")?.["cause"]), /listener test has the connections/);
  limits.set(Number.POSITIVE_INFINITY, new Map());
  assert.equal((await ask()).status, 200);
});
