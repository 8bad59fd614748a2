// What listener filters read from the first bytes of a connection: a TLS hello, a PROXY header. They look at all bytes so
// far, so an answer must stand whatever comes after, and a prefix of what is understood asks for more.
import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeProxyV1, encodeProxyV2 } from "#wire/proxy-protocol/encode.ts";
import { PROXY_DONE, PROXY_NEED_MORE, parseProxyHeader } from "#wire/proxy-protocol/parse.ts";
import { HELLO_DONE, HELLO_NEED_MORE, parseClientHello } from "#wire/tls/client-hello.ts";
import { damaged, noise } from "../bytes.ts";
import { type FuzzTarget, fuzzTarget } from "../fuzz-target.ts";

interface Answer {
  readonly status: number;
}

/** Parses every prefix: never does an answer change its mind. */
function property(
  originals: readonly Buffer[],
  parse: (bytes: Buffer) => Answer,
  needMore: number,
  check: (answer: Answer, bytes: Buffer) => void,
): fc.IProperty<[Buffer, number]> {
  const input = fc.oneof(noise, damaged(originals));
  return fc.property(input, fc.nat(1000), (bytes, place) => {
    const whole = parse(bytes);
    check(whole, bytes);
    const at = place % (bytes.length + 1);
    const part = parse(Buffer.from(bytes.subarray(0, at)));
    if (part.status !== needMore) assert.deepEqual(part, whole);
  });
}

function vector(bytes: number, content: Buffer): Buffer {
  const length = Buffer.alloc(bytes);
  length.writeUIntBE(content.length, 0, bytes);
  return Buffer.concat([length, content]);
}

function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, data)]);
}

function hello(serverName: string, protocols: readonly string[], recordBytes: number): Buffer {
  const name = Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(serverName))]);
  const alpn = Buffer.concat(protocols.map((protocol) => vector(1, Buffer.from(protocol))));
  const extensions = Buffer.concat([
    extension(0x0a0a, Buffer.alloc(0)),
    extension(0, vector(2, name)),
    extension(16, vector(2, alpn)),
    extension(43, Buffer.from([2, 3, 4])),
  ]);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 9)),
    vector(2, Buffer.from([0x13, 1, 0x13, 2])),
    vector(1, Buffer.from([0])),
    vector(2, extensions),
  ]);
  const handshake = Buffer.concat([Buffer.from([1]), vector(3, body)]);
  const records: Buffer[] = [];
  for (let at = 0; at < handshake.length; at += recordBytes) {
    records.push(Buffer.from([22, 3, 1]), vector(2, handshake.subarray(at, at + recordBytes)));
  }
  return Buffer.concat(records);
}

const hellos = [
  hello("outbound_.80_._.a.svc", ["istio-http/1.1", "h2"], 16_384),
  hello("a.example", ["h2"], 60),
  hello("x", [], 7),
];

export const clientHello: FuzzTarget = fuzzTarget(
  "client-hello",
  property(hellos, parseClientHello, HELLO_NEED_MORE, (answer) => {
    const { status, serverName } = answer as ReturnType<typeof parseClientHello>;
    if (status === HELLO_DONE) assert.match(serverName, /^[\x21-\x7e]*$/);
    assert.equal(serverName, serverName.toLowerCase());
  }),
);

const v4 = {
  family: "ipv4",
  isDatagram: false,
  source: "1.2.3.4",
  destination: "5.6.7.8",
  sourcePort: 9,
  destinationPort: 10,
} as const;
const v6 = { ...v4, family: "ipv6", source: "::1", destination: "2001:db8::1" } as const;
const headers = [
  encodeProxyV1(v4),
  encodeProxyV1(v6),
  encodeProxyV2(v4, [{ type: 5, value: Buffer.from("id") }], true),
  encodeProxyV2(v6, [], false),
  encodeProxyV2(null, [], true),
];

export const proxyHeader: FuzzTarget = fuzzTarget(
  "proxy-protocol",
  property(headers, parseProxyHeader, PROXY_NEED_MORE, (answer, bytes) => {
    const parsed = answer as ReturnType<typeof parseProxyHeader>;
    assert.equal(parsed.status === PROXY_DONE, parsed.header !== null);
    assert.ok(parsed.length <= bytes.length);
  }),
);
