// HOT: per connection. Reads server name and offered protocols from the first bytes of a TLS connection (RFC 8446 4.1.2,
// RFC 6066 3, RFC 7301), without taking part in the handshake. Bounded: a hello may span records, up to 16 KiB.
// It never throws; what is not a well-formed hello is NOT_TLS or MALFORMED, and the handshake itself decides later.

export const HELLO_NEED_MORE = 0;
export const HELLO_DONE = 1;
export const HELLO_NOT_TLS = 2;
export const HELLO_MALFORMED = 3;

export interface ClientHello {
  readonly status: number;
  /** Lower case; empty when none was sent. */
  readonly serverName: string;
  readonly alpn: readonly string[];
}

const maxHelloBytes = 16 * 1024;
const noNames: readonly string[] = [];
const needMore: ClientHello = { status: HELLO_NEED_MORE, serverName: "", alpn: noNames };
const notTls: ClientHello = { status: HELLO_NOT_TLS, serverName: "", alpn: noNames };
const malformed: ClientHello = { status: HELLO_MALFORMED, serverName: "", alpn: noNames };

/** Looks at all bytes received so far. */
export function parseClientHello(bytes: Buffer): ClientHello {
  if (bytes.length === 0) return needMore;
  if (bytes[0] !== 22) return notTls;
  if (bytes.length > 1 && bytes[1] !== 3) return notTls;
  if (bytes.length > 2 && bytes[2]! > 4) return notTls;
  const hello = reassemble(bytes);
  if (hello === null) return malformed;
  if (hello.length > 0 && hello[0] !== 1) return malformed;
  if (hello.length < 4) return needMore;
  const length = hello.readUIntBE(1, 3);
  if (length > maxHelloBytes || length < 38) return malformed;
  if (hello.length < 4 + length) return needMore;
  return parseBody(hello.subarray(4, 4 + length));
}

/** Joins the fragments of handshake records that are there; null when a record is not a handshake record. */
function reassemble(bytes: Buffer): Buffer | null {
  const fragments: Buffer[] = [];
  let total = 0;
  let at = 0;
  while (at + 5 <= bytes.length && total <= maxHelloBytes + 4) {
    if (bytes[at] !== 22) return total >= 4 ? joined(fragments) : null;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > maxHelloBytes + 256) return null;
    const fragment = bytes.subarray(at + 5, Math.min(at + 5 + length, bytes.length));
    fragments.push(fragment);
    total += fragment.length;
    at += 5 + length;
  }
  return joined(fragments);
}

function joined(fragments: readonly Buffer[]): Buffer {
  return fragments.length === 1 ? fragments[0]! : Buffer.concat(fragments);
}

function parseBody(body: Buffer): ClientHello {
  // legacy_version (2), random (32), then three vectors before the extensions.
  let at = 34;
  at += 1 + (body[at] ?? Number.NaN);
  if (!(at + 2 <= body.length)) return malformed;
  at += 2 + body.readUInt16BE(at);
  if (!(at + 1 <= body.length)) return malformed;
  at += 1 + body[at]!;
  if (at === body.length) return { status: HELLO_DONE, serverName: "", alpn: noNames };
  if (at + 2 > body.length) return malformed;
  const end = at + 2 + body.readUInt16BE(at);
  if (end !== body.length) return malformed;
  return parseExtensions(body, at + 2);
}

function parseExtensions(body: Buffer, start: number): ClientHello {
  let serverName = "";
  let alpn: readonly string[] = noNames;
  let at = start;
  while (at < body.length) {
    if (at + 4 > body.length) return malformed;
    const type = body.readUInt16BE(at);
    const length = body.readUInt16BE(at + 2);
    const dataEnd = at + 4 + length;
    if (dataEnd > body.length) return malformed;
    const data = body.subarray(at + 4, dataEnd);
    if (type === 0) {
      const name = parseServerName(data);
      if (name === null) return malformed;
      serverName = name;
    } else if (type === 16) {
      const names = parseAlpn(data);
      if (names === null) return malformed;
      alpn = names;
    }
    at = dataEnd;
  }
  return { status: HELLO_DONE, serverName, alpn };
}

function parseServerName(data: Buffer): string | null {
  if (data.length < 5) return null;
  if (data.readUInt16BE(0) !== data.length - 2) return null;
  if (data[2] !== 0) return "";
  const length = data.readUInt16BE(3);
  if (length === 0 || length > 255 || 5 + length > data.length) return null;
  for (let i = 5; i < 5 + length; i++) {
    const byte = data[i]!;
    // Host names and Istio's `outbound_.80_._.host` are visible ASCII; anything else is a trick.
    if (byte <= 32 || byte > 126) return null;
  }
  return data.toString("latin1", 5, 5 + length).toLowerCase();
}

function parseAlpn(data: Buffer): readonly string[] | null {
  if (data.length < 2 || data.readUInt16BE(0) !== data.length - 2) return null;
  const names: string[] = [];
  let at = 2;
  while (at < data.length) {
    const length = data[at]!;
    if (length === 0 || at + 1 + length > data.length || names.length >= 64) return null;
    names.push(data.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return names;
}
