// Attacks on HTTP/1 by name, through the real data path: HTTP Garden's list of parser bugs and the CVEs of other servers
// and proxies. What can be read in two ways reaches no upstream; what can be read in one way reaches it in that way.
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { after, before, test } from "node:test";
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
import { chunked, garden, get, post, published, smuggled } from "./testing/http1-corpus.ts";
import { cannedServer, RawClient, rawServer } from "./testing/raw-peers.ts";
import { sendRaw, until } from "./testing/requests.ts";

const answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
let server: Awaited<ReturnType<typeof cannedServer>>;
let path: TestDataPath;

before(async () => {
  server = await cannedServer(answer);
  path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  const config = managerConfig([routeEntry("/", forward("app"))]);
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
});

after(() => {
  path.stop();
  server.stop();
});

for (const [name, bytes, status] of [...garden, ...published]) {
  test(`${name} is answered ${status} and reaches nobody`, async () => {
    const seen = server.received().length;
    const text = await sendRaw(path.port(), Buffer.from(bytes, "latin1"));
    assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} [^]*connection: close\r\n`), text);
    assert.equal(text.split("HTTP/1.1 ").length, 2, "one answer and no more");
    // A head may be on its way before its body turns out to be wrong.
    const upstream = server.received().slice(seen);
    assert.doesNotMatch(upstream, /smuggled/);
    if (!bytes.startsWith(chunked)) assert.equal(upstream, "");
  });
}

/** Name, bytes, and what the upstream must and must not see. */
type Passage = readonly [name: string, bytes: string, sees: RegExp, not: RegExp];

const passages: readonly Passage[] = [
  [
    "CVE-2021-22960 chunk extensions are not forwarded",
    `${chunked}5;a=b;c="d;e"\r\nhello\r\n0;f=g\r\n\r\n`,
    /\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/,
    /a=b|f=g/,
  ],
  [
    "CVE-2026-21710 a header named __proto__ is a header",
    `${get}__proto__: x\r\nconstructor: y\r\n\r\n`,
    /__proto__: x\r\nconstructor: y\r\n/,
    /^$/,
  ],
  [
    "a GET with a body keeps body and length",
    `${get}Content-Length: 5\r\n\r\nhello`,
    /Content-Length: 5\r\n[^]*\r\n\r\nhello$/,
    /^$/,
  ],
  [
    "a GET in chunks keeps them",
    `${get}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    /\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/,
    /content-length/i,
  ],
  ["white space around a value is not part of it", `${get}X: \t a b \t\r\n\r\n`, /X: a b\r\n/, /a b[ \t]/],
  [
    "a coding in another case is the same coding",
    `${post}Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n`,
    /\r\n\r\n0\r\n\r\n$/,
    /content-length/i,
  ],
  ["one empty line before a request is skipped", `\r\n${get}\r\n`, /^GET \/ /, /^\r\n/],
  [
    "Connection cannot nominate framing",
    `${post}Connection: Content-Length, X-Drop\r\nX-Drop: 1\r\nContent-Length: 5\r\n\r\nhello`,
    /Content-Length: 5\r\n/,
    /X-Drop/,
  ],
  [
    "trailers cannot become headers",
    `${chunked}0\r\nContent-Length: 5\r\nHost: b\r\nX-Sum: 1\r\n\r\n`,
    /0\r\nX-Sum: 1\r\n\r\n$/,
    /Host: b/,
  ],
  [
    "CVE-2021-39155 a host in another case is the same host",
    "GET / HTTP/1.1\r\nHost: A.Example\r\n\r\n",
    /Host: A\.Example\r\n/,
    /^$/,
  ],
];

for (const [name, bytes, sees, not] of passages) {
  test(name, async () => {
    const seen = server.received().length;
    const client = new RawClient(path.port());
    client.send(bytes);
    await client.sees("ok");
    await until(() => sees.test(server.received().slice(seen)));
    assert.doesNotMatch(server.received().slice(seen), not);
    client.socket.destroy();
  });
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

for (const [name, request, refusal] of [
  ["CVE-2024-23326 bytes after a refused Upgrade", upgrade, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"],
  ["CVE-2025-64763 bytes after an Upgrade that is answered 200", upgrade, answer],
  [
    "CVE-2026-73548 bytes after a refused CONNECT",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "HTTP/1.1 502 Bad\r\ncontent-length: 2\r\n\r\nno",
  ],
] as const) {
  test(`${name} never reach the upstream, and its connection is not used again`, async () => {
    let connections = 0;
    let received = "";
    const upstream = await rawServer((socket) => {
      connections++;
      socket.on("data", (data) => {
        received += data.toString("latin1");
        if (received.includes("\r\n\r\n")) socket.write(refusal);
      });
      socket.on("end", () => socket.end());
    });
    const own = dataPath();
    own.clusters.update(clusterOn("app", [upstream.port]));
    const connect = routeEntry("/", forward("app"));
    const everything = { ...connect, match: { ...connect.match, path: { ...connect.match.path, value: "" } } };
    const config = managerConfig([everything], { upgradeTypes: ["websocket", "connect"] });
    await own.listeners.update(listenerConfig([chain([httpFilter(config)])]));
    const text = await sendRaw(own.port(), request + smuggled);
    assert.match(text, /^HTTP\/1\.1 (403|200|502) [^]*connection: close\r\n/);
    assert.equal(text.split("HTTP/1.1 ").length, 2);
    assert.doesNotMatch(received, /smuggled/);
    await until(() => upstream.sockets.size === 0);
    await sendRaw(own.port(), request);
    assert.equal(connections, 2);
    own.stop();
    upstream.stop();
  });
}

test("CVE-2024-23326 bytes sent with the Upgrade arrive after 101 and not before", async () => {
  let early = "";
  const upstream = await rawServer((socket) => {
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
      if (text.endsWith("\r\n\r\n") && text.startsWith("GET")) {
        // Whatever the proxy sends before the switch is here by the time this runs.
        setImmediate(() => {
          early = text.split("\r\n\r\n")[1] ?? "";
          text = "";
          socket.write(switching);
        });
      } else socket.write(text);
    });
  });
  const own = dataPath();
  own.clusters.update(clusterOn("app", [upstream.port]));
  const config = managerConfig([routeEntry("/", forward("app"))]);
  await own.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  const client = new RawClient(own.port());
  client.send(`${upgrade}first`);
  await client.sees("first");
  assert.equal(early, "");
  client.socket.destroy();
  own.stop();
  upstream.stop();
});

test("CVE-2026-48931 a response that nobody asked for is not the answer to the next request", async () => {
  const sockets: Socket[] = [];
  const upstream = await rawServer((socket) => {
    sockets.push(socket);
    socket.on("data", () => socket.write(answer));
    socket.on("end", () => socket.end());
  });
  const own = dataPath();
  own.clusters.update(clusterOn("app", [upstream.port]));
  const config = managerConfig([routeEntry("/", forward("app"))]);
  await own.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  const close = `${get}Connection: close\r\n\r\n`;
  assert.match(await sendRaw(own.port(), close), /ok$/);
  // The connection is idle in its pool by now.
  sockets[0]?.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged");
  await until(() => upstream.sockets.size === 0);
  assert.match(await sendRaw(own.port(), close), /ok$/);
  assert.equal(sockets.length, 2);
  own.stop();
  upstream.stop();
});
