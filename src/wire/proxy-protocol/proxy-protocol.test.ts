// Headers by hand from the specification, round trips of any header, any damage to one, and HAProxy in both roles.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, isIPv6, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddress } from "#base/net/address-bytes.ts";
import { crc32c } from "./crc32c.ts";
import { encodeProxyV1, encodeProxyV2, proxyAddresses } from "./encode.ts";
import { PROXY_ABSENT, PROXY_DONE, PROXY_MALFORMED, PROXY_NEED_MORE, parseProxyHeader } from "./parse.ts";
import type { ProxyAddresses } from "./proxy-header.ts";

const line = (text: string): Buffer => Buffer.from(text, "latin1");
const ipv4: ProxyAddresses = {
  family: "ipv4",
  isDatagram: false,
  source: "203.0.113.7",
  sourcePort: 40000,
  destination: "10.0.0.1",
  destinationPort: 443,
};

test("a line of version 1 gives the addresses, and what follows it is the connection's", () => {
  const parsed = parseProxyHeader(line("PROXY TCP4 203.0.113.7 10.0.0.1 40000 443\r\nGET /"));
  assert.deepEqual(parsed.header, { version: 1, addresses: ipv4, tlvs: [] });
  assert.equal(parsed.length, 43);
  const six = parseProxyHeader(line("PROXY TCP6 2001:db8::1 ::1 1 2\r\n"));
  assert.equal(six.header?.addresses?.source, "2001:db8::1");
  const unknown = parseProxyHeader(line("PROXY UNKNOWN ffff:f...f:ffff ffff 65535 65535\r\n"));
  assert.deepEqual(unknown.header, { version: 1, addresses: null, tlvs: [] });
});

test("every prefix of a header asks for more", () => {
  for (const header of [encodeProxyV1(ipv4), encodeProxyV2(ipv4, [{ type: 2, value: line("a.example") }], true)]) {
    for (let length = 0; length < header.length; length++) {
      assert.equal(parseProxyHeader(header.subarray(0, length)).status, PROXY_NEED_MORE, `${length}`);
    }
    assert.equal(parseProxyHeader(header).status, PROXY_DONE);
  }
});

test("what does not begin like a header has none", () => {
  for (const text of ["GET / HTTP/1.1\r\n", "PROXYTCP4 ", "\x16\x03\x01", "\r\n\r\n\0\r\nQUIT\r"]) {
    assert.equal(parseProxyHeader(line(text)).status, PROXY_ABSENT, JSON.stringify(text));
  }
  assert.equal(parseProxyHeader(line("PROX")).status, PROXY_NEED_MORE);
});

const wrongLines: readonly [string, RegExp][] = [
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", /CR LF/],
  ["PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", /none of TCP4/],
  ["PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", /none of TCP4/],
  ["PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", /too many fields/],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", /too many fields/],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", /a port/],
  ["PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", /an address/],
  ["PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", /an address/],
  ["PROXY TCP4 ::1 ::1 1 2\r\n", /an address/],
  ["PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", /an address/],
  ["PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", /an address/],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", /a port/],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", /a port/],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", /a port/],
  ["PROXY TCP4 1.2.3.4 1.2.3.4 007 2\r\n", /a port/],
  [`PROXY TCP4 ${"1".repeat(100)}\r\n`, /too long/],
];
for (const [text, reason] of wrongLines) {
  test(`version 1 refuses ${JSON.stringify(text.slice(0, 44))}`, () => {
    const parsed = parseProxyHeader(line(text));
    assert.equal(parsed.status, PROXY_MALFORMED);
    assert.match(parsed.reason, reason);
  });
}

test("a line without an end is refused at 107 bytes, not read for ever", () => {
  assert.equal(parseProxyHeader(line(`PROXY UNKNOWN ${"x".repeat(92)}`)).status, PROXY_NEED_MORE);
  assert.equal(parseProxyHeader(line(`PROXY UNKNOWN ${"x".repeat(93)}`)).status, PROXY_MALFORMED);
});

test("LOCAL and an unspecified family give no addresses", () => {
  assert.deepEqual(parseProxyHeader(encodeProxyV2(null, [], false)).header, { version: 2, addresses: null, tlvs: [] });
  const unspecified = Buffer.from(encodeProxyV2(null, [], false));
  unspecified[12] = 0x21;
  assert.equal(parseProxyHeader(unspecified).header?.addresses, null);
  // A LOCAL header whose family promises addresses that are not there is whole: its content is to be ignored.
  const bare = Buffer.from(encodeProxyV2(null, [], false));
  bare[13] = 0x11;
  assert.equal(parseProxyHeader(bare).status, PROXY_DONE);
});

const damages: readonly [string, (header: Buffer) => void, RegExp][] = [
  ["another version", (header) => (header[12] = 0x31), /version 3/],
  ["another command", (header) => (header[12] = 0x22), /command 2/],
  ["an unknown family", (header) => (header[13] = 0x41), /family/],
  ["an unknown transport", (header) => (header[13] = 0x13), /family/],
  ["addresses that do not fit", (header) => (header[13] = 0x31), /do not fit/],
  ["an extension that does not fit", (header) => header.writeUInt16BE(500, 16 + 12 + 1), /cut off/],
  ["a wrong checksum", (header) => (header[20] = 9), /checksum is wrong/],
];
for (const [name, damage, reason] of damages) {
  test(`version 2 refuses ${name}`, () => {
    const header = encodeProxyV2(ipv4, [{ type: 2, value: line("a.example") }], true);
    damage(header);
    const parsed = parseProxyHeader(header);
    assert.equal(parsed.status, PROXY_MALFORMED);
    assert.match(parsed.reason, reason);
  });
}

test("the checksum is CRC-32C", () => {
  // RFC 3720 B.4.
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  assert.equal(crc32c(line("123456789")), 0xe3069283);
});

const plain = { noNullPrototype: true };
const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => parts.join("."));
const port = fc.nat(65_535);
const path = fc.stringMatching(/^[@/][a-z0-9/._-]{0,80}$/).filter((text) => text !== "@");
const addresses = fc
  .oneof(
    fc.record({ family: fc.constant("ipv4" as const), source: octets, destination: octets }, plain),
    fc.record({ family: fc.constant("ipv6" as const), source: fc.ipV6(), destination: fc.ipV6() }, plain),
    fc.record({ family: fc.constant("unix" as const), source: path, destination: path }, plain),
  )
  .chain((part) =>
    fc.record(
      {
        family: fc.constant(part.family),
        source: fc.constant(part.source),
        destination: fc.constant(part.destination),
        isDatagram: fc.boolean(),
        sourcePort: part.family === "unix" ? fc.constant(0) : port,
        destinationPort: part.family === "unix" ? fc.constant(0) : port,
      },
      plain,
    ),
  );
const tlvs = fc.array(
  fc.record(
    {
      type: fc.nat(255).filter((type) => type !== 3 && type !== 4),
      value: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    },
    plain,
  ),
  { maxLength: 6 },
);
const bytesOf = (address: string): unknown => (address.includes(":") ? [...(parseAddress(address) ?? [])] : address);

test("any header of version 2 comes back as it was, with and without a checksum", () => {
  fc.assert(
    fc.property(
      fc.option(addresses, { nil: null }),
      tlvs,
      fc.boolean(),
      fc.uint8Array(),
      (given, extensions, sum, rest) => {
        const header = encodeProxyV2(given, extensions, sum);
        const parsed = parseProxyHeader(Buffer.concat([header, rest]));
        assert.equal(parsed.status, PROXY_DONE, parsed.reason);
        assert.equal(parsed.length, header.length);
        assert.deepEqual(parsed.header?.tlvs, extensions);
        const back = parsed.header?.addresses ?? null;
        const normal = (it: ProxyAddresses | null): unknown =>
          it && { ...it, source: bytesOf(it.source), destination: bytesOf(it.destination) };
        assert.deepEqual(normal(back), normal(given));
        if (back?.family === "ipv6") assert.ok(isIPv6(back.source) && isIPv6(back.destination));
      },
    ),
  );
});

test("any addresses of version 1 come back as they were", () => {
  fc.assert(
    fc.property(addresses, (given) => {
      const back = parseProxyHeader(encodeProxyV1(given)).header?.addresses;
      if (given.family === "unix" || given.isDatagram) assert.equal(back, null);
      else assert.deepEqual(back, given);
    }),
  );
});

test("no bytes make the parser throw, and no damage gives more than the bytes that are there", () => {
  const start = fc.constantFrom(encodeProxyV1(ipv4), encodeProxyV2(ipv4, [{ type: 5, value: line("id") }], false));
  const edits = fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 4 });
  fc.assert(
    fc.property(start, edits, fc.uint8Array({ maxLength: 40 }), (base, changes, more) => {
      const bytes = Buffer.concat([base, more]);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      const parsed = parseProxyHeader(bytes);
      assert.ok(parsed.length <= bytes.length);
      assert.equal(parsed.status === PROXY_DONE, parsed.header !== null);
      const source = parsed.header?.addresses?.source ?? "";
      assert.match(source, /^[\x21-\x7e]*$/);
    }),
  );
});

test("connections of mixed families have no addresses to tell, and zones stay at home", () => {
  const at = (address: string) => ({ address, port: 1 });
  assert.equal(proxyAddresses(at("10.0.0.1"), at("::1")), null);
  assert.equal(proxyAddresses(at("/run/app.sock"), at("10.0.0.1")), null);
  assert.equal(proxyAddresses(at("fe80::1%eth0"), at("fe80::2"))?.source, "fe80::1");
});

const hasHaproxy = spawnSync("haproxy", ["-v"]).status === 0;

/** A HAProxy in front of a port, with the server line's options. Its socket is bound here, so nothing waits for it. */
async function haproxy(bind: string, server: string): Promise<{ port: number; stop: () => Promise<void> }> {
  const listening = createServer().listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = listening.address() as AddressInfo;
  const fd = Reflect.get(Reflect.get(listening, "_handle") as object, "fd") as number;
  const directory = mkdtempSync(join(tmpdir(), "outrigger-haproxy-"));
  const file = join(directory, "haproxy.cfg");
  writeFileSync(
    file,
    `defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n` +
      `frontend f\n  bind fd@3 ${bind}\n  default_backend b\nbackend b\n  server s ${server}\n`,
  );
  const child = spawn("haproxy", ["-f", file, "-db"], { stdio: ["ignore", "ignore", "ignore", fd] });
  listening.close();
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await once(child, "exit");
    rmSync(directory, { recursive: true, force: true });
  };
  return { port, stop };
}

for (const [option, version] of [
  ["send-proxy", 1],
  ["send-proxy-v2", 2],
  ["send-proxy-v2 proxy-v2-options crc32c,unique-id", 2],
] as const) {
  test(`HAProxy's header is read (${option})`, { skip: !hasHaproxy }, async () => {
    let received = Buffer.alloc(0);
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data: Buffer) => {
        received = Buffer.concat([received, data]);
        if (received.includes("hello")) socket.end("bye");
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const proxy = await haproxy("", `127.0.0.1:${(server.address() as AddressInfo).port} ${option}`);
    const socket = connect(proxy.port, "127.0.0.1");
    await once(socket, "connect");
    const { localPort } = socket;
    socket.write("hello");
    await once(socket, "data");
    const parsed = parseProxyHeader(received);
    assert.equal(parsed.status, PROXY_DONE, parsed.reason);
    assert.equal(parsed.header?.version, version);
    assert.equal(parsed.header?.addresses?.sourcePort, localPort);
    assert.equal(received.subarray(parsed.length).toString(), "hello");
    socket.destroy();
    await proxy.stop();
    server.close();
  });
}

test("HAProxy reads our headers", { skip: !hasHaproxy }, async () => {
  // It tells the next server, in version 1, what it learned from us.
  let received = "";
  const server = createServer((socket: Socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      received += data.toString("latin1");
      if (received.includes("hello")) socket.end("bye");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await haproxy("accept-proxy", `127.0.0.1:${(server.address() as AddressInfo).port} send-proxy`);
  const ipv6 = { ...ipv4, family: "ipv6" as const, source: "2001:db8::7", destination: "2001:db8::1" };
  const headers: readonly [Buffer, RegExp][] = [
    [encodeProxyV1(ipv4), /^PROXY TCP4 203\.0\.113\.7 10\.0\.0\.1 40000 443\r\nhello/],
    [encodeProxyV2(ipv4, [], false), /^PROXY TCP4 203\.0\.113\.7 10\.0\.0\.1 40000 443\r\nhello/],
    [
      encodeProxyV2(ipv6, [{ type: 0xe0, value: line("x") }], true),
      /^PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\nhello/,
    ],
    [encodeProxyV2(null, [], true), /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 [0-9]+ [0-9]+\r\nhello/],
  ];
  for (const [header, expected] of headers) {
    received = "";
    const socket = connect(proxy.port, "127.0.0.1");
    socket.write(header);
    socket.write("hello");
    await once(socket, "data");
    assert.match(received, expected);
    socket.destroy();
  }
  await proxy.stop();
  server.close();
});
