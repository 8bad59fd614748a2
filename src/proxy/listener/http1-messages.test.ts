// RFC 9112 and RFC 9110 over real sockets: how messages are framed, forwarded and ended in both directions, with peers
// that speak bytes.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpConnectionManagerConfig } from "../config/http.ts";
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
import { cannedServer, RawClient, rawServer } from "./testing/raw-peers.ts";
import { sendRaw, until } from "./testing/requests.ts";

async function served(port: number, manager: Partial<HttpConnectionManagerConfig> = {}): Promise<TestDataPath> {
  const path = dataPath();
  path.clusters.update(clusterOn("app", [port]));
  const config = managerConfig([routeEntry("/", forward("app"))], manager);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  return path;
}

test("informational responses arrive in order, without framing, hop-by-hop fields or a body", async () => {
  const server = await cannedServer(
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nContent-Length: 5\r\n" +
      "Connection: x-hop\r\nX-Hop: 1\r\n\r\n" +
      "HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
  );
  const path = await served(server.port);
  const answer = await sendRaw(path.port(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assert.match(
    answer,
    /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>\r\n\r\nHTTP\/1\.1 102 Processing\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
  );
  assert.match(answer, /\r\n\r\nok$/);
  const old = await sendRaw(path.port(), "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  assert.match(old, /^HTTP\/1\.1 200 OK\r\n/);
  path.stop();
  server.stop();
});

test("endless informational responses end the exchange", async () => {
  const server = await rawServer((socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 102 Processing\r\n\r\n".repeat(5000)));
  });
  const path = await served(server.port);
  const answer = await sendRaw(path.port(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assert.match(answer, /HTTP\/1\.1 502 /);
  assert.equal(path.logs[0]?.["responseFlags"], "UPE");
  path.stop();
  server.stop();
});

test("responses that have no body are forwarded without framing that promises one", async () => {
  for (const status of ["204 No Content", "304 Not Modified"]) {
    const server = await cannedServer(`HTTP/1.1 ${status}\r\nTransfer-Encoding: chunked\r\nETag: "a"\r\n\r\n`);
    const path = await served(server.port);
    const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const client = new RawClient(path.port());
    client.send(get + get);
    await until(() => client.text.split(`HTTP/1.1 ${status}`).length === 3);
    if (status.startsWith("204")) assert.doesNotMatch(client.text, /transfer-encoding|content-length/i);
    client.socket.destroy();
    path.stop();
    server.stop();
  }
});

test("the answer to HEAD has the length of GET and no body, and the next request follows", async () => {
  const server = await cannedServer("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
  const path = await served(server.port);
  const client = new RawClient(path.port());
  client.send("HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => client.text.split("content-length: 1000").length === 3);
  assert.match(client.text, /\r\n\r\n$/);
  client.socket.destroy();
  path.stop();
  server.stop();
});

test("an early answer reaches a client that is still sending, and the connection ends with FIN", async () => {
  const server = await rawServer((socket) => {
    socket.once("data", () => socket.write("HTTP/1.1 413 Too Large\r\ncontent-length: 4\r\n\r\nmuch"));
    socket.on("end", () => socket.end());
  });
  const path = await served(server.port);
  const client = new RawClient(path.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
  // The client sends on until it is told to stop.
  const block = Buffer.alloc(16 * 1024, 97);
  const more = (): void => {
    if (!client.ended) client.socket.write(block, () => setImmediate(more));
  };
  more();
  await client.isEnded();
  assert.match(client.text, /^HTTP\/1\.1 413 Too Large\r\n[^]*connection: close\r\n\r\nmuch$/);
  client.socket.end();
  await client.isClosed();
  assert.equal(client.error, undefined);
  assert.equal(path.logs[0]?.["responseFlags"], "-");
  await until(() => server.sockets.size === 0);
  path.stop();
  server.stop();
});

test("an answer that begins before the request is complete flows while the request flows", async () => {
  const server = await rawServer((socket) => {
    let isBegun = false;
    socket.on("data", (data) => {
      if (!isBegun) socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
      isBegun = true;
      const text = data.toString("latin1");
      for (const part of text.match(/<\d>/g) ?? []) socket.write(`3\r\n${part}\r\n`);
      if (text.endsWith("0\r\n\r\n")) socket.write("0\r\n\r\n");
    });
  });
  const path = await served(server.port);
  const client = new RawClient(path.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (let i = 1; i < 5; i++) {
    client.send(`3\r\n<${i}>\r\n`);
    await client.sees(`<${i}>`);
  }
  client.send("0\r\n\r\n");
  await client.sees("0\r\n\r\n");
  client.socket.destroy();
  path.stop();
  server.stop();
});

test("an upstream that answers early and then reads on is not used again", async () => {
  let connections = 0;
  const server = await rawServer((socket) => {
    connections++;
    socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    socket.resume();
  });
  const path = await served(server.port);
  for (let i = 1; i < 4; i++) {
    const answer = await sendRaw(path.port(), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    assert.match(answer, /\r\n\r\nok$/);
    assert.equal(connections, i);
  }
  path.stop();
  server.stop();
});

test("a client that pipelines and does not read is read no further", async () => {
  const body = "x".repeat(50_000);
  let requests = 0;
  const server = await rawServer((socket) => {
    socket.on("data", () => {
      requests++;
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    });
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  const routes = [
    routeEntry("/direct", { type: "direct_response", status: 200, body }),
    routeEntry("/", forward("app")),
  ];
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig(routes))])]));
  const client = new RawClient(path.port());
  client.socket.pause();
  const count = 2000;
  client.send("GET /direct HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count));
  await until(() => path.logs.length > 20);
  let before = -1;
  let steady = 0;
  await until(() => {
    steady = path.logs.length === before ? steady + 1 : 0;
    before = path.logs.length;
    return steady > 20;
  });
  // The kernel's buffers on both sides hold some megabytes; the proxy must not hold the rest of the 100 MB.
  assert.ok(path.logs.length < 1000, `${path.logs.length} answers were made`);
  client.socket.resume();
  await until(() => path.logs.length === count, 10_000);
  await until(() => client.text.length > count * body.length, 10_000);
  client.socket.destroy();
  assert.equal(requests, 0);
  path.stop();
  server.stop();
});

test("a tunnel ends without a failure whichever side ends first", async () => {
  const server = await rawServer((socket) => {
    socket.once("data", (data) => {
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n",
      );
      if (data.includes("/first")) socket.end("bye");
      socket.on("end", () => socket.end("late"));
      socket.resume();
    });
  });
  const path = await served(server.port);
  const upgrade = (target: string): string =>
    `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
  const first = new RawClient(path.port());
  first.send(upgrade("/first"));
  await first.isEnded();
  assert.match(first.text, /\r\n\r\nbye$/);
  assert.doesNotMatch(first.text, /content-length/i);
  first.send("still heard");
  first.socket.end();
  await first.isClosed();
  assert.equal(first.error, undefined);
  const second = new RawClient(path.port());
  second.send(upgrade("/second"));
  await second.sees("101");
  second.socket.end();
  await second.isClosed();
  assert.match(second.text, /late$/);
  await until(() => path.logs.length === 2);
  for (const entry of path.logs) assert.equal(entry["responseFlags"], "-");
  await until(() => server.sockets.size === 0);
  path.stop();
  server.stop();
});
