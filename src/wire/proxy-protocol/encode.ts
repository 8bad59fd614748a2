// Writes PROXY headers for endpoints. Addresses of different families, or that are not known, become UNKNOWN in version
// 1 and LOCAL in version 2: an endpoint then takes the connection's own.
import { parseAddress } from "#base/net/address-bytes.ts";
import { crc32c } from "./crc32c.ts";
import {
  type ProxyAddresses,
  type ProxyTlv,
  tlvType,
  unixPathBytes,
  v2HeaderBytes,
  v2Signature,
} from "./proxy-header.ts";

/** `PROXY TCP4 ...`. Version 1 has no Unix sockets. */
export function encodeProxyV1(addresses: ProxyAddresses | null): Buffer {
  if (addresses === null || addresses.family === "unix" || addresses.isDatagram) return unknown;
  const { family, source, destination, sourcePort, destinationPort } = addresses;
  const protocol = family === "ipv4" ? "TCP4" : "TCP6";
  return Buffer.from(`PROXY ${protocol} ${source} ${destination} ${sourcePort} ${destinationPort}\r\n`, "latin1");
}

const unknown: Buffer = Buffer.from("PROXY UNKNOWN\r\n", "latin1");

const maxLength = 65_535;

/** Extensions that do not fit into the header's 65535 bytes are left out, from the end. */
export function encodeProxyV2(
  addresses: ProxyAddresses | null,
  tlvs: readonly ProxyTlv[],
  withChecksum: boolean,
): Buffer {
  const addressPart = addresses === null ? empty : addressBytes(addresses);
  let room = maxLength - addressPart.length - (withChecksum ? 7 : 0);
  const extensions: Buffer[] = [];
  for (const tlv of tlvs) {
    room -= 3 + tlv.value.length;
    if (room < 0) break;
    extensions.push(encodeTlv(tlv.type, tlv.value));
  }
  if (withChecksum) extensions.push(encodeTlv(tlvType.crc32c, Buffer.alloc(4)));
  const head = Buffer.alloc(v2HeaderBytes);
  v2Signature.copy(head);
  head[12] = 0x20 | (addresses === null ? 0 : 1);
  head[13] = addresses === null ? 0 : (familyCode[addresses.family] << 4) | (addresses.isDatagram ? 2 : 1);
  const bytes = Buffer.concat([head, addressPart, ...extensions]);
  bytes.writeUInt16BE(bytes.length - v2HeaderBytes, 14);
  if (withChecksum) bytes.writeUInt32BE(crc32c(bytes), bytes.length - 4);
  return bytes;
}

const empty: Buffer = Buffer.alloc(0);
const familyCode: Readonly<Record<ProxyAddresses["family"], number>> = { ipv4: 1, ipv6: 2, unix: 3 };

function encodeTlv(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(3 + value.length);
  bytes[0] = type;
  bytes.writeUInt16BE(value.length, 1);
  value.copy(bytes, 3);
  return bytes;
}

function addressBytes({ family, source, destination, sourcePort, destinationPort }: ProxyAddresses): Buffer {
  if (family === "unix") return Buffer.concat([unixBytes(source), unixBytes(destination)]);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(sourcePort, 0);
  ports.writeUInt16BE(destinationPort, 2);
  return Buffer.concat([parseAddress(source) ?? empty, parseAddress(destination) ?? empty, ports]);
}

function unixBytes(path: string): Buffer {
  const bytes = Buffer.alloc(unixPathBytes);
  bytes.write(path.startsWith("@") ? `\0${path.slice(1)}` : path, "latin1");
  return bytes;
}

/** The addresses of a connection when both are of one family; null when nothing can be said of it. */
export function proxyAddresses(
  source: { readonly address: string; readonly port: number },
  destination: { readonly address: string; readonly port: number },
): ProxyAddresses | null {
  const from = parseAddress(source.address);
  const to = parseAddress(destination.address);
  if (from === null || to === null || from.length !== to.length) return null;
  return {
    family: from.length === 4 ? "ipv4" : "ipv6",
    isDatagram: false,
    source: withoutZone(source.address),
    sourcePort: source.port,
    destination: withoutZone(destination.address),
    destinationPort: destination.port,
  };
}

/** A link-local address names an interface of this machine, which means nothing elsewhere. */
function withoutZone(address: string): string {
  const zone = address.indexOf("%");
  return zone === -1 ? address : address.slice(0, zone);
}
