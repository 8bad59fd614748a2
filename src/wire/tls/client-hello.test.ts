// Hellos of real clients (openssl and node:tls), cut anywhere, and of attackers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { connect } from "node:tls";
import fc from "fast-check";
import { HELLO_DONE, HELLO_MALFORMED, HELLO_NEED_MORE, HELLO_NOT_TLS, parseClientHello } from "./client-hello.ts";

/** The first bytes of a client; what `talk` returns ends the client. */
async function capture(talk: (port: number) => () => void): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = talk((server.address() as AddressInfo).port);
  const [socket] = (await once(server, "connection")) as [Socket];
  socket.on("error", () => {});
  const [data] = (await once(socket, "data")) as [Buffer];
  stop();
  socket.destroy();
  server.close();
  return data;
}

function openssl(...args: string[]): () => void {
  const child = spawn("openssl", ["s_client", ...args], { stdio: ["pipe", "ignore", "ignore"] });
  child.stdin.on("error", () => {});
  return () => void child.kill();
}

function nodeHello(): Promise<Buffer> {
  return capture((port) => {
    const servername = "outbound_.9080_._.Reviews.default.svc.cluster.local";
    const options = { port, servername, ALPNProtocols: ["istio-http/1.1", "istio"], rejectUnauthorized: false };
    const socket = connect(options).on("error", () => {});
    return () => void socket.destroy();
  });
}

test("node's hello gives name and protocols, and every prefix of it asks for more", async () => {
  const bytes = await nodeHello();
  assert.deepEqual(parseClientHello(bytes), {
    status: HELLO_DONE,
    serverName: "outbound_.9080_._.reviews.default.svc.cluster.local",
    alpn: ["istio-http/1.1", "istio"],
  });
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(parseClientHello(bytes.subarray(0, length)).status, HELLO_NEED_MORE, `${length}`);
  }
});

test("openssl's hello is read, with and without a name, of every version", async () => {
  for (const version of ["-tls1_2", "-tls1_3"]) {
    const bytes = await capture((port) =>
      openssl("-connect", `127.0.0.1:${port}`, version, "-servername", "A.example", "-alpn", "h2"),
    );
    assert.deepEqual(parseClientHello(bytes), { status: HELLO_DONE, serverName: "a.example", alpn: ["h2"] });
    const nameless = await capture((port) => openssl("-connect", `127.0.0.1:${port}`, version, "-noservername"));
    assert.deepEqual(parseClientHello(nameless), { status: HELLO_DONE, serverName: "", alpn: [] });
  }
});

test("a hello in many records is put together", async () => {
  const bytes = await nodeHello();
  const body = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < body.length; at += 10) {
    const part = body.subarray(at, at + 10);
    records.push(Buffer.from([22, 3, 1, 0, part.length]), part);
  }
  const split = Buffer.concat(records);
  assert.equal(parseClientHello(split).status, HELLO_DONE);
  assert.equal(parseClientHello(split.subarray(0, split.length - 1)).status, HELLO_NEED_MORE);
});

test("what is not TLS is told at the first byte that shows it", () => {
  assert.equal(parseClientHello(Buffer.from("GET / HTTP/1.1")).status, HELLO_NOT_TLS);
  assert.equal(parseClientHello(Buffer.from([22, 1])).status, HELLO_NOT_TLS);
  assert.equal(parseClientHello(Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])).status, HELLO_MALFORMED);
  assert.equal(parseClientHello(Buffer.from([22, 3, 1, 0, 4, 1, 255, 255, 255])).status, HELLO_MALFORMED);
});

test("no change of any byte makes it throw, or give a name with control bytes", async () => {
  const bytes = await nodeHello();
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 6 }),
      fc.nat(bytes.length),
      (edits, length) => {
        const copy = Buffer.from(bytes.subarray(0, length));
        for (const [at, value] of edits) if (at < copy.length) copy[at] = value;
        const hello = parseClientHello(copy);
        assert.match(hello.serverName, /^[\x21-\x7e]*$/);
      },
    ),
  );
});
