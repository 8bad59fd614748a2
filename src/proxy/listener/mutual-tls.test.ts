// Mutual TLS in both directions: two data paths against each other, and each against openssl and node:tls.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { createServer } from "node:https";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import type { Logger } from "#base/log/log.ts";
import { silentLogger } from "#base/log/log.ts";
import { CLIENT_PREFACE } from "#wire/http2/frame.ts";
import { get, headers, settings, settingsAck } from "#wire/http2/testing/raw-frames.ts";
import type { UpstreamTlsConfig } from "../config/tls.ts";
import { accessLogEntry } from "../http/access-log-entry.ts";
import type { Stream } from "../http/stream.ts";
import { compileJsonFormat, compileTextFormat } from "../observe/access-log/format.ts";
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
  tcpFilter,
} from "./testing/data-path.ts";
import { RawHttp2 } from "./testing/http2-peers.ts";
import { rawServer } from "./testing/raw-peers.ts";
import { ask, sendRaw, until } from "./testing/requests.ts";
import {
  clientTls,
  everyPort,
  identify,
  idOf,
  serverTls,
  startClientSidecar,
  startServerSidecar,
} from "./testing/sidecar-pair.ts";

const run = promisify(execFile);
let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

function startServer(mode: "strict" | "permissive", port: number, log: Logger = silentLogger): Promise<TestDataPath> {
  return startServerSidecar(authority, { mode, port, log });
}

function startClient(port: number, tls: Partial<UpstreamTlsConfig> = {}): Promise<TestDataPath> {
  return startClientSidecar(authority, { port, tls });
}

test("HTTP/1 requests share one connection between two sidecars, and applications notice nothing of it", async () => {
  const app = await rawServer((socket) => {
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
      if (text.includes("upgrade: echo")) {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        text = "";
        socket.on("data", (bytes) => socket.write(bytes));
        socket.on("end", () => socket.end());
        return;
      }
      if (!text.endsWith("\r\n\r\n")) return;
      const lines = text.split("\r\n").filter((line) => /^(host|x-case|user-agent|get|connection)/i.test(line));
      text = "";
      const body = lines.join("|");
      socket.write(`HTTP/1.1 299 Very Fine\r\nX-Answer-CASE: Yes\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
  });
  const server = await startServer("strict", app.port);
  const client = await startClient(server.port());
  const request =
    "GET /p HTTP/1.1\r\nHOST: a.test\r\nX-CaSe: MiXed\r\nUser-AGENT: me\r\nConnection: close, x-hop\r\nx-hop: 1\r\n\r\n";
  const answers = await Promise.all(Array.from({ length: 20 }, () => sendRaw(client.port(), request)));
  for (const answer of answers) {
    assert.match(answer, /^HTTP\/1\.1 299 Very Fine\r\n/);
    assert.match(answer, /\r\nX-Answer-CASE: Yes\r\n/);
    assert.match(answer, /\r\nconnection: close\r\n/);
    assert.match(answer, /\r\n\r\nGET \/p HTTP\/1\.1\|HOST: a\.test\|X-CaSe: MiXed\|User-AGENT: me$/);
  }
  assert.equal(client.clusters.get("server")?.endpoints[0]?.connectionsTotal, 1, "one connection for all");
  const socket = connectTcp(client.port(), "127.0.0.1");
  socket.write("GET /u HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nx: upgrade: echo\r\n\r\n");
  const [head] = (await once(socket, "data")) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1\.1 101 /);
  socket.write("bytes");
  const [echo] = (await once(socket, "data")) as [Buffer];
  assert.equal(echo.toString(), "bytes");
  socket.end();
  await once(socket, "close");
  for (const part of [client, server]) part.stop();
  app.stop();
});

test("a request that the other sidecar can't deliver goes to another endpoint, whatever its method, and only then fails", async (t) => {
  let requests = 0;
  const app = await rawServer((socket) => {
    socket.on("data", () => {
      requests++;
      socket.write("HTTP/1.1 200 OK\r\nX-Outrigger-Undelivered: 1\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  const ending = await rawServer(() => {});
  const [alive, closed] = await Promise.all([startServer("strict", app.port), startServer("strict", ending.port)]);
  const pair = { port: closed.port(), otherPorts: [alive.port()] };
  const client = await startClientSidecar(authority, pair);
  t.after(() => {
    for (const part of [client, alive, closed, app]) part.stop();
  });
  ending.stop();
  const post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
  const answers = await Promise.all(Array.from({ length: 20 }, () => sendRaw(client.port(), post)));
  for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.equal(requests, 20);
  alive.stop();
  app.stop();
  const last = await sendRaw(client.port(), post);
  assert.match(last, /^HTTP\/1\.1 503 /);
  assert.doesNotMatch(last, /undelivered/i);
});

test("a request that a server dropped as it ended goes to another endpoint if it may be sent twice", async (t) => {
  const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  const other = await rawServer((socket) => socket.on("data", () => socket.write(answer)));
  let dropped = 0;
  const ending = await rawServer((socket) => {
    let heard = 0;
    socket.on("data", () => {
      if (heard++ === 0) {
        socket.write(answer);
      } else {
        dropped++;
        ending.stop();
      }
    });
  });
  const [alive, last] = await Promise.all([startServer("strict", other.port), startServer("strict", ending.port)]);
  const client = await startClientSidecar(authority, { port: last.port(), otherPorts: [alive.port()] });
  t.after(() => {
    for (const part of [client, alive, last, other, ending]) part.stop();
  });
  while (dropped === 0) {
    const got = await sendRaw(client.port(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert.match(got, /^HTTP\/1\.1 200 OK\r\n/);
  }
  assert.equal(dropped, 1);
});

test("a client that offers istio-h2 and is no Outrigger proxy gets plain HTTP/2, names in small letters", async () => {
  const app = await rawServer((socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 299 Very Fine\r\nX-Answer-CASE: Yes\r\nContent-Length: 0\r\n\r\n"));
  });
  const server = await startServer("strict", app.port);
  const mine = authority.issue(idOf("other"));
  const session = connectHttp2("https://server", {
    createConnection: () =>
      connectTls({
        port: server.port(),
        host: "127.0.0.1",
        ALPNProtocols: ["istio-h2"],
        cert: mine.certificateChain,
        key: mine.privateKey,
        ca: authority.roots,
        checkServerIdentity: () => undefined,
      }),
  });
  const stream = session.request({ ":path": "/", "x-outrigger-reason": "Mine" });
  const [, , raw] = (await once(stream, "response")) as [unknown, unknown, string[]];
  const names = raw.filter((_, i) => i % 2 === 0);
  assert.ok(names.includes("x-answer-case"));
  assert.ok(!names.includes("x-outrigger-reason"));
  session.destroy();
  const shouting = authority.issue(idOf("other"));
  const socket = connectTls({
    port: server.port(),
    host: "127.0.0.1",
    ALPNProtocols: ["istio-h2"],
    cert: shouting.certificateChain,
    key: shouting.privateKey,
    ca: authority.roots,
    checkServerIdentity: () => undefined,
  });
  const peer = new RawHttp2(socket, false);
  peer.send(CLIENT_PREFACE, settings(), settingsAck, headers(1, [...get, ["X-Upper", "1"]]));
  await peer.sees("RST_STREAM 1 PROTOCOL_ERROR");
  socket.destroy();
  server.stop();
  app.stop();
});

test("HTTP/1 requests that travelled multiplexed reach an application whose port follows its client as HTTP/1", async (t) => {
  const app = await rawServer((socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  });
  t.after(() => app.stop());
  const server = await startServerSidecar(authority, {
    mode: "strict",
    port: app.port,
    cluster: { upstreamProtocol: "downstream" },
  });
  t.after(() => server.stop());
  const client = await startClient(server.port());
  t.after(() => client.stop());
  const answer = await ask(client, "/");
  assert.deepEqual([answer.status, answer.body], [200, "ok"]);
  await until(() => server.requests.length === 1);
  assert.equal(server.requests[0]?.connection.negotiatedAlpn, "istio-h2");
});

test("x-outrigger-reason of an application is a header that ends at its sidecar, and never a reason", async () => {
  const app = await rawServer((socket) => {
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nx-outrigger-reason: Forged\r\nContent-Length: 0\r\n\r\n"));
  });
  const server = await startServer("strict", app.port);
  const client = await startClient(server.port());
  const answer = await sendRaw(client.port(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.doesNotMatch(answer, /Forged/);
  for (const part of [client, server]) part.stop();
  app.stop();
});

test("a pair of sidecars speaks mutual TLS and the application sees who called", async () => {
  const app = await httpServer((req, res) => res.end(JSON.stringify(req.headers)));
  const server = await startServer("permissive", app.port);
  const client = await startClient(server.port());
  const answer = await ask(client, "/x", { headers: { "x-forwarded-client-cert": "By=forged" } });
  assert.equal(answer.status, 200);
  const seen = JSON.parse(answer.body) as Record<string, string>;
  assert.match(
    seen["x-forwarded-client-cert"] ?? "",
    /^By=spiffe:\/\/cluster\.local\/ns\/default\/sa\/server;Hash=[0-9a-f]{64};Subject="";URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client$/,
  );
  await until(() => server.requests.length === 1);
  assert.equal(server.requests[0]?.connection.tlsVersion, "TLSv1.3");
  assert.equal(server.requests[0]?.connection.negotiatedAlpn, "istio-h2");
  assert.equal(server.logs[0]?.["requestedServerName"], clientTls.sni);
  for (const part of [client, server]) part.stop();
  app.stop();
});

test("the forged certificate header of a plaintext client is dropped", async () => {
  const app = await httpServer((req, res) => res.end(JSON.stringify(req.headers)));
  const server = await startServer("permissive", app.port);
  const answer = await ask(server, "/", { headers: { "x-forwarded-client-cert": "By=forged" } });
  assert.equal(answer.status, 200);
  assert.equal((JSON.parse(answer.body) as Record<string, string>)["x-forwarded-client-cert"], undefined);
  server.stop();
  app.stop();
});

test("STRICT refuses plaintext and says so in words", async () => {
  const app = await httpServer((_req, res) => res.end());
  const lines: string[] = [];
  const server = await startServer("strict", app.port, {
    ...silentLogger,
    warn: (message) => void lines.push(message),
  });
  assert.equal(await sendRaw(server.port(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "");
  assert.match(
    lines[0] ?? "",
    /refused 127\.0\.0\.1:\d+ → 127\.0\.0\.1:\d+: plaintext to port \d+, where mutual TLS is required/,
  );
  server.stop();
  app.stop();
});

test("openssl s_client with a mesh certificate is served over TLS 1.3, without one it is not", async () => {
  const app = await httpServer((_req, res) => res.end("from app"));
  const lines: string[] = [];
  const server = await startServer("strict", app.port, {
    ...silentLogger,
    warn: (message) => void lines.push(message),
  });
  const files = authority.write("client", authority.issue(idOf("curl")));
  const root = `${authority.directory}/root.pem`;
  const talk = async (...args: string[]): Promise<string> => {
    const child = spawn("openssl", [
      "s_client",
      "-connect",
      `127.0.0.1:${server.port()}`,
      "-CAfile",
      root,
      "-ign_eof",
      ...args,
    ]);
    let out = "";
    child.stdout.on("data", (data: Buffer) => (out += data.toString()));
    child.stdin.on("error", () => {});
    child.stdin.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    await once(child, "close");
    return out;
  };
  const good = await talk("-cert", files.cert, "-key", files.key, "-alpn", "istio-http/1.1,istio,http/1.1");
  assert.match(good, /TLSv1\.3/);
  assert.match(good, /Verify return code: 0 \(ok\)/);
  assert.match(good, /HTTP\/1\.1 200 OK[\s\S]*from app/);
  const anonymous = await talk();
  assert.doesNotMatch(anonymous, /200 OK/);
  assert.match(lines.join("\n"), /the peer presented no certificate/);
  server.stop();
  app.stop();
});

test("a client certificate of another authority, or of another trust domain, is refused", async () => {
  const app = await httpServer((_req, res) => res.end());
  const lines: string[] = [];
  const server = await startServer("strict", app.port, {
    ...silentLogger,
    warn: (message) => void lines.push(message),
  });
  const stranger = testAuthority();
  const client = await startClient(server.port());
  identify(client, authority, "client", stranger);
  assert.equal((await ask(client, "/")).status, 503);
  assert.match(lines[0] ?? "", /not trusted/);
  client.secrets.setCertificate("default", authority.issue("spiffe://other.domain/ns/default/sa/client"));
  assert.equal((await ask(client, "/")).status, 503);
  assert.match(lines[1] ?? "", /the peer is spiffe:\/\/other\.domain\/ns\/default\/sa\/client, wanted is prefix/);
  stranger.stop();
  for (const part of [client, server]) part.stop();
  app.stop();
});

test("a server with another identity than the endpoint's is refused before a byte of the request is sent", async () => {
  let requests = 0;
  const certificate = authority.issue(idOf("impostor"));
  const impostor = createServer({ cert: certificate.certificateChain, key: certificate.privateKey }, (_req, res) => {
    requests++;
    res.end();
  }).listen(0, "127.0.0.1");
  await once(impostor, "listening");
  const client = await startClient((impostor.address() as AddressInfo).port);
  const answer = await ask(client, "/");
  assert.equal(answer.status, 503);
  assert.equal(requests, 0);
  const entry = client.logs[0];
  assert.equal(entry?.["responseFlags"], "UF");
  assert.match(String(entry?.["upstreamTransportFailureReason"]), /CERTIFICATE_VERIFY_FAILED/);
  assert.match(String(entry?.["cause"]), /sa\/impostor, wanted is exact/);
  client.stop();
  impostor.close();
});

test("access logs tell version and cipher of both sides, and the peer's certificate", async (t) => {
  const app = await httpServer((_req, res) => res.end("ok"));
  const server = await startServer("strict", app.port);
  const format = { version: "%UPSTREAM_TLS_VERSION%", cipher: "%UPSTREAM_TLS_CIPHER%" };
  const render = compileJsonFormat(format, { omitEmptyValues: false }, assert.fail);
  const manager = { accessLog: [{ path: "client", render, accepts: null }] };
  const client = await startClientSidecar(authority, { port: server.port(), manager });
  t.after(() => [app, client, server].forEach((it) => it.stop()));
  await ask(client, "/");
  await until(() => client.logs.length === 1 && server.requests.length === 1);
  const tls = client.logs[0] as { version: string; cipher: string };
  assert.equal(tls.version, "TLSv1.3");
  assert.match(tls.cipher, /^TLS_AES_\d+_GCM_SHA\d+$/);
  const text = (wanted: string): string =>
    compileTextFormat(wanted, { omitEmptyValues: false }, assert.fail)(accessLogEntry(server.requests[0] as Stream));
  assert.equal(text("%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER%"), `${tls.version} ${tls.cipher}`);
  assert.match(
    text("%DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_PEER_FINGERPRINT_1% %DOWNSTREAM_PEER_ISSUER%"),
    /^[0-9a-f]+ [0-9a-f]{40} [A-Z]+=.+$/,
  );
  assert.match(text("%DOWNSTREAM_PEER_CERT_V_START(%Y)% %DOWNSTREAM_PEER_CERT_V_END(%Y)%"), /^20\d\d 20\d\d$/);
});

test("rotated certificates serve new connections, old connections go on, sessions are resumed only within a version", async () => {
  const app = await httpServer((_req, res) => res.end("ok"));
  const server = await startServer("strict", app.port);
  const client = await startClient(server.port());
  const seen = new Set<string>();
  for (let round = 0; round < 5; round++) {
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(client, "/")));
    for (const answer of answers) assert.equal(answer.status, 200);
    for (const request of server.requests) seen.add(request.connection.peer?.hash ?? "");
    identify(client, authority, "client");
    identify(server, authority, "server");
    if (round === 2) client.clusters.update(clusterOn("server", [server.port()], { idleTimeoutMs: 1 }));
    if (round === 2) {
      const transports = [{ name: "tlsMode-istio", match: {}, tls: clientTls, proxyProtocol: null }];
      client.clusters.update(clusterOn("server", [server.port()], { transports }));
    }
  }
  assert.ok(seen.size >= 2, `${seen.size} client certificates were seen`);
  for (const part of [client, server]) part.stop();
  app.stop();
});

test("a missing secret refuses the connection instead of falling back to plaintext", async () => {
  const app = await httpServer((_req, res) => res.end("ok"));
  const path = dataPath();
  path.clusters.update(
    clusterOn("server", [app.port], { transports: [{ name: "tls", match: {}, tls: clientTls, proxyProtocol: null }] }),
  );
  await path.listeners.update(
    listenerConfig([chain([httpFilter(managerConfig([routeEntry("/", forward("server"))]))])]),
  );
  const answer = await ask(path, "/");
  assert.equal(answer.status, 503);
  assert.match(String(path.logs[0]?.["cause"]), /secret "default" is not there yet/);
  path.stop();
  app.stop();
});

test("TCP over mutual TLS carries both directions", async () => {
  const app = await httpServer((_req, res) => res.end("over tcp"));
  const server = dataPath();
  identify(server, authority, "server");
  server.clusters.update(clusterOn("app", [app.port]));
  const match = { ...chain([]).match, transportProtocol: "tls" as const };
  await server.listeners.update(
    listenerConfig([chain([tcpFilter("app")], { tls: serverTls, match })], { tlsInspector: everyPort }),
  );
  const client = dataPath();
  identify(client, authority, "client");
  client.clusters.update(
    clusterOn("server", [server.port()], {
      transports: [{ name: "tls", match: {}, tls: clientTls, proxyProtocol: null }],
    }),
  );
  await client.listeners.update(listenerConfig([chain([tcpFilter("server")])]));
  const { stdout } = await run("curl", ["-s", `http://127.0.0.1:${client.port()}/`]);
  assert.equal(stdout, "over tcp");
  for (const part of [client, server]) part.stop();
  app.stop();
});

test("a reset behind mutual TLS resets the client's connection and breaks nothing", async () => {
  const app = createTcpServer((socket) => socket.on("error", () => {}).once("data", () => socket.resetAndDestroy()));
  app.listen(0, "127.0.0.1");
  await once(app, "listening");
  const server = dataPath();
  identify(server, authority, "server");
  server.clusters.update(clusterOn("app", [(app.address() as AddressInfo).port]));
  const match = { ...chain([]).match, transportProtocol: "tls" as const };
  await server.listeners.update(
    listenerConfig([chain([tcpFilter("app")], { tls: serverTls, match })], { tlsInspector: everyPort }),
  );
  const client = dataPath();
  identify(client, authority, "client");
  client.clusters.update(
    clusterOn("server", [server.port()], {
      transports: [{ name: "tls", match: {}, tls: clientTls, proxyProtocol: null }],
    }),
  );
  await client.listeners.update(listenerConfig([chain([tcpFilter("server")])]));
  const socket = connectTcp(client.port(), "127.0.0.1");
  socket.write("any");
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  // `stop` throws what reached the border of a connection.
  for (const part of [client, server]) part.stop();
  app.close();
});

test("CVE-2020-8251 a client that ends in the middle of its handshake is let go at once", async () => {
  const server = await startServer("strict", 1);
  // The hello of a client that will never say another word.
  const recorder = await rawServer(() => {});
  const hello = new Promise<Buffer>((resolve) => recorder.server.once("connection", (it) => it.once("data", resolve)));
  const lost = connectTls({ port: recorder.port, host: "127.0.0.1", servername: "a" }).on("error", () => {});
  const socket = connectTcp({ port: server.port(), host: "127.0.0.1" });
  socket.on("error", () => {});
  socket.resume();
  socket.end(await hello);
  await until(() => server.listeners.describe()[0]?.connectionsTotal === 1);
  await until(() => server.listeners.connectionCount === 0);
  lost.destroy();
  recorder.stop();
  server.stop();
});

test("a response that breaks off is no complete response over TLS either", async () => {
  const app = await rawServer((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\nhalf of it");
      setImmediate(() => socket.resetAndDestroy());
    });
  });
  const server = await startServer("strict", app.port);
  const client = await startClient(server.port());
  await assert.rejects(ask(client, "/"));
  for (const part of [client, server]) part.stop();
  app.stop();
});
