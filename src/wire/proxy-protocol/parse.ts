// HOT: per connection. Reads a PROXY header from the first bytes of a connection, both versions, and never throws. Strict:
// what the specification does not allow is MALFORMED, so that no two receivers read one header in two ways. Bounded by
// the format: 107 bytes in version 1, 65551 in version 2.
import { isIPv6 } from "node:net";
import { addressText } from "#base/net/address-bytes.ts";
import { crc32c } from "./crc32c.ts";
import {
  type ProxyAddresses,
  type ProxyHeader,
  type ProxyTlv,
  tlvType,
  unixPathBytes,
  v2HeaderBytes,
  v2Signature,
} from "./proxy-header.ts";

export const PROXY_NEED_MORE = 0;
export const PROXY_DONE = 1;
/** The connection does not begin with a PROXY header. */
export const PROXY_ABSENT = 2;
export const PROXY_MALFORMED = 3;

export interface ParsedProxyHeader {
  readonly status: number;
  /** With DONE. */
  readonly header: ProxyHeader | null;
  /** With DONE: where the connection's own bytes begin. */
  readonly length: number;
  /** With MALFORMED: what is wrong. */
  readonly reason: string;
}

/** Longest line of version 1, with its CR LF. */
const v1MaxBytes = 107;
const v1Start = Buffer.from("PROXY ", "latin1");

const needMore: ParsedProxyHeader = { status: PROXY_NEED_MORE, header: null, length: 0, reason: "" };
const absent: ParsedProxyHeader = { status: PROXY_ABSENT, header: null, length: 0, reason: "" };

/** Looks at all bytes received so far. */
export function parseProxyHeader(bytes: Buffer): ParsedProxyHeader {
  if (bytes.length === 0) return needMore;
  if (bytes[0] === v2Signature[0]) return startsWith(bytes, v2Signature) ? parseV2(bytes) : absent;
  return startsWith(bytes, v1Start) ? parseV1(bytes) : absent;
}

/** Whether the bytes are the start, or the start of it. */
function startsWith(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function malformed(reason: string): ParsedProxyHeader {
  return { status: PROXY_MALFORMED, header: null, length: 0, reason };
}

function done(version: 1 | 2, addresses: ProxyAddresses | null, tlvs: readonly ProxyTlv[], length: number) {
  return { status: PROXY_DONE, header: { version, addresses, tlvs }, length, reason: "" };
}

function parseV1(bytes: Buffer): ParsedProxyHeader {
  const lineFeed = bytes.subarray(0, v1MaxBytes).indexOf(10);
  if (lineFeed === -1) return bytes.length < v1MaxBytes ? needMore : malformed("the line is too long");
  if (bytes[lineFeed - 1] !== 13) return malformed("the line does not end with CR LF");
  const line = bytes.toString("latin1", v1Start.length, lineFeed - 1);
  const length = lineFeed + 1;
  // What follows UNKNOWN is to be ignored.
  if (line === "UNKNOWN" || line.startsWith("UNKNOWN ")) return done(1, null, noTlvs, length);
  const [protocol, source = "", destination = "", sourcePort = "", destinationPort = "", ...more] = line.split(" ");
  if (more.length > 0) return malformed("the line has too many fields");
  const family = protocol === "TCP4" ? "ipv4" : protocol === "TCP6" ? "ipv6" : null;
  if (family === null) return malformed("the protocol is none of TCP4, TCP6 and UNKNOWN");
  const isAddress = family === "ipv4" ? isPlainIpv4 : isPlainIpv6;
  if (!isAddress(source) || !isAddress(destination)) return malformed(`an address is not of ${protocol}`);
  if (!isPort(sourcePort) || !isPort(destinationPort)) return malformed("a port is not a number from 0 to 65535");
  const ports = { sourcePort: Number(sourcePort), destinationPort: Number(destinationPort) };
  return done(1, { family, isDatagram: false, source, destination, ...ports }, noTlvs, length);
}

const octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const plainIpv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`);

function isPlainIpv4(text: string): boolean {
  return plainIpv4.test(text);
}

function isPlainIpv6(text: string): boolean {
  return isIPv6(text) && !text.includes("%");
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535;
}

const noTlvs: readonly ProxyTlv[] = [];
/** Bytes of addresses by family: unspecified, IPv4, IPv6, Unix. */
const addressBytes: readonly number[] = [0, 12, 36, 2 * unixPathBytes];

function parseV2(bytes: Buffer): ParsedProxyHeader {
  if (bytes.length < v2HeaderBytes) return needMore;
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 15;
  if (version !== 2) return malformed(`version ${version} is not 2`);
  if (command > 1) return malformed(`command ${command} is neither LOCAL nor PROXY`);
  const length = v2HeaderBytes + bytes.readUInt16BE(14);
  if (bytes.length < length) return needMore;
  const header = bytes.subarray(0, length);
  const family = header[13]! >> 4;
  const transport = header[13]! & 15;
  // LOCAL: the family says nothing, but what follows the addresses it implies may be extensions.
  if (command === 1 && (family > 3 || transport > 2)) return malformed("the address family is not known");
  const addressEnd = v2HeaderBytes + (addressBytes[family] ?? 0);
  const isWithoutAddress = command === 0 || family === 0 || transport === 0;
  if (addressEnd > length) {
    return command === 0 ? done(2, null, noTlvs, length) : malformed("the addresses do not fit into the header");
  }
  const tlvs = parseTlvs(header, addressEnd);
  if (typeof tlvs === "string") return command === 0 ? done(2, null, noTlvs, length) : malformed(tlvs);
  const addresses = isWithoutAddress ? null : readAddresses(header, family, transport === 2);
  return done(2, addresses, tlvs, length);
}

function readAddresses(header: Buffer, family: number, isDatagram: boolean): ProxyAddresses {
  const at = v2HeaderBytes;
  if (family === 1) {
    return {
      family: "ipv4",
      isDatagram,
      source: addressText(header.subarray(at, at + 4)),
      destination: addressText(header.subarray(at + 4, at + 8)),
      sourcePort: header.readUInt16BE(at + 8),
      destinationPort: header.readUInt16BE(at + 10),
    };
  }
  if (family === 2) {
    return {
      family: "ipv6",
      isDatagram,
      source: addressText(header.subarray(at, at + 16)),
      destination: addressText(header.subarray(at + 16, at + 32)),
      sourcePort: header.readUInt16BE(at + 32),
      destinationPort: header.readUInt16BE(at + 34),
    };
  }
  return {
    family: "unix",
    isDatagram,
    source: unixPath(header.subarray(at, at + unixPathBytes)),
    destination: unixPath(header.subarray(at + unixPathBytes, at + 2 * unixPathBytes)),
    sourcePort: 0,
    destinationPort: 0,
  };
}

/** The path up to its NUL; an abstract name begins with `@`, as people write it. Control bytes become `?`. */
function unixPath(bytes: Buffer): string {
  const isAbstract = bytes[0] === 0 && bytes[1] !== 0;
  const from = isAbstract ? 1 : 0;
  const end = bytes.indexOf(0, from);
  const name = bytes.toString("latin1", from, end === -1 ? bytes.length : end);
  return `${isAbstract ? "@" : ""}${name.replace(/[^\x21-\x7e]/g, "?")}`;
}

/** The extensions, or what is wrong with them. */
function parseTlvs(header: Buffer, start: number): readonly ProxyTlv[] | string {
  const tlvs: ProxyTlv[] = [];
  let at = start;
  while (at < header.length) {
    if (at + 3 > header.length) return "an extension is cut off";
    const type = header[at]!;
    const length = header.readUInt16BE(at + 1);
    const from = at + 3;
    at = from + length;
    if (at > header.length) return "an extension is cut off";
    if (type === tlvType.noop) continue;
    if (type === tlvType.crc32c) {
      if (length !== 4) return "the checksum is not 4 bytes long";
      if (crc32c(header, from) !== header.readUInt32BE(from)) return "the checksum is wrong";
      continue;
    }
    tlvs.push({ type, value: Buffer.from(header.subarray(from, at)) });
  }
  return tlvs.length === 0 ? noTlvs : tlvs;
}
