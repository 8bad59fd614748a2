// Where a redirected connection wanted to go: getsockopt(SO_ORIGINAL_DST) on the accepted socket, which Node has no
// call for. koffi makes the call; node:ffi does where koffi has no build. Loaded on first use. Where neither works, or
// the connection was not redirected, there is no answer and the local address stands.
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import type * as Koffi from "koffi";

export interface OriginalDestination {
  readonly ip: string;
  readonly port: number;
}

/** Fills the buffer with a sockaddr; answers 0 on success. */
type GetSockOpt = (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;

const solIp = 0;
const solIpv6 = 41;
const soOriginalDst = 80;
const familyInet = 2;
const familyInet6 = 10;

export class OriginalDestinationReader {
  #call: GetSockOpt | null | undefined = undefined;
  readonly #address: Buffer = Buffer.alloc(28);
  readonly #length: Buffer = Buffer.alloc(4);
  readonly #onUnavailable: (reason: string) => void;

  /** `onUnavailable` is told once when the system can't be asked. */
  constructor(onUnavailable: (reason: string) => void) {
    this.#onUnavailable = onUnavailable;
  }

  /** The original destination of an accepted socket, or null when it was not redirected. */
  read(socket: Socket): OriginalDestination | null {
    const fd = descriptorOf(socket);
    if (fd < 0) return null;
    if (this.#call === undefined) this.#call = this.#load();
    if (this.#call === null) return null;
    const isIpv6 = socket.remoteFamily === "IPv6";
    const mapped = isIpv6 && (socket.remoteAddress ?? "").startsWith("::ffff:");
    return (isIpv6 && !mapped ? this.#ask(this.#call, fd, solIpv6) : null) ?? this.#ask(this.#call, fd, solIp);
  }

  #ask(call: GetSockOpt, fd: number, level: number): OriginalDestination | null {
    this.#length.writeUInt32LE(this.#address.length);
    if (call(fd, level, soOriginalDst, this.#address, this.#length) !== 0) return null;
    return decodeSocketAddress(this.#address);
  }

  #load(): GetSockOpt | null {
    const reasons: string[] = [];
    for (const load of [loadKoffi, loadNodeFfi]) {
      try {
        return load();
      } catch (error) {
        reasons.push(error instanceof Error ? error.message : String(error));
      }
    }
    this.#onUnavailable(reasons.join("; "));
    return null;
  }
}

/** Reads a sockaddr_in or sockaddr_in6 in the machine's layout (family in host order, port in network order). */
export function decodeSocketAddress(bytes: Buffer): OriginalDestination | null {
  const family = bytes.readUInt16LE(0);
  const port = bytes.readUInt16BE(2);
  if (family === familyInet) return { ip: `${bytes[4]}.${bytes[5]}.${bytes[6]}.${bytes[7]}`, port };
  if (family !== familyInet6) return null;
  const groups: string[] = [];
  for (let at = 8; at < 24; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  return { ip: shortenIpv6(groups), port };
}

/** RFC 5952: the longest run of zero groups becomes `::`. */
function shortenIpv6(groups: readonly string[]): string {
  const text = groups.join(":");
  let longest = "";
  for (const match of text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g))
    if (match[0].length > longest.length) longest = match[0];
  if (longest === "") return text;
  const at = text.indexOf(longest);
  const before = text.slice(0, at);
  const after = text.slice(at + longest.length);
  return `${before}${after.startsWith(":") ? ":" : "::"}${after}`.replace(/^:(?!:)/, "::");
}

function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null) return -1;
  const fd: unknown = Reflect.get(handle, "fd");
  return typeof fd === "number" ? fd : -1;
}

function loadKoffi(): GetSockOpt {
  const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
  const libc = koffi.load(null);
  const call = libc.func("int getsockopt(int fd, int level, int option, void *value, void *length)");
  return (fd, level, option, value, length) => Number(call(fd, level, option, value, length));
}

interface NodeFfi {
  dlopen(
    path: string | null,
    functions: Readonly<Record<string, { readonly return: string; readonly arguments: readonly string[] }>>,
  ): { readonly functions: Readonly<Record<string, (...values: unknown[]) => unknown>> };
}

function loadNodeFfi(): GetSockOpt {
  const ffi = process.getBuiltinModule("node:ffi") as unknown as NodeFfi | undefined;
  if (ffi === undefined) throw new Error("this Node has no node:ffi");
  const { functions } = ffi.dlopen(null, {
    getsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "pointer", "pointer"] },
  });
  const call = functions["getsockopt"];
  if (call === undefined) throw new Error("getsockopt is not there");
  return (fd, level, option, value, length) => Number(call(fd, level, option, value, length));
}
