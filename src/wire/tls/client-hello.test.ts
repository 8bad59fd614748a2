// Hellos of real clients (openssl and node:tls), cut anywhere, and of attackers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { connect } from "node:tls";
import fc from "fast-check";
import {
  type ClientHello,
  HELLO_DONE,
  HELLO_MALFORMED,
  HELLO_NEED_MORE,
  HELLO_NOT_TLS,
  HELLO_TOO_LARGE,
  parseClientHello,
} from "./client-hello.ts";
import { hello, serverName } from "./testing/hellos.ts";

/** What was read of a whole hello. */
function names(bytes: Buffer): Pick<ClientHello, "serverName" | "alpn"> {
  const { status, serverName, alpn } = parseClientHello(bytes);
  assert.equal(status, HELLO_DONE);
  return { serverName, alpn };
}

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
  assert.deepEqual(names(bytes), {
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
    assert.deepEqual(names(bytes), { serverName: "a.example", alpn: ["h2"] });
    const nameless = await capture((port) => openssl("-connect", `127.0.0.1:${port}`, version, "-noservername"));
    assert.deepEqual(names(nameless), { serverName: "", alpn: [] });
  }
});

test("a hello in many records is put together", async () => {
  const bytes = await nodeHello();
  const body = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < body.length; at += 20) {
    const part = body.subarray(at, at + 20);
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
  assert.equal(parseClientHello(Buffer.from([22, 3, 1, 0, 4, 1, 255, 255, 255])).status, HELLO_TOO_LARGE);
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

test("GREASE values (RFC 8701) among extensions, ciphers and protocols are passed over", () => {
  const alpn = Buffer.from("\x00\x06\x02\x8a\x8a\x02h2", "latin1");
  const bytes = hello([[0x0a0a, Buffer.alloc(0)], serverName("a.example"), [0xfafa, Buffer.from([0])], [16, alpn]]);
  assert.deepEqual(names(bytes), { serverName: "a.example", alpn: ["\x8a\x8a", "h2"] });
});

test("of an encrypted hello the outer name is read", () => {
  const inner = Buffer.concat([Buffer.from([0]), Buffer.from("secret.example"), Buffer.alloc(200)]);
  assert.equal(names(hello([serverName("public.example"), [0xfe0d, inner]])).serverName, "public.example");
});

test("CVE-2026-48928: a name in capitals is the same name", () => {
  assert.equal(names(hello([serverName("Tenant-A.Example")])).serverName, "tenant-a.example");
});

test("a hello with two names, in one list or in two, is malformed: nobody can say which one counts", () => {
  const twice = hello([serverName("a.example"), serverName("b.example")]);
  assert.equal(parseClientHello(twice).status, HELLO_MALFORMED);
  const [, one] = serverName("a.example");
  const [, other] = serverName("b.example");
  const both = Buffer.concat([one, other.subarray(2)]);
  both.writeUInt16BE(both.length - 2, 0);
  assert.equal(parseClientHello(hello([[0, both]])).status, HELLO_MALFORMED);
  const nul = hello([serverName("a.example\0.evil")]);
  assert.equal(parseClientHello(nul).status, HELLO_MALFORMED);
});

test("a hello above 16 KiB, or in more than 128 records, is too large, and that is told early", () => {
  const large = hello([[21, Buffer.alloc(16 * 1024)]]);
  assert.equal(parseClientHello(large.subarray(0, 9)).status, HELLO_TOO_LARGE);
  const body = hello([serverName("a.example"), [21, Buffer.alloc(100)]]).subarray(5);
  const records = [...body].map((byte) => Buffer.from([22, 3, 1, 0, 1, byte]));
  assert.ok(records.length > 128);
  assert.equal(parseClientHello(Buffer.concat(records)).status, HELLO_TOO_LARGE);
  assert.equal(parseClientHello(Buffer.concat(records.slice(0, 128))).status, HELLO_NEED_MORE);
});

test("what asks for more says when it is worth looking again", async () => {
  const bytes = await nodeHello();
  assert.equal(parseClientHello(bytes.subarray(0, 3)).neededBytes, 4);
  assert.equal(parseClientHello(bytes.subarray(0, 5)).neededBytes, bytes.length);
  assert.equal(parseClientHello(bytes.subarray(0, 100)).neededBytes, bytes.length);
});
