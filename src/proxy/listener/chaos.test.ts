// Clients and servers that hang up at any moment: nothing leaks, nothing throws, and the next request works.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  listenerConfig,
  managerConfig,
  routeEntry,
  tcpFilter,
} from "./testing/data-path.ts";
import { ask, until } from "./testing/requests.ts";

/** A repeatable stream of draws. */
function draws(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function endSomehow(socket: Socket, draw: number): void {
  if (draw < 0.4) socket.resetAndDestroy();
  else if (draw < 0.7) socket.destroy();
  else socket.end();
}

test("after 400 broken exchanges all counters are zero and a good one works", { timeout: 20_000 }, async () => {
  const random = draws(7);
  let isGood = false;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", () => {
      const reply = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
      if (isGood || random() < 0.4) {
        socket.write(reply);
        return;
      }
      socket.write(reply.slice(0, Math.floor(random() * reply.length)));
      endSomehow(socket, random());
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = (server.address() as AddressInfo).port;
  const path = dataPath();
  path.clusters.update(clusterOn("app", [port]));
  const config = managerConfig([routeEntry("/", forward("app", { timeoutMs: 500 }))], { requestHeadersTimeoutMs: 300 });
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  await path.listeners.update(listenerConfig([chain([tcpFilter("app", { idleTimeoutMs: 500 })])], { name: "tcp" }));
  const message = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  const one = async (i: number): Promise<void> => {
    const target = (i % 3 === 0 ? path.listeners.port("tcp") : path.port()) ?? 0;
    const socket = connect(target, "127.0.0.1");
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.resume();
    const cut = random() < 0.5 ? message.length : Math.floor(random() * message.length);
    socket.write(message.slice(0, cut));
    await new Promise((resolve) => setTimeout(resolve, Math.floor(random() * 6)));
    endSomehow(socket, random());
    await closed;
  };
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 20 }, (_, i) => one(i)));
  await until(() => path.listeners.connectionCount === 0);
  isGood = true;
  const answer = await ask(path, "/");
  assert.equal(answer.body, "hello");
  await until(() => path.clusters.describe()[0]?.counters.activeRequests === 0);
  const description = path.clusters.describe()[0];
  assert.equal(description?.counters.pendingRequests, 0);
  assert.equal(description?.breakers[0]?.retries, 0);
  assert.equal(description?.endpoints[0]?.activeRequests, 0);
  path.clusters.remove("app");
  await until(() => description?.counters.connections === 0);
  await until(() => sockets.size === 0);
  path.stop();
  server.close();
});
