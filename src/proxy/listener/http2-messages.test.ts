// Messages that change their version of HTTP on the way: what RFC 9110 says of them holds on both sides, and nothing is
// sent on that the other version could read in another way. Peers are node:http and node:http2, or played by hand.
import assert from "node:assert/strict";
import { once } from "node:events";
import { request, type ServerResponse } from "node:http";
import { type ClientHttp2Session, constants, type IncomingHttpHeaders } from "node:http2";
import { type TestContext, test } from "node:test";
import { data, type Field, get, headers, post, rst } from "#wire/http2/testing/raw-frames.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import type { HttpConnectionManagerConfig, RouteEntry } from "../config/http.ts";
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
import { askHttp2, http2Server, http2Session, rawHttp2Client, rawHttp2Server } from "./testing/http2-peers.ts";
import { cannedServer, RawClient, rawServer } from "./testing/raw-peers.ts";
import { type Answer, ask, until } from "./testing/requests.ts";

/** Takes CONNECT, and everything else. */
function connectRoutes(): RouteEntry[] {
  const connect = routeEntry("/", forward("app"));
  const match = { ...connect.match, path: { type: "connect" as const } };
  return [{ ...connect, match }, routeEntry("/", forward("app"))];
}

interface Overrides {
  readonly manager?: Partial<HttpConnectionManagerConfig>;
  readonly cluster?: Partial<ClusterConfig>;
  readonly routes?: readonly RouteEntry[];
}

async function pathTo(
  context: TestContext,
  server: { readonly port: number; stop(): void },
  upstreamProtocol: ClusterConfig["upstreamProtocol"],
  { manager, cluster, routes = [routeEntry("/", forward("app"))] }: Overrides = {},
): Promise<TestDataPath> {
  const path = dataPath();
  context.after(() => {
    path.stop();
    server.stop();
  });
  path.clusters.update(clusterOn("app", [server.port], { upstreamProtocol, ...cluster }));
  await path.listeners.update(listenerConfig([chain([httpFilter(managerConfig(routes, manager))])]));
  return path;
}

function session(context: TestContext, path: TestDataPath): ClientHttp2Session {
  const opened = http2Session(path.port());
  context.after(() => opened.destroy());
  return opened;
}

/** A server of the wanted version that says what it saw and sends trailers. */
function trailersServer(version: string): Promise<{ port: number; stop(): void }> {
  if (version === "http1") {
    return httpServer((req, res) => {
      req.resume();
      req.on("end", () => {
        res.writeHead(200, { trailer: "x-sum" });
        res.write(`te ${req.headers["te"]} sum ${req.trailers["x-sum"]}`);
        res.addTrailers({ "X-Sum": "7" });
        res.end();
      });
    });
  }
  return http2Server((stream, head) => {
    let sum: unknown;
    stream.on("trailers", (trailers: IncomingHttpHeaders) => (sum = trailers["x-sum"]));
    stream.resume();
    stream.on("end", () => {
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "7" }));
      stream.end(`te ${head["te"]} sum ${sum}`);
    });
  });
}

function askWithTrailers(path: TestDataPath): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { port: path.port(), host: "127.0.0.1", method: "POST", headers: { te: "trailers, deflate", connection: "te" } },
      (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => (body += chunk.toString()));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body,
            bytes: Buffer.of(),
            trailers: response.trailers,
          }),
        );
      },
    );
    sent.on("error", reject);
    sent.addTrailers({ "X-Sum": "3" });
    sent.write("body");
    sent.end();
  });
}

for (const upstream of ["http1", "http2"] as const) {
  test(`trailers travel both ways between HTTP/1 and ${upstream}`, async (context) => {
    const path = await pathTo(context, await trailersServer(upstream), upstream);
    const answer = await askWithTrailers(path);
    // Codings are of one connection alone.
    assert.equal(answer.body, "te trailers sum 3");
    assert.equal(answer.trailers["x-sum"], "7");
  });

  test(`trailers travel both ways between HTTP/2 and ${upstream}`, async (context) => {
    const path = await pathTo(context, await trailersServer(upstream), upstream);
    const stream = session(context, path).request({ ":method": "POST", ":path": "/", te: "trailers" }, {
      waitForTrailers: true,
    } as object);
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "3" }));
    stream.end("body");
    let trailers: IncomingHttpHeaders = {};
    stream.on("trailers", (received: IncomingHttpHeaders) => (trailers = received));
    let body = "";
    for await (const chunk of stream) body += String(chunk);
    assert.equal(body, "te trailers sum 3");
    assert.equal(trailers["x-sum"], "7");
  });

  test(`an HTTP/2 client's Expect is answered here before it goes to ${upstream}, or left to the server`, async (context) => {
    const seen: unknown[] = [];
    const server =
      upstream === "http1"
        ? await httpServer((req, res) => {
            seen.push(req.headers.expect);
            req.resume();
            req.on("end", () => res.end("done"));
          })
        : await http2Server((stream, head) => {
            seen.push(head["expect"]);
            if (head["expect"] !== undefined) stream.additionalHeaders({ ":status": 100 });
            stream.respond({ ":status": 200 });
            stream.resume();
            stream.end("done");
          });
    for (const proxies100Continue of [false, true]) {
      const path = await pathTo(context, server, upstream, { manager: { proxies100Continue } });
      const stream = session(context, path).request({ ":method": "POST", ":path": "/", expect: "100-continue" });
      await once(stream, "continue");
      stream.end("body");
      const [head] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status"?: number }];
      assert.equal(head[":status"], 200);
      stream.resume();
      await once(stream, "end");
    }
    assert.deepEqual(seen, [undefined, "100-continue"]);
  });

  test(`informational heads of ${upstream} reach both kinds of clients, without framing`, async (context) => {
    const server =
      upstream === "http1"
        ? await cannedServer(
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nContent-Length: 5\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
          )
        : await rawHttp2Server((connection, frame) => {
            if (frame.type !== "HEADERS") return;
            const hint = headers(
              frame.streamId,
              [
                [":status", "103"],
                ["link", "</a.css>"],
                ["content-length", "5"],
              ],
              4,
            );
            connection.send(hint, headers(frame.streamId, [[":status", "200"]], 4), data(frame.streamId, "ok", 1));
          });
    const path = await pathTo(context, server, upstream);
    const stream = session(context, path).request({ ":path": "/" });
    const [hint] = (await once(stream, "headers")) as [IncomingHttpHeaders & { ":status"?: number }];
    assert.deepEqual(Object.entries(hint), [
      [":status", 103],
      ["link", "</a.css>"],
    ]);
    const [head] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status"?: number }];
    assert.equal(head[":status"], 200);
    stream.resume();
    const client = new RawClient(path.port());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    await client.isEnded();
    client.socket.destroy();
    assert.match(client.text, /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a\.css>\r\n\r\nHTTP\/1\.1 200 OK\r\n/i);
  });

  test(`HEAD, 204 and 304 of ${upstream} have no content for either client, and the length of 304 and HEAD stays`, async (context) => {
    const server =
      upstream === "http1"
        ? await httpServer((req, res) => {
            const status = Number(req.url?.slice(1));
            res.writeHead(status, status === 204 ? {} : { "content-length": "10" });
            res.end();
          })
        : await http2Server((stream, head) => {
            const status = Number(head[":path"]?.slice(1));
            stream.respond(
              { ":status": status, ...(status !== 204 && { "content-length": "10" }) },
              { endStream: true },
            );
          });
    const path = await pathTo(context, server, upstream);
    const opened = session(context, path);
    for (const [method, status] of [
      ["HEAD", 200],
      ["GET", 204],
      ["GET", 304],
    ] as const) {
      const length = status === 204 ? undefined : "10";
      const two = await askHttp2(opened, { ":method": method, ":path": `/${status}` });
      assert.deepEqual([two.status, two.headers["content-length"], two.body], [status, length, ""]);
      const one = await ask(path, `/${status}`, { method });
      assert.deepEqual([one.status, one.headers["content-length"], one.body], [status, length, ""]);
      assert.equal(one.headers["transfer-encoding"], undefined);
    }
  });
}

test("a response of HTTP/2 that ends with its head says so to a client that keeps its HTTP/1 connection", async (context) => {
  const server = await http2Server((stream) => stream.respond({ ":status": 302, location: "/x" }, { endStream: true }));
  const path = await pathTo(context, server, "http2");
  const client = new RawClient(path.port());
  for (let i = 0; i < 2; i++) client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => client.text.match(/HTTP\/1\.1 302 Found/g)?.length === 2);
  assert.equal(client.text.match(/\r\ncontent-length: 0\r\n/g)?.length, 2);
  client.socket.destroy();
});

test("a method with content that has none says so to an HTTP/1 server", async (context) => {
  const server = await cannedServer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  const path = await pathTo(context, server, "http1");
  const opened = session(context, path);
  for (const method of ["POST", "PUT", "PATCH", "GET", "DELETE"]) await askHttp2(opened, { ":method": method });
  const lengths = server
    .received()
    .split("\r\n\r\n")
    .filter((head) => head !== "");
  assert.deepEqual(
    lengths.map((head) => /content-length: 0/.test(head)),
    [true, true, true, false, false],
  );
  assert.doesNotMatch(server.received(), /transfer-encoding/);
});

test("crumbs of cookies are one line for an HTTP/1 server", async (context) => {
  const server = await cannedServer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  const path = await pathTo(context, server, "http1");
  const client = rawHttp2Client(path.port());
  context.after(() => client.socket.destroy());
  client.send(headers(1, [...get, ["cookie", "a=1"], ["x-other", "1"], ["cookie", "b=2"], ["cookie", "c=3"]]));
  await client.sees("HEADERS 1 END");
  assert.match(server.received(), /\r\ncookie: a=1; b=2; c=3\r\n/);
  assert.equal(server.received().match(/cookie/g)?.length, 1);
});

test("an early answer arrives while the request goes on, both ways at a time", async (context) => {
  let received = "";
  const server = await http2Server((stream) => {
    stream.respond({ ":status": 200 });
    stream.write("early");
    stream.on("data", (chunk: Buffer) => (received += chunk.toString()));
    stream.on("end", () => stream.end(`late ${received}`));
  });
  const path = await pathTo(context, server, "http2");
  const stream = session(context, path).request({ ":method": "POST", ":path": "/" });
  await once(stream, "response");
  const [early] = (await once(stream, "data")) as [Buffer];
  assert.equal(early.toString(), "early");
  stream.write("one ");
  stream.end("two");
  const [late] = (await once(stream, "data")) as [Buffer];
  assert.equal(late.toString(), "late one two");
});

test("a complete answer before the end of the request ends the request too, without an error for the client", async (context) => {
  const server = await http2Server((stream) => {
    stream.respond({ ":status": 413 });
    stream.end("too much");
  });
  const path = await pathTo(context, server, "http2");
  const opened = session(context, path);
  const stream = opened.request({ ":method": "POST", ":path": "/" });
  stream.write(Buffer.alloc(100_000));
  const [head] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status"?: number }];
  assert.equal(head[":status"], 413);
  let body = "";
  stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
  await once(stream, "close");
  assert.equal(body, "too much");
  assert.ok(stream.rstCode === constants.NGHTTP2_NO_ERROR || stream.rstCode === constants.NGHTTP2_CANCEL);
  assert.equal((await askHttp2(opened)).status, 413);
  await until(() => path.logs.length === 2);
  assert.equal(path.logs[0]?.["responseFlags"], "-");
});

// CVE-2023-27491, CVE-2023-27493: nothing invalid goes from one version to the other.

const badFields: readonly (readonly [string, Field])[] = [
  ["CR LF in a value", ["x", "a\r\nx-evil: 1"]],
  ["NUL in a value", ["x", "a\0b"]],
  ["LF in a name", ["x\ny", "1"]],
  ["a space at the start of a value", ["x", " a"]],
  ["a tab at the end of a value", ["x", "a\t"]],
  ["DEL in a value", ["x", "a\x7f"]],
  ["an upper-case name", ["X-Upper", "1"]],
  ["a space in a name", ["x y", "1"]],
  ["a colon in a name", ["x:y", "1"]],
  ["no name", ["", "1"]],
  ["connection", ["connection", "close"]],
  ["transfer-encoding", ["transfer-encoding", "chunked"]],
  ["upgrade", ["upgrade", "websocket"]],
  ["keep-alive", ["keep-alive", "5"]],
];

test("CVE-2023-27491 CVE-2023-27493 RFC 9113 10.3 no malformed request reaches a server, and each is in the log", async (context) => {
  const server = await cannedServer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  const path = await pathTo(context, server, "http1");
  const bad: (readonly Field[])[] = [
    ...badFields.map(([, field]) => [...get, field]),
    [...get, ["te", "gzip"]],
    [...get, ["host", "other"]],
    [...get.slice(0, 2), [":path", "/a b"], [":authority", "a"]],
    [...get.slice(0, 2), [":path", "/\r\n"], [":authority", "a"]],
    [...get.slice(0, 2), [":path", "http://b/"], [":authority", "a"]],
    [...get.slice(0, 3), [":authority", "u@a"]],
    [[":method", "G T"], ...get.slice(1)],
    [...get, [":path", "/twice"]],
    [get[0]!, ["x", "1"], ...get.slice(1)],
    get.slice(1),
  ];
  const client = rawHttp2Client(path.port());
  context.after(() => client.socket.destroy());
  bad.forEach((fields, i) => client.send(headers(2 * i + 1, fields)));
  client.send(headers(2 * bad.length + 1, get));
  await client.sees(`HEADERS ${2 * bad.length + 1} END`);
  assert.equal(client.count(/^RST_STREAM \d+ PROTOCOL_ERROR$/), bad.length);
  assert.equal(server.received().match(/HTTP\/1\.1\r\n/g)?.length, 1);
  await until(() => path.logs.length === bad.length + 1);
  const entries = path.logs.slice(0, bad.length);
  assert.ok(
    entries.every((log) => log["responseFlags"] === "DPE" && String(log["responseCodeDetails"]).startsWith("http2.")),
  );
  assert.match(String(entries[0]?.["cause"]), /sent a request that is malformed: a field value that is not allowed/);
});

test("CVE-2023-27491 no malformed response reaches a client of either version", async (context) => {
  let fields: readonly Field[] = [];
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type === "HEADERS") connection.send(headers(frame.streamId, fields));
  });
  const path = await pathTo(context, server, "http2");
  const opened = session(context, path);
  const bad: (readonly Field[])[] = [
    ...badFields.map(([, field]): readonly Field[] => [[":status", "200"], field]),
    [["x", "1"]],
    [[":status", "20"]],
    [[":status", "101"]],
    [
      [":status", "200"],
      [":path", "/"],
    ],
    [
      [":status", "200"],
      ["content-length", "5"],
    ],
    [
      [":status", "200"],
      ["content-length", "0"],
      ["content-length", "0"],
    ],
  ];
  for (const it of bad) {
    fields = it;
    assert.equal((await askHttp2(opened)).status, 502, JSON.stringify(it));
    assert.equal((await ask(path, "/")).status, 502, JSON.stringify(it));
  }
  assert.ok(path.logs.every((log) => log["responseFlags"] === "UPE"));
  assert.equal(server.connections.length, 1, "a malformed message costs its stream and not the connection");
});

test("content of another length than its head says is no message", async (context) => {
  let complete = 0;
  const server = await httpServer((req, res) => {
    req.resume();
    req.on("end", () => {
      complete++;
      res.end();
    });
    req.on("error", () => {});
  });
  const path = await pathTo(context, server, "http1");
  const client = rawHttp2Client(path.port());
  context.after(() => client.socket.destroy());
  client.send(headers(1, [...post, ["content-length", "5"]], 4), data(1, "four", 1));
  client.send(headers(3, [...post, ["content-length", "5"]], 4), data(3, "sixsix"));
  client.send(headers(5, [...post, ["content-length", "5"]]));
  client.send(headers(7, [...post, ["content-length", "-1"]], 4));
  client.send(headers(9, [...post, ["content-length", "4"]], 4), data(9, "four", 1));
  await client.sees(/^HEADERS 9/);
  for (const stream of [1, 3, 5, 7]) await client.sees(`RST_STREAM ${stream} PROTOCOL_ERROR`);
  assert.equal(complete, 1);
  await until(() => path.logs.length === 5);
  const details = path.logs.map((log) => `${log["responseFlags"]} ${log["responseCodeDetails"]}`);
  assert.equal(details.filter((it) => it === "DPE http2.violation.of.messaging.rule").length, 3);
  assert.equal(details.filter((it) => it === "DPE http2.invalid.header.field").length, 1);
});

// Tunnels.

test("CVE-2024-23326 CVE-2025-64763 what follows a CONNECT or Upgrade waits until the server agreed", async (context) => {
  let text = "";
  const server = await rawServer((socket) => {
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      if (text.endsWith("\r\n\r\n"))
        setTimeout(() => socket.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"), 20);
    });
  });
  const path = await pathTo(context, server, "http1", {
    manager: { upgradeTypes: ["websocket", "connect"] },
    routes: connectRoutes(),
  });
  const client = rawHttp2Client(path.port());
  context.after(() => client.socket.destroy());
  const smuggled = "GET /admin HTTP/1.1\r\nhost: a\r\n\r\n";
  const upgrade: Field[] = [[":method", "CONNECT"], [":protocol", "websocket"], ...get.slice(1)];
  client.send(headers(1, upgrade, 4), data(1, smuggled));
  await client.sees("HEADERS 1 END");
  client.send(
    headers(
      3,
      [
        [":method", "CONNECT"],
        [":authority", "a:80"],
      ],
      4,
    ),
    data(3, smuggled),
  );
  await client.sees("HEADERS 3 END");
  assert.deepEqual([client.field(1, ":status"), client.field(3, ":status")], ["403", "403"]);
  assert.match(text, /^CONNECT a:80 HTTP/m);
  assert.doesNotMatch(text, /admin/);
});

test("bytes and the end that came before the server's yes arrive after it, in order", async (context) => {
  let text = "";
  let isEnded = false;
  const server = await rawServer((socket) => {
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      if (text.endsWith("\r\n\r\n")) {
        setTimeout(
          () => socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
          10,
        );
      }
    });
    socket.on("end", () => {
      isEnded = true;
      socket.end("bye");
    });
  });
  const path = await pathTo(context, server, "http1");
  const client = rawHttp2Client(path.port());
  context.after(() => client.socket.destroy());
  client.send(headers(1, [[":method", "CONNECT"], [":protocol", "websocket"], ...get.slice(1)], 4));
  client.send(data(1, "hello"), data(1, " world", 1));
  await client.sees("DATA 1 3");
  assert.match(text, /\r\n\r\nhello world$/);
  assert.ok(isEnded);
  assert.equal(client.field(1, ":status"), "200");
  assert.equal(client.field(1, "upgrade"), undefined);
});

test("a CONNECT that announces content, and one that nobody allowed, are refused", async (context) => {
  const server = await cannedServer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  const path = await pathTo(context, server, "http1");
  const client = rawHttp2Client(path.port());
  context.after(() => client.socket.destroy());
  const upgrade: Field[] = [[":method", "CONNECT"], [":protocol", "websocket"], ...get.slice(1)];
  client.send(headers(1, [...upgrade, ["content-length", "5"]], 4));
  client.send(
    headers(
      3,
      [
        [":method", "CONNECT"],
        [":authority", "a:80"],
      ],
      4,
    ),
  );
  client.send(headers(5, [[":method", "CONNECT"], [":protocol", "connect-udp"], ...get.slice(1)], 4));
  for (const stream of [1, 3, 5]) await client.sees(new RegExp(`^HEADERS ${stream}`));
  assert.deepEqual(
    [1, 3, 5].map((stream) => client.field(stream, ":status")),
    ["403", "403", "403"],
  );
  assert.equal(server.received(), "");
});

test("CONNECT goes through over HTTP/2 on both sides, and each direction ends by itself", async (context) => {
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type === "HEADERS") connection.send(headers(frame.streamId, [[":status", "200"]], 4));
    if (frame.type === "DATA" && frame.payload.length > 0) connection.send(data(frame.streamId, frame.payload));
    if (frame.type === "DATA" && (frame.flags & 1) !== 0) connection.send(data(frame.streamId, "last", 1));
  });
  const path = await pathTo(context, server, "http2", {
    manager: { upgradeTypes: ["connect"] },
    routes: connectRoutes(),
  });
  const client = rawHttp2Client(path.port());
  context.after(() => client.socket.destroy());
  client.send(
    headers(
      1,
      [
        [":method", "CONNECT"],
        [":authority", "a:80"],
      ],
      4,
    ),
    data(1, "hello"),
  );
  await client.sees("DATA 1 5");
  client.send(data(1, "", 1));
  await until(() => client.words.includes("DATA 1 4") && client.words.some((it) => /^DATA 1 .*END$/.test(it)));
  const fields = server.connections[0]?.heads.get(1)?.[0];
  assert.deepEqual(
    [fields?.get(":method"), fields?.get(":authority"), fields?.has(":path")],
    ["CONNECT", "a:80", false],
  );
});

test("an Upgrade to a server that knows no extended CONNECT is answered with the reason", async (context) => {
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type === "HEADERS") connection.send(headers(frame.streamId, [[":status", "200"]]));
  });
  const path = await pathTo(context, server, "http2");
  const upgrade = {
    headers: { connection: "upgrade", upgrade: "websocket", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" },
  };
  // On a connection that is new, and on one whose SETTINGS are known.
  for (let i = 0; i < 2; i++) {
    assert.equal((await ask(path, "/", upgrade)).status, 502);
    assert.equal((await ask(path, "/")).status, 200);
  }
  assert.match(String(path.logs[0]?.["cause"]), /takes no Upgrade over HTTP\/2/);
  assert.equal(path.logs[0]?.["responseFlags"], "UPE");
  assert.equal(server.connections[0]?.words.filter((it) => it.startsWith("HEADERS")).length, 2);
});

// Ends.

test("the log tells a client that reset its stream from one that went away", async (context) => {
  const server = await rawHttp2Server(() => {});
  const path = await pathTo(context, server, "http2");
  const client = rawHttp2Client(path.port());
  client.send(headers(1, get), headers(3, get), headers(5, get));
  await until(() => server.connections[0]?.heads.size === 3);
  client.send(rst(1, 8), rst(3, 7));
  await until(() => path.logs.length === 2);
  client.socket.destroy();
  await until(() => path.logs.length === 3);
  assert.deepEqual(
    path.logs.map((log) => `${log["responseFlags"]} ${log["responseCodeDetails"]}`),
    ["DR http2.remote_reset", "DR http2.remote_refuse", "DC downstream_remote_disconnect"],
  );
  for (const stream of [1, 3, 5]) await server.connections[0]?.sees(`RST_STREAM ${stream} CANCEL`);
});

test("endless informational heads of an HTTP/2 server end the exchange", async (context) => {
  const server = await rawHttp2Server((connection, frame) => {
    if (frame.type !== "HEADERS") return;
    for (let i = 0; i < 100; i++) connection.send(headers(frame.streamId, [[":status", "102"]], 4));
  });
  const path = await pathTo(context, server, "http2");
  assert.equal((await ask(path, "/")).status, 502);
  assert.equal(path.logs[0]?.["responseFlags"], "UPE");
  await server.connections[0]?.sees("RST_STREAM 1 ENHANCE_YOUR_CALM");
});

test("a gRPC client gets local answers as its own statuses, as trailers alone", async (context) => {
  const statuses: readonly (readonly [number, number])[] = [
    [400, 13],
    [401, 16],
    [403, 7],
    [404, 12],
    [429, 14],
    [502, 14],
    [503, 14],
    [504, 14],
    [418, 2],
    [500, 2],
  ];
  const routes = statuses.map(([status]) =>
    routeEntry(`/${status}`, { type: "direct_response", status, body: "why not" }),
  );
  const server = await http2Server(() => {});
  const path = await pathTo(context, server, "http2", { routes });
  const opened = session(context, path);
  for (const [status, code] of statuses) {
    const stream = opened.request({ ":method": "POST", ":path": `/${status}`, "content-type": "application/grpc" });
    stream.end();
    const [head, flags] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status"?: number }, number];
    assert.deepEqual([head[":status"], head["grpc-status"], head["grpc-message"]], [200, String(code), "why not"]);
    assert.equal(flags & constants.NGHTTP2_FLAG_END_STREAM, constants.NGHTTP2_FLAG_END_STREAM);
  }
  const plain = await askHttp2(opened, { ":path": "/503" });
  assert.deepEqual([plain.status, plain.body], [503, "why not"]);
});

test("names that HTTP/1 writes in capitals are small letters for HTTP/2, both ways", async (context) => {
  const two = await rawHttp2Server((connection, frame) => {
    if (frame.type === "HEADERS")
      connection.send(
        headers(frame.streamId, [
          [":status", "200"],
          ["x-two", "2"],
        ]),
      );
  });
  const path = await pathTo(context, two, "http2");
  await ask(path, "/", {
    headers: { "X-One": "1", "Keep-Alive": "5", "Proxy-Connection": "x", Connection: "X-Hop", "X-Hop": "1" },
  });
  const names = [...(two.connections[0]?.heads.get(1)?.[0]?.keys() ?? [])];
  assert.deepEqual(
    names.filter((name) => name !== name.toLowerCase()),
    [],
  );
  assert.ok(names.includes("x-one"));
  for (const name of ["keep-alive", "proxy-connection", "connection", "x-hop", "host"])
    assert.ok(!names.includes(name), name);
  const one = await httpServer((_req: unknown, res: ServerResponse) => {
    res.writeHead(200, { "X-Mixed-Case": "1", "Keep-Alive": "timeout=5" });
    res.end();
  });
  const back = await pathTo(context, one, "http1");
  const client = rawHttp2Client(back.port());
  context.after(() => client.socket.destroy());
  client.send(headers(1, get));
  await client.sees(/^HEADERS 1/);
  assert.equal(client.field(1, "x-mixed-case"), "1");
  assert.deepEqual(
    [...(client.heads.get(1)?.[0]?.keys() ?? [])].filter((name) => /[A-Z]|keep-alive|connection/.test(name)),
    [],
  );
});
