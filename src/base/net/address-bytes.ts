// IP addresses as bytes, for comparing blocks and for writing them into messages.
import { isIPv6 } from "node:net";

/** Bytes of an address in network order, 4 or 16; null when it is not an address. */
export function parseAddress(address: string): Uint8Array | null {
  return address.includes(":") ? parseV6(address) : parseV4(address);
}

function parseV4(address: string): Uint8Array | null {
  const parts = address.split(".");
  if (parts.length !== 4) return null;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i] as string;
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return null;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parseV6(address: string): Uint8Array | null {
  const zone = address.indexOf("%");
  const plain = zone === -1 ? address : address.slice(0, zone);
  if (!isIPv6(plain)) return null;
  const embedded = plain.includes(".") ? parseV4(plain.slice(plain.lastIndexOf(":") + 1)) : null;
  const text =
    embedded === null
      ? plain
      : `${plain.slice(0, plain.lastIndexOf(":") + 1)}${word(embedded, 0)}:${word(embedded, 2)}`;
  const [head = "", tail] = text.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill("0"), ...right];
  const bytes = new Uint8Array(16);
  groups.forEach((group, i) => {
    const value = Number.parseInt(group, 16);
    bytes[i * 2] = value >> 8;
    bytes[i * 2 + 1] = value & 0xff;
  });
  return bytes;
}

function word(bytes: Uint8Array, at: number): string {
  return (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16);
}

/** The text of an address of 4 or 16 bytes; IPv6 as RFC 5952 writes it. */
export function addressText(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join(".") : ipv6Text(bytes);
}

/** Lower case, no leading zeros, and the longest run of zero groups (of two or more, the first) is `::`. */
function ipv6Text(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0));
  let bestAt = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (groups[i + run] === 0) run++;
    if (run > bestLength) {
      bestAt = i;
      bestLength = run;
    }
    i += Math.max(0, run - 1);
  }
  const text = groups.map((group) => group.toString(16));
  if (bestAt === -1) return text.join(":");
  return `${text.slice(0, bestAt).join(":")}::${text.slice(bestAt + bestLength).join(":")}`;
}
