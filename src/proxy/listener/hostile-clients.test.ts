// Many hostile clients and a hostile server beside a client that behaves: it must see no failure, no connection of it
// may be closed, nothing may be thrown, and afterwards nothing may be left. Seeded: a failure comes again.
import assert from "node:assert/strict";
import { Agent } from "node:http";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls, TLSSocket } from "node:tls";
import { type DownstreamTlsConfig, plainDownstreamTls } from "../config/tls.ts";
import { type TestAuthority, testAuthority } from "./testing/certificates.ts";
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
  type TestDataPath,
} from "./testing/data-path.ts";
import { rawServer } from "./testing/raw-peers.ts";
import { ask, until } from "./testing/requests.ts";

let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

const tls: DownstreamTlsConfig = {
  ...plainDownstreamTls,
  alpnProtocols: ["http/1.1"],
  certificateNames: ["default"],
  validationName: "ROOTCA",
  requireClientCertificate: true,
};

/** A repeatable stream of draws from [0, 1). */
function draws(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

type Draw = () => number;
const below = (draw: Draw, limit: number): number => Math.floor(draw() * limit);

function randomBytes(draw: Draw, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => below(draw, 256)));
}

const valid: readonly string[] = [
  "GET /good HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
  "POST /evil HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
  "GET /evil HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw bytes",
  "HEAD /evil HTTP/1.0\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
];

function mutated(draw: Draw): Buffer {
  let bytes = Buffer.from(valid[below(draw, valid.length)] ?? "", "latin1");
  for (let i = below(draw, 6); i >= 0; i--) {
    const at = below(draw, bytes.length);
    const kind = below(draw, 4);
    if (kind === 0) bytes[at] = below(draw, 256);
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(draw, 8))]);
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), randomBytes(draw, 3), bytes.subarray(at)]);
    else bytes = Buffer.concat([bytes, bytes.subarray(at)]);
    if (bytes.length === 0) bytes = Buffer.from("\r\n");
  }
  return bytes;
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** What a hostile client sends, in pieces. */
function attack(draw: Draw): Buffer[] {
  switch (below(draw, 10)) {
    case 0:
      return [randomBytes(draw, 1 + below(draw, 200))];
    case 1:
      return [Buffer.from([0x16, 3, below(draw, 5)]), randomBytes(draw, below(draw, 300))];
    case 2:
      return [Buffer.from(preface), randomBytes(draw, below(draw, 100))];
    case 3:
      return [Buffer.from((valid[0] as string).repeat(300))];
    case 4:
      return [];
    case 5:
      return [Buffer.from("GET / HTTP/1.1\r\nX: "), Buffer.alloc(70_000, 97)];
    case 6:
      return Array.from({ length: 3 }, () => Buffer.from(valid[below(draw, valid.length)] ?? "", "latin1"));
    default:
      return Array.from({ length: 1 + below(draw, 4) }, () => mutated(draw));
  }
}

function leave(socket: Socket, draw: Draw): void {
  const kind = below(draw, 3);
  // Node can't reset a TLS socket.
  if (kind === 0 && !(socket instanceof TLSSocket)) socket.resetAndDestroy();
  else if (kind === 1) socket.destroy();
  else socket.end(() => socket.destroySoon());
}

async function hostileClient(port: number, draw: Draw): Promise<void> {
  const isSecured = draw() < 0.15;
  const socket = isSecured
    ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, servername: "a" })
    : connect(port, "127.0.0.1");
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  if (draw() < 0.7) socket.resume();
  // CVE-2025-59465: gone before the server has looked at it.
  if (!isSecured && draw() < 0.1) socket.resetAndDestroy();
  for (const piece of attack(draw)) {
    if (!socket.destroyed) socket.write(piece);
    for (let i = below(draw, 4); i > 0; i--) await new Promise(setImmediate);
  }
  leave(socket, draw);
  await closed;
}

/** Answers with something that is nearly right. */
function hostileServer(socket: Socket, draw: Draw): void {
  const answers = [
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nbytes",
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "HTTP/1.1 200 OK\r\n\r\nuntil close",
  ];
  socket.on("data", () => {
    const answer = Buffer.from(answers[below(draw, answers.length)] ?? "", "latin1");
    if (draw() < 0.3) answer[below(draw, answer.length)] = below(draw, 256);
    socket.write(answer.subarray(0, draw() < 0.5 ? answer.length : below(draw, answer.length)));
    if (draw() < 0.4) leave(socket, draw);
  });
  socket.on("end", () => socket.end());
}

async function start(goodPort: number, evilPort: number): Promise<TestDataPath> {
  const path = dataPath();
  path.secrets.setTrustedRoots("ROOTCA", authority.roots);
  path.secrets.setCertificate("default", authority.issue("spiffe://cluster.local/ns/default/sa/server"));
  path.clusters.update(clusterOn("good", [goodPort]));
  path.clusters.update(clusterOn("evil", [evilPort]));
  const routes = [routeEntry("/good", forward("good")), routeEntry("/evil", forward("evil", { timeoutMs: 500 }))];
  const filters = [httpFilter(managerConfig(routes, { delayedCloseTimeoutMs: 20, streamIdleTimeoutMs: 1000 }))];
  const none = chain([]).match;
  const everyPort = { disabledForPort: (): boolean => false };
  const chains = [
    chain(filters, { name: "tls", tls, match: { ...none, transportProtocol: "tls" } }),
    chain(filters, { name: "plain", match: { ...none, transportProtocol: "raw_buffer" } }),
  ];
  const inspectors = { tlsInspector: everyPort, httpInspector: everyPort, listenerFiltersTimeoutMs: 1000 };
  await path.listeners.update(listenerConfig(chains, inspectors));
  return path;
}

test("CVE-2025-59465 CVE-2024-27983 a well-behaved client sees nothing of 1000 hostile ones", {
  timeout: 60_000,
}, async () => {
  const seed = 20_261_127;
  const good = await httpServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => res.end(Buffer.concat(chunks)));
  });
  const serverDraw = draws(seed);
  const evil = await rawServer((socket) => hostileServer(socket, serverDraw));
  const path = await start(good.port, evil.port);
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const used = new Set<Socket>();
  agent.on("free", (socket: Socket) => used.add(socket));
  let isOver = false;
  const behave = async (name: number): Promise<number> => {
    let count = 0;
    while (!isOver) {
      const body = `${name} ${count++} ${"x".repeat(count % 50)}`;
      const answer = await ask(path, "/good", { agent, method: "POST" }, body);
      assert.equal(answer.status, 200);
      assert.equal(answer.body, body);
    }
    return count;
  };
  const behaving = [1, 2, 3, 4].map(behave);
  const attacking = Array.from({ length: 25 }, async (_, i) => {
    const draw = draws(seed + i);
    for (let round = 0; round < 40; round++) await hostileClient(path.port(), draw);
  });
  await Promise.all(attacking);
  isOver = true;
  const counts = await Promise.all(behaving);
  assert.ok(
    counts.every((count) => count > 20),
    `the client came through: ${counts.join(" ")}`,
  );
  assert.equal(used.size, 4, "none of its connections was closed");
  agent.destroy();
  await until(() => path.listeners.connectionCount === 0, 10_000);
  await until(() => path.clusters.describe().every(({ counters }) => counters.activeRequests === 0), 10_000);
  for (const { counters } of path.clusters.describe()) {
    assert.equal(counters.pendingRequests, 0);
  }
  assert.deepEqual(path.broken, []);
  path.stop();
  good.stop();
  evil.stop();
});
