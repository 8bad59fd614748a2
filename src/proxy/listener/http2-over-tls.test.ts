// What RFC 9113 asks of HTTP/2 over TLS, and of a connection as a whole: sections 3.2, 3.3, 5.4.1, 8.6 and 9.2.
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { after, before, type TestContext, test } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { data, get, headers } from "#wire/http2/testing/raw-frames.ts";
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
import { askHttp2, rawHttp2Client } from "./testing/http2-peers.ts";
import { RawClient } from "./testing/raw-peers.ts";
import { until } from "./testing/requests.ts";
import { identify, serverTls } from "./testing/sidecar-pair.ts";

let authority: TestAuthority;
before(() => {
  authority = testAuthority();
});
after(() => authority.stop());

async function served(context: TestContext, isTls: boolean): Promise<TestDataPath> {
  const server = await httpServer((_req, res) => res.end("ok"));
  context.after(() => server.stop());
  const path = dataPath();
  context.after(() => path.stop());
  identify(path, authority, "server");
  path.clusters.update(clusterOn("app", [server.port]));
  const filters = [httpFilter(managerConfig([routeEntry("/", forward("app"))]))];
  const ciphers = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"];
  const tls = { ...serverTls, ciphers, validationName: null, requireClientCertificate: false, sanMatchers: [] };
  await path.listeners.update(listenerConfig([chain(filters, isTls ? { tls } : {})]));
  return path;
}

/** The connection, or the code of the error that ended its handshake. */
async function handshake(
  context: TestContext,
  path: TestDataPath,
  options: ConnectionOptions,
): Promise<TLSSocket | string> {
  const { promise, resolve } = Promise.withResolvers<TLSSocket | string>();
  const all = { port: path.port(), host: "127.0.0.1", rejectUnauthorized: false, ...options };
  const socket = connectTls(all, () => resolve(socket));
  socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  context.after(() => socket.destroy());
  return promise;
}

test("RFC 9113 3.2 h2 is agreed on by ALPN, and h2c is never", async (context) => {
  const path = await served(context, true);
  const agreed = async (...offers: string[]): Promise<unknown> => {
    const socket = await handshake(context, path, { ALPNProtocols: offers });
    assert.ok(typeof socket === "object", String(socket));
    return socket.alpnProtocol;
  };
  assert.equal(await agreed("h2", "http/1.1"), "h2");
  assert.equal(await agreed("h2c", "http/1.1"), "http/1.1");
  assert.equal(await agreed("h2c"), false);
});

test("RFC 9113 3.3 a client that knows before speaks HTTP/2 at once in cleartext", async (context) => {
  const client = rawHttp2Client((await served(context, false)).port());
  context.after(() => client.socket.destroy());
  client.send(headers(1, get));
  await client.sees(/^DATA 1 \d+ END$/);
});

test("RFC 9113 5.4.1 after an error of the connection GOAWAY is the last thing that is sent, and the connection is closed", async (context) => {
  const path = await served(context, false);
  const client = rawHttp2Client(path.port());
  context.after(() => client.socket.destroy());
  client.send(headers(1, get), data(0, "x"), headers(3, get));
  await client.isEnded();
  assert.match(client.words.at(-1) ?? "", /^GOAWAY 1 PROTOCOL_ERROR$/);
  await until(() => path.listeners.connectionCount === 0);
});

test("RFC 9113 8.6 an Upgrade to h2c is not taken", async (context) => {
  const client = new RawClient((await served(context, false)).port());
  context.after(() => client.socket.destroy());
  client.send(
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
  );
  await client.sees(/^HTTP\/1\.1 200 OK\r\n[^]*ok$/);
});

test("RFC 9113 9.2 HTTP/2 is spoken over TLS 1.2 and 1.3, and over nothing older", async (context) => {
  const path = await served(context, true);
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const options = { rejectUnauthorized: false, minVersion: version, maxVersion: version };
    const session = connectHttp2(`https://127.0.0.1:${path.port()}`, options);
    context.after(() => session.destroy());
    assert.equal((await askHttp2(session)).body, "ok");
  }
  const old = {
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1",
    maxVersion: "TLSv1.1",
    ciphers: "DEFAULT@SECLEVEL=0",
  } as const;
  assert.equal(await handshake(context, path, old), "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
});

test("RFC 9113 9.2.2 the cipher that everybody has to know is spoken in TLS 1.2", async (context) => {
  const path = await served(context, true);
  const known = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"];
  const options = { ALPNProtocols: ["h2"], maxVersion: "TLSv1.2", ciphers: known.join(":") } as const;
  const socket = await handshake(context, path, options);
  assert.ok(typeof socket === "object", String(socket));
  assert.ok(known.includes(socket.getCipher().name));
  assert.equal(socket.alpnProtocol, "h2");
});
