// One GiB through the proxy, in the clear and through a pair of sidecars over mutual TLS, to a reader that stops now and
// then: every byte arrives in its place, and the process that does all of it holds a small part of them at any time.
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, type TestContext, test } from "node:test";
import { type TestAuthority, testAuthority } from "./testing/certificates.ts";
import { chain, clusterOn, dataPath, listenerConfig, type TestDataPath, tcpFilter } from "./testing/data-path.ts";
import { rawServer } from "./testing/raw-peers.ts";
import { until } from "./testing/requests.ts";
import { clientTls, everyPort, identify, serverTls } from "./testing/sidecar-pair.ts";

let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

const megabyte = 1024 * 1024;
const total = 1024 * megabyte;
/** Of a length that fits no buffer, so that a byte out of its place is seen. */
const pattern = Buffer.from(Array.from({ length: megabyte + 7 }, (_, i) => (i * 7 + (i >> 8)) & 255));

class Reader {
  received = 0;
  isRight = true;
  stops = 0;

  read(socket: Socket, data: Buffer): void {
    for (let at = 0; at < data.length; ) {
      const place = (this.received + at) % pattern.length;
      const count = Math.min(data.length - at, pattern.length - place);
      if (data.compare(pattern, place, place + count, at, at + count) !== 0) this.isRight = false;
      at += count;
    }
    const before = Math.floor(this.received / (128 * megabyte));
    this.received += data.length;
    if (Math.floor(this.received / (128 * megabyte)) === before) return;
    this.stops++;
    socket.pause();
    this.#goOnWhenSenderWaits(socket);
  }

  /** What the sender has sent when it waits is the bound of what is on its way. */
  sent: () => number = () => 0;
  mostUnread = 0;

  #goOnWhenSenderWaits(socket: Socket, before = -1, steady = 0): void {
    const now = this.sent();
    if (steady > 50) {
      this.mostUnread = Math.max(this.mostUnread, now - this.received);
      socket.resume();
    } else {
      setImmediate(() => this.#goOnWhenSenderWaits(socket, now, now === before ? steady + 1 : 0));
    }
  }
}

async function sendAll(context: TestContext, port: number, reader: Reader): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  context.after(() => socket.destroy());
  socket.on("error", () => {});
  let sent = 0;
  reader.sent = () => sent - socket.writableLength;
  const more = (): void => {
    while (sent < total) {
      const piece = pattern.subarray(0, Math.min(pattern.length, total - sent));
      sent += piece.length;
      if (!socket.write(piece)) return;
    }
    socket.end();
  };
  socket.on("drain", more);
  const before = process.memoryUsage.rss();
  let most = 0;
  more();
  await until(() => {
    most = Math.max(most, process.memoryUsage.rss() - before);
    return reader.received === total || !reader.isRight;
  }, 60_000);
  assert.ok(reader.isRight, "every byte is in its place");
  assert.equal(reader.stops, 8);
  assert.ok(reader.mostUnread < 64 * megabyte, `${reader.mostUnread} bytes were on their way`);
  assert.ok(most < 192 * megabyte, `the process grew by ${most} bytes`);
}

async function target(context: TestContext, reader: Reader): Promise<number> {
  const server = await rawServer((socket) => socket.on("data", (data: Buffer) => reader.read(socket, data)));
  context.after(() => server.stop());
  return server.port;
}

function running(context: TestContext): TestDataPath {
  const path = dataPath();
  context.after(() => path.stop());
  return path;
}

test("1 GiB arrives whole through one proxy, within bounded memory", async (context) => {
  const reader = new Reader();
  const path = running(context);
  path.clusters.update(clusterOn("app", [await target(context, reader)]));
  await path.listeners.update(listenerConfig([chain([tcpFilter("app")])]));
  await sendAll(context, path.port(), reader);
});

test("1 GiB arrives whole through two sidecars and mutual TLS, within bounded memory", async (context) => {
  const reader = new Reader();
  const server = running(context);
  identify(server, authority, "server");
  server.clusters.update(clusterOn("app", [await target(context, reader)]));
  const match = { ...chain([]).match, transportProtocol: "tls" as const };
  const secured = chain([tcpFilter("app")], { tls: serverTls, match });
  await server.listeners.update(listenerConfig([secured], { tlsInspector: everyPort }));
  const client = running(context);
  identify(client, authority, "client");
  const transports = [{ name: "tls", match: {}, tls: clientTls, proxyProtocol: null }];
  client.clusters.update(clusterOn("server", [server.port()], { transports }));
  await client.listeners.update(listenerConfig([chain([tcpFilter("server")])]));
  await sendAll(context, client.port(), reader);
});
