// HOT: per connection. Reads server name and offered protocols from the first bytes of a TLS connection (RFC 8446 4.1.2,
// RFC 6066 3, RFC 7301), without taking part in the handshake. Bounded: a hello may span records, up to 16 KiB in up to
// 128 of them. It never throws; what is not a well-formed hello is NOT_TLS, MALFORMED or TOO_LARGE. With an encrypted
// hello (ECH) the outer name is the one that is read: the inner one is for the endpoint only.

export const HELLO_NEED_MORE = 0;
export const HELLO_DONE = 1;
export const HELLO_NOT_TLS = 2;
export const HELLO_MALFORMED = 3;
export const HELLO_TOO_LARGE = 4;

export interface ClientHello {
  readonly status: number;
  /** Lower case; empty when none was sent. */
  readonly serverName: string;
  readonly alpn: readonly string[];
  /** With NEED_MORE: how many bytes there must be before it is worth looking again. */
  readonly neededBytes: number;
}

const maxHelloBytes = 16 * 1024;
/** Clients that cut their hello use a few records. More would make every look at them longer. */
const maxRecords = 128;
const noNames: readonly string[] = [];
const notTls: ClientHello = { status: HELLO_NOT_TLS, serverName: "", alpn: noNames, neededBytes: 0 };
const malformed: ClientHello = { status: HELLO_MALFORMED, serverName: "", alpn: noNames, neededBytes: 0 };
const tooLarge: ClientHello = { status: HELLO_TOO_LARGE, serverName: "", alpn: noNames, neededBytes: 0 };

function needMore(neededBytes: number): ClientHello {
  return { status: HELLO_NEED_MORE, serverName: "", alpn: noNames, neededBytes };
}

/** Looks at all bytes received so far. */
export function parseClientHello(bytes: Buffer): ClientHello {
  if (bytes.length === 0) return needMore(1);
  if (bytes[0] !== 22) return notTls;
  if (bytes.length > 1 && bytes[1] !== 3) return notTls;
  if (bytes.length > 2 && bytes[2]! > 4) return notTls;
  // Joins the fragments of the handshake records that are there.
  const fragments: Buffer[] = [];
  let total = 0;
  let at = 0;
  while (at + 5 <= bytes.length) {
    if (bytes[at] !== 22) return malformed;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > maxHelloBytes + 256) return malformed;
    if (fragments.length === maxRecords) return tooLarge;
    const end = at + 5 + length;
    const fragment = bytes.subarray(at + 5, Math.min(end, bytes.length));
    fragments.push(fragment);
    total += fragment.length;
    at = end;
    const outcome = tryParse(fragments, total);
    if (outcome !== null) return outcome;
  }
  // Inside a record: its end. Between records: the header of the next one, whose first byte may tell already.
  return needMore(at > bytes.length ? at : bytes.length + 1);
}

/** Null asks for more. */
function tryParse(fragments: readonly Buffer[], total: number): ClientHello | null {
  const first = fragments[0]!;
  if (first.length > 0 && first[0] !== 1) return malformed;
  if (total < 4) return null;
  const head = first.length >= 4 ? first : Buffer.concat(fragments);
  const length = head.readUIntBE(1, 3);
  if (length > maxHelloBytes) return tooLarge;
  if (length < 38) return malformed;
  if (total < 4 + length) return null;
  return parseBody(joined(fragments).subarray(4, 4 + length));
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
  if (at === body.length) return { status: HELLO_DONE, serverName: "", alpn: noNames, neededBytes: 0 };
  if (at + 2 > body.length) return malformed;
  const end = at + 2 + body.readUInt16BE(at);
  if (end !== body.length) return malformed;
  return parseExtensions(body, at + 2);
}

function parseExtensions(body: Buffer, start: number): ClientHello {
  let serverName = "";
  let alpn: readonly string[] = noNames;
  let seen = 0;
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
      // A second one (RFC 8446 4.2 forbids it) could be the one that the endpoint believes.
      if (name === null || (seen & 1) !== 0) return malformed;
      seen |= 1;
      serverName = name;
    } else if (type === 16) {
      const names = parseAlpn(data);
      if (names === null || (seen & 2) !== 0) return malformed;
      seen |= 2;
      alpn = names;
    }
    at = dataEnd;
  }
  return { status: HELLO_DONE, serverName, alpn, neededBytes: 0 };
}

function parseServerName(data: Buffer): string | null {
  if (data.length < 5) return null;
  if (data.readUInt16BE(0) !== data.length - 2) return null;
  if (data[2] !== 0) return "";
  const length = data.readUInt16BE(3);
  // One name: what follows it would be for somebody who reads on.
  if (length === 0 || length > 255 || 5 + length !== data.length) return null;
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
