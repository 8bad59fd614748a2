// Where a redirected connection wanted to go: getsockopt(SO_ORIGINAL_DST) on the accepted socket. Where the system can't
// be asked, or the connection was not redirected, there is no answer and the local address stands.
import type { Socket } from "node:net";
import { addressText } from "./address-bytes.ts";
import { descriptorOf, type SocketCalls } from "./socket-calls.ts";

export interface OriginalDestination {
  readonly ip: string;
  readonly port: number;
}

const solIp = 0;
const solIpv6 = 41;
const soOriginalDst = 80;
const familyInet = 2;
const familyInet6 = 10;

export class OriginalDestinationReader {
  readonly #calls: SocketCalls;
  readonly #address: Buffer = Buffer.alloc(28);
  readonly #length: Buffer = Buffer.alloc(4);

  constructor(calls: SocketCalls) {
    this.#calls = calls;
  }

  /** The original destination of an accepted socket, or null when it was not redirected. */
  read(socket: Socket): OriginalDestination | null {
    const fd = descriptorOf(socket);
    if (fd < 0) return null;
    const isIpv6 = socket.remoteFamily === "IPv6";
    const mapped = isIpv6 && (socket.remoteAddress ?? "").startsWith("::ffff:");
    return (isIpv6 && !mapped ? this.#ask(fd, solIpv6) : null) ?? this.#ask(fd, solIp);
  }

  #ask(fd: number, level: number): OriginalDestination | null {
    this.#length.writeUInt32LE(this.#address.length);
    if (!this.#calls.getOption(fd, level, soOriginalDst, this.#address, this.#length)) return null;
    return decodeSocketAddress(this.#address);
  }
}

/** Reads a sockaddr_in or sockaddr_in6 in the machine's layout (family in host order, port in network order). */
export function decodeSocketAddress(bytes: Buffer): OriginalDestination | null {
  const family = bytes.readUInt16LE(0);
  const port = bytes.readUInt16BE(2);
  if (family === familyInet) return { ip: addressText(bytes.subarray(4, 8)), port };
  return family === familyInet6 ? { ip: addressText(bytes.subarray(8, 24)), port } : null;
}
