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

const get = "GET / HTTP/1.1\r\nHost: a\r\n";
const post = "POST / HTTP/1.1\r\nHost: a\r\n";
const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`;
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/** Name, bytes, status of the only answer. */
type Refusal = readonly [name: string, bytes: string, status: number];

const garden: readonly Refusal[] = [
  ["Content-Length: 0x5", `${post}Content-Length: 0x5\r\n\r\nhello${smuggled}`, 400],
  ["Content-Length: +5", `${post}Content-Length: +5\r\n\r\nhello${smuggled}`, 400],
  ["Content-Length: -5", `${post}Content-Length: -5\r\n\r\nhello${smuggled}`, 400],
  ["Content-Length: 5 5", `${post}Content-Length: 5 5\r\n\r\nhello${smuggled}`, 400],
  ["an empty Content-Length", `${post}Content-Length: \r\n\r\n${smuggled}`, 400],
  ["Content-Length: 5abc (longest valid prefix)", `${post}Content-Length: 5abc\r\n\r\nhello${smuggled}`, 400],
  ["Content-Length: 5, 5", `${post}Content-Length: 5, 5\r\n\r\nhello${smuggled}`, 400],
  ["Content-Length beyond 64 bits", `${post}Content-Length: 18446744073709551621\r\n\r\nhello${smuggled}`, 400],
  ["two equal Content-Length lines", `${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello${smuggled}`, 400],
  ["two different Content-Length lines", `${post}Content-Length: 0\r\nContent-Length: 44\r\n\r\n${smuggled}`, 400],
  [
    "Content-Length and chunked",
    `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    400,
  ],
  [
    "chunked and Content-Length",
    `${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${smuggled}`,
    400,
  ],
  [
    "unknown coding and Content-Length",
    `${post}Transfer-Encoding: x\r\nContent-Length: 5\r\n\r\nhello${smuggled}`,
    501,
  ],
  [
    "Content-Length and unknown coding",
    `${post}Content-Length: 5\r\nTransfer-Encoding: x\r\n\r\nhello${smuggled}`,
    400,
  ],
  ["chunked twice", `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`, 400],
  ["chunked, chunked", `${post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n${smuggled}`, 501],
  [", chunked", `${post}Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n${smuggled}`, 400],
  ["chunked,", `${post}Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n${smuggled}`, 400],
  ["an empty Transfer-Encoding", `${post}Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello${smuggled}`, 400],
  ["chunked, identity", `${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${smuggled}`, 501],
  ["a quoted chunked", `${post}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n${smuggled}`, 400],
  ["chunked with a parameter", `${post}Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n${smuggled}`, 400],
  ["chunked after a vertical tab", `${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${smuggled}`, 400],
  ["chunked before a no-break space", `${post}Transfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n${smuggled}`, 400],
  ["chunked in HTTP/1.0", `POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  ["chunk size 0x5", `${chunked}0x5\r\nhello\r\n0\r\n\r\n`, 400],
  ["chunk size +5", `${chunked}+5\r\nhello\r\n0\r\n\r\n`, 400],
  ["chunk size -5", `${chunked}-5\r\nhello\r\n0\r\n\r\n`, 400],
  ["chunk size 5_0", `${chunked}5_0\r\nhello\r\n0\r\n\r\n`, 400],
  ["a space before the chunk size", `${chunked} 5\r\nhello\r\n0\r\n\r\n`, 400],
  ["a space after the chunk size", `${chunked}5 \r\nhello\r\n0\r\n\r\n`, 400],
  ["a tab after the chunk size", `${chunked}5\t\r\nhello\r\n0\r\n\r\n`, 400],
  ["an empty chunk size", `${chunked}\r\nhello\r\n0\r\n\r\n`, 400],
  ["a chunk size with a letter too far", `${chunked}5g\r\nhello\r\n0\r\n\r\n`, 400],
  ["a chunk size beyond 64 bits", `${chunked}10000000000000005\r\nhello\r\n0\r\n\r\n`, 400],
  ["a bare LF after the chunk size", `${chunked}5\nhello\r\n0\r\n\r\n`, 400],
  ["a bare CR after the chunk size", `${chunked}5\rhello\r\n0\r\n\r\n`, 400],
  ["any two bytes after chunk data", `${chunked}5\r\nhelloXX0\r\n\r\n`, 400],
  ["a bare LF after chunk data", `${chunked}5\r\nhello\n0\r\n\r\n`, 400],
  ["a bare LF as the last line", `${chunked}5\r\nhello\r\n0\r\n\n`, 400],
  ["any two bytes for the last line", `${chunked}0\r\nXX${smuggled}`, 400],
  ["CR in a chunk extension", `${chunked}5;a\rb\r\nhello\r\n0\r\n\r\n`, 400],
  ["LF in a chunk extension", `${chunked}5;a\nb\r\nhello\r\n0\r\n\r\n`, 400],
  ["NUL in a chunk extension", `${chunked}5;a\0b\r\nhello\r\n0\r\n\r\n`, 400],
  ["a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400],
  ["a bare LF after a header", `GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n`, 400],
  ["a bare CR as a line end", `GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n`, 400],
  ["CR in a value", `${get}X: a\rb\r\n\r\n`, 400],
  ["NUL in a value", `${get}X: a\0b\r\n\r\n`, 400],
  ["NUL in a name", `${get}X\0: a\r\n\r\n`, 400],
  ["DEL in a value", `${get}X: a\x7fb\r\n\r\n`, 400],
  ["an empty header name", `${get}: a\r\n\r\n`, 400],
  ["a line without a colon", `${get}abc\r\n\r\n`, 400],
  ["a name above 0x7F", `${get}X\x80: a\r\n\r\n`, 400],
  ["a name with a space in it", `${get}X Y: a\r\n\r\n`, 400],
  ["a space before a name", `${get} X: a\r\n\r\n`, 400],
  ["two bytes in place of the final CRLF", `${get}XX${smuggled}`, 400],
  ["a folded value", `${get}X: a\r\n b\r\n\r\n`, 400],
  ["a target with a space", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 505],
  ["a target with a control byte", "GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a target above 0x7F", "GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 505],
  ["HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", 505],
  ["http/1.1 in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 505],
  ["HTTP/0.9", "GET /\r\n", 400],
  ["two Host lines", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["a list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400],
  ["a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400],
  ["a host with user information", "GET / HTTP/1.1\r\nHost: b@a\r\n\r\n", 400],
  ["a host with two ports", "GET / HTTP/1.1\r\nHost: a:80:81\r\n\r\n", 400],
  ["a host with a port that is none", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400],
];

const published: readonly Refusal[] = [
  ["CVE-2025-23167 a head that ends in CR LF CR X", `${get}\rX`, 400],
  ["CVE-2022-32214 header lines that end in LF", `POST / HTTP/1.1\r\nHost: a\nContent-Length: 5\r\n\r\nhello`, 400],
  ["CVE-2022-35256 a header line that ends in CR X", `${get}X: a\r\rY: b\r\n\r\n`, 400],
  ["CVE-2022-32215 a folded Transfer-Encoding", `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`, 400],
  ["CVE-2022-32215 a Transfer-Encoding that goes on", `${post}Transfer-Encoding: chunked\r\n , identity\r\n\r\n`, 400],
  ["CVE-2021-22959 a space before the colon", `${post}Content-Length : 5\r\n\r\nhello`, 400],
  ["CVE-2020-8201 CR in a name", `${get}Content\rLength: 5\r\n\r\nhello`, 400],
  ["CVE-2023-30589 CR alone ends the head", `${get}X: a\r\rGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
  ["CVE-2023-30589 an empty header ends the head", `${get}:\r\n\r\n${smuggled}`, 400],
  ["CVE-2024-27982 a space before Content-Length", `${post} Content-Length: 5\r\n\r\nhello`, 400],
  ["CVE-2024-27982 a fold hides Content-Length", `${post}X: a\r\n Content-Length: 5\r\n\r\nhello`, 400],
  ["CVE-2023-25725 an empty name cuts the list", `${post}: x\r\nContent-Length: 5\r\n\r\nhello`, 400],
  ["CVE-2021-39156 a fragment hides the path", "GET /admin#/public HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["CVE-2026-73511 a dot segment with parameters", "GET /public/..;/admin HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  [
    "CVE-2026-73553 an escaped dot segment with parameters",
    "GET /public/%2e%2e;x/admin HTTP/1.1\r\nHost: a\r\n\r\n",
    400,
  ],
];

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
