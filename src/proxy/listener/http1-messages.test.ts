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

test("an early answer survives the reset of a server that does not read the rest, and half of one is no whole one", async () => {
  const whole = "HTTP/1.1 413 Too Large\r\ncontent-length: 4\r\n\r\nmuch";
  const half = "HTTP/1.1 413 Too Large\r\n\r\nhalf of an answer";
  const server = await rawServer((socket) => {
    socket.once("data", (data) => {
      socket.pause();
      // Closing with bytes unread resets the connection.
      socket.write(data.includes("/half") ? half : whole, () => socket.destroy());
    });
  });
  const path = await served(server.port);
  const block = Buffer.alloc(256 * 1024, 97);
  const upload = async (target: string): Promise<RawClient> => {
    const client = new RawClient(path.port());
    client.send(`POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n`);
    const more = (): void => {
      if (!client.ended && !client.closed) client.socket.write(block, () => setImmediate(more));
    };
    more();
    await client.isEnded();
    client.socket.destroy();
    return client;
  };
  for (let i = 0; i < 30; i++) {
    assert.match((await upload("/whole")).text, /^HTTP\/1\.1 413 [^]*much$/);
    assert.doesNotMatch((await upload("/half")).text, /\r\n0\r\n\r\n$/);
  }
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

test("trailers arrive in both directions, and fields that would steer somebody do not", async () => {
  let received = "";
  const server = await rawServer((socket) => {
    socket.on("data", (data) => {
      received += data.toString("latin1");
      if (!received.endsWith("X-Request-Sum: 1\r\n\r\n")) return;
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n");
      socket.write("X-Sum: 2\r\nContent-Length: 7\r\nSet-Cookie: a=b\r\n\r\n");
    });
  });
  const path = await served(server.port);
  const client = new RawClient(path.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n");
  client.send("Host: b\r\nTransfer-Encoding: x\r\nX-Request-Sum: 1\r\n\r\n");
  await client.sees(/\r\n0\r\nX-Sum: 2\r\n(Set-Cookie: a=b\r\n)?\r\n$/);
  assert.match(received, /\r\n\r\n5\r\nhello\r\n0\r\nX-Request-Sum: 1\r\n\r\n$/);
  client.socket.destroy();
  path.stop();
  server.stop();
});

test("hop-by-hop fields of a response, nominated ones too, stay behind", async () => {
  const server = await cannedServer(
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop, Content-Length, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n" +
      "Proxy-Connection: x\r\nUpgrade: h2c\r\nX-Stays: 1\r\n\r\nok",
  );
  const path = await served(server.port);
  const answer = await sendRaw(path.port(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assert.match(answer, /Content-Length: 2\r\n[^]*X-Stays: 1\r\n/);
  assert.doesNotMatch(answer, /x-hop|keep-alive|proxy-connection|upgrade/i);
  path.stop();
  server.stop();
});

test("RFC 9110 7.6.1 trailers that Connection nominates stay behind, both ways", async (context) => {
  let received = "";
  const server = await rawServer((socket) =>
    socket.on("data", (data) => {
      received += data.toString("latin1");
      if (!received.endsWith("\r\n\r\n") || !received.includes("\r\n0\r\n")) return;
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\nConnection: X-Too\r\n\r\n");
      socket.write("2\r\nok\r\n0\r\nX-Hop: 1\r\nX-Sum: 2\r\nX-Too: 3\r\n\r\n");
    }),
  );
  context.after(() => server.stop());
  const path = await served(server.port);
  context.after(() => path.stop());
  const client = new RawClient(path.port());
  context.after(() => client.socket.destroy());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: X-Mine\r\nX-Mine: 0\r\n\r\n");
  client.send("2\r\nhi\r\n0\r\nX-Mine: 1\r\nX-Sum: 1\r\n\r\n");
  await client.sees(/\r\n0\r\nX-Sum: 2\r\n\r\n$/);
  assert.match(received, /\r\n0\r\nX-Sum: 1\r\n\r\n$/);
  assert.doesNotMatch(received, /x-mine/i);
  assert.doesNotMatch(client.text, /x-hop|x-too/i);
});

test("HTTP/1.0 clients keep their connection when they ask to, and are told so", async () => {
  const server = await cannedServer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  const path = await served(server.port);
  const client = new RawClient(path.port());
  const get = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
  client.send(get + get);
  await until(() => client.text.split("ok").length === 3);
  assert.equal(client.text.split("connection: keep-alive\r\n").length, 3);
  client.send("GET / HTTP/1.0\r\n\r\n");
  await client.isEnded();
  assert.match(client.text, /connection: close\r\n\r\nok$/);
  client.socket.destroy();
  path.stop();
  server.stop();
});

test("any configured protocol is switched to, by the name that the server chose, and others are not", async () => {
  const server = await cannedServer(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: My-Proto/2\r\n\r\n",
  );
  const path = await served(server.port, { upgradeTypes: ["my-proto"] });
  const ask = (protocol: string): string =>
    `POST /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
  const client = new RawClient(path.port());
  client.send(ask("My-Proto"));
  await client.sees(/^HTTP\/1\.1 101 [^]*upgrade: my-proto\/2\r\n/i);
  assert.match(server.received(), /^POST \/x HTTP\/1\.1\r\n[^]*upgrade: My-Proto\r\n/);
  client.socket.destroy();
  for (const other of ["websocket", "My-Proto, websocket", "my-proto2"]) {
    assert.match(await sendRaw(path.port(), ask(other)), /^HTTP\/1\.1 403 /, other);
  }
  assert.equal(server.received().split("POST").length, 2);
  path.stop();
  server.stop();
});

test("an offer of h2c is not taken, and the request goes on in HTTP/1.1", async () => {
  const server = await cannedServer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  const path = await served(server.port);
  const answer = await sendRaw(
    path.port(),
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
  );
  assert.match(answer, /^HTTP\/1\.1 200 [^]*ok$/);
  assert.doesNotMatch(server.received(), /upgrade|h2c|http2-settings/i);
  path.stop();
  server.stop();
});

test("CONNECT opens a tunnel that each side may end first", async () => {
  const server = await rawServer((socket) => {
    socket.once("data", (head) => {
      assert.match(head.toString(), /^CONNECT a\.example:443 HTTP\/1\.1\r\n/);
      socket.write(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello".replace(
          "Transfer-Encoding: chunked\r\n",
          "",
        ),
      );
      socket.on("data", (data) => socket.write(`<${data.toString()}>`));
      socket.on("end", () => socket.end("bye"));
    });
  });
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  const route = routeEntry("/", forward("app"));
  const connectRoute = { ...route, match: { ...route.match, path: { type: "connect" as const } } };
  const config = managerConfig([connectRoute], { upgradeTypes: ["connect"] });
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  const client = new RawClient(path.port());
  client.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
  await client.sees("hello");
  // RFC 9110 9.3.6: a successful answer to CONNECT has no content, whatever it says.
  assert.match(client.text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.doesNotMatch(client.text, /content-length|transfer-encoding/i);
  client.send("ping");
  await client.sees("<ping>");
  client.socket.end();
  await client.isClosed();
  assert.match(client.text, /bye$/);
  await until(() => path.logs.length === 1);
  assert.equal(path.logs[0]?.["responseFlags"], "-");
  for (const target of ["a.example", "a.example:", "a.example:0", ":443", "http://a:443", "a:99999"]) {
    const refused = await sendRaw(path.port(), `CONNECT ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.match(refused, /^HTTP\/1\.1 400 /, target);
  }
  path.stop();
  server.stop();
});

test("a server that ends its side in the middle is an incomplete response, after the end it is nothing", async () => {
  const server = await rawServer((socket) => {
    socket.once("data", (data) => {
      const isHalf = data.includes("/half");
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${isHalf ? 10 : 2}\r\n\r\nok`);
    });
  });
  const path = await served(server.port);
  const half = new RawClient(path.port());
  half.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
  await half.isEnded();
  half.socket.destroy();
  assert.equal(path.logs[0]?.["responseFlags"], "UC");
  const whole = new RawClient(path.port());
  whole.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
  await whole.sees("ok");
  whole.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => whole.text.split("ok").length === 3);
  assert.equal(path.logs[2]?.["responseFlags"], "-");
  whole.socket.destroy();
  path.stop();
  server.stop();
});

/** Name, the response's bytes, and whether the client may see it as an answer. */
const hostileResponses: readonly (readonly [name: string, bytes: string, isAnswer: boolean])[] = [
  ["length and chunked", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", false],
  ["a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", false],
  ["a coding that is not chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", false],
  ["chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false],
  ["a folded header", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", false],
  ["a bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", false],
  ["CR in a value", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", false],
  ["NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 2\r\n\r\nok", false],
  ["CR in the reason", "HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok", false],
  ["status 99", "HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nok", false],
  ["HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false],
  ["HTTP/0.9", "ok", false],
  [
    "101 that nobody asked for",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nok",
    false,
  ],
  ["a head of 100 KB", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(100_000)}\r\nContent-Length: 2\r\n\r\nok`, false],
  [
    "a second response behind the first",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    true,
  ],
  ["a body behind 204", "HTTP/1.1 204 No Content\r\n\r\nevil", true],
  ["no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", true],
];

test("what a server may not say is answered 502, and its connection is not used again", async () => {
  let bytes = "";
  let connections = 0;
  const server = await rawServer((socket) => {
    connections++;
    socket.on("data", () => socket.write(bytes, "latin1"));
    socket.on("end", () => socket.end());
  });
  const path = await served(server.port);
  for (const [name, response, isAnswer] of hostileResponses) {
    bytes = response;
    const before = connections;
    const answer = await sendRaw(path.port(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert.match(answer, isAnswer ? /^HTTP\/1\.1 20[04]/ : /^HTTP\/1\.1 502 /, name);
    assert.doesNotMatch(answer, /evil|set-cookie/i, name);
    if (!isAnswer) assert.equal(path.logs.at(-1)?.["responseFlags"], "UPE", name);
    assert.equal(connections, before + 1, name);
    if (name !== "no reason") await until(() => server.sockets.size === 0);
  }
  path.stop();
  server.stop();
});
