// System calls on sockets that Node has no function for: options of a socket, and a socket that is bound with options set
// before. koffi makes the calls; node:ffi does where koffi has no build. Loaded on first use.
import { createRequire } from "node:module";
import type * as Koffi from "koffi";
import { parseAddress } from "./address-bytes.ts";

/** Answers 0 on success. */
type SocketOptionCall = (fd: number, level: number, option: number, value: Buffer, length: Buffer | number) => number;

interface Calls {
  readonly getsockopt: SocketOptionCall;
  readonly setsockopt: SocketOptionCall;
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly bind: (fd: number, address: Buffer, length: number) => number;
  readonly close: (fd: number) => number;
  /** Text of the last error. */
  readonly lastError: () => string;
}

/** An option as the kernel takes it. */
export interface SocketOptionValue {
  readonly level: number;
  readonly name: number;
  readonly value: Buffer;
  /** For messages: `IP_FREEBIND`. */
  readonly description: string;
}

const familyInet = 2;
const familyInet6 = 10;
const sockStream = 1;
const sockNonblock = 0o4000;
const sockCloexec = 0o2000000;
const solSocket = 1;
const soReuseAddr = 2;
const ipv6Only: SocketOptionValue = { level: 41, name: 26, value: int(1), description: "IPV6_V6ONLY" };

/** The 4 bytes of a C int. */
function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

export class SocketCalls {
  #calls: Calls | null | undefined = undefined;
  readonly #onUnavailable: (reason: string) => void;

  /** `onUnavailable` is told once when the system can't be asked. */
  constructor(onUnavailable: (reason: string) => void) {
    this.#onUnavailable = onUnavailable;
  }

  #load(): Calls | null {
    if (this.#calls === undefined) this.#calls = loadCalls(this.#onUnavailable);
    return this.#calls;
  }

  /** Fills `value` and sets `length`. False when the socket does not answer. */
  getOption(fd: number, level: number, option: number, value: Buffer, length: Buffer): boolean {
    const calls = this.#load();
    return calls !== null && calls.getsockopt(fd, level, option, value, length) === 0;
  }

  /** Null when the option is set, else why not. */
  setOption(fd: number, option: SocketOptionValue): string | null {
    const calls = this.#load();
    if (calls === null) return "system calls can't be made";
    const { level, name, value } = option;
    return calls.setsockopt(fd, level, name, value, value.length) === 0 ? null : calls.lastError();
  }

  /** A TCP socket that is bound after the options were set: its descriptor, or why there is none. */
  bindSocket(host: string, port: number, options: readonly SocketOptionValue[], isDualStack: boolean): number | string {
    const calls = this.#load();
    if (calls === null) return "system calls can't be made";
    const address = encodeSocketAddress(host, port);
    if (address === null) return `${host} is not an IP address`;
    const family = address.readUInt16LE(0);
    const fd = calls.socket(family, sockStream | sockNonblock | sockCloexec, 0);
    if (fd < 0) return calls.lastError();
    const reuse: SocketOptionValue = {
      level: solSocket,
      name: soReuseAddr,
      value: int(1),
      description: "SO_REUSEADDR",
    };
    const extra = family === familyInet6 && !isDualStack ? [reuse, ipv6Only] : [reuse];
    for (const option of [...extra, ...options]) {
      const error = this.setOption(fd, option);
      if (error === null) continue;
      calls.close(fd);
      return `${option.description}: ${error}`;
    }
    if (calls.bind(fd, address, address.length) === 0) return fd;
    const error = calls.lastError();
    calls.close(fd);
    return error;
  }
}

/** A sockaddr_in or sockaddr_in6 in the machine's layout (family in host order, port in network order). */
function encodeSocketAddress(host: string, port: number): Buffer | null {
  const bytes = parseAddress(host);
  if (bytes === null) return null;
  const address = Buffer.alloc(bytes.length === 4 ? 16 : 28);
  address.writeUInt16LE(bytes.length === 4 ? familyInet : familyInet6, 0);
  address.writeUInt16BE(port, 2);
  address.set(bytes, bytes.length === 4 ? 4 : 8);
  return address;
}

/** The descriptor below a socket or a server; -1 when there is none. */
export function descriptorOf(owner: object): number {
  const handle: unknown = Reflect.get(owner, "_handle");
  if (typeof handle !== "object" || handle === null) return -1;
  const fd: unknown = Reflect.get(handle, "fd");
  return typeof fd === "number" ? fd : -1;
}

function loadCalls(onUnavailable: (reason: string) => void): Calls | null {
  const reasons: string[] = [];
  for (const load of [loadKoffi, loadNodeFfi]) {
    try {
      return load();
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  onUnavailable(reasons.join("; "));
  return null;
}

function loadKoffi(): Calls {
  const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
  const libc = koffi.load(null);
  const getsockopt = libc.func("int getsockopt(int fd, int level, int option, void *value, void *length)");
  const setsockopt = libc.func("int setsockopt(int fd, int level, int option, void *value, uint32_t length)");
  const socket = libc.func("int socket(int family, int type, int protocol)");
  const bind = libc.func("int bind(int fd, void *address, uint32_t length)");
  const close = libc.func("int close(int fd)");
  const strerror = libc.func("const char *strerror(int code)");
  return {
    getsockopt: (fd, level, option, value, length) => Number(getsockopt(fd, level, option, value, length)),
    setsockopt: (fd, level, option, value, length) => Number(setsockopt(fd, level, option, value, length)),
    socket: (family, type, protocol) => Number(socket(family, type, protocol)),
    bind: (fd, address, length) => Number(bind(fd, address, length)),
    close: (fd) => Number(close(fd)),
    lastError: () => String(strerror(koffi.errno())),
  };
}

interface NodeFfi {
  dlopen(
    path: string | null,
    functions: Readonly<Record<string, { readonly return: string; readonly arguments: readonly string[] }>>,
  ): { readonly functions: Readonly<Record<string, (...values: unknown[]) => unknown>> };
}

function loadNodeFfi(): Calls {
  const ffi = process.getBuiltinModule("node:ffi") as unknown as NodeFfi | undefined;
  if (ffi === undefined) throw new Error("this Node has no node:ffi");
  const { functions } = ffi.dlopen(null, {
    getsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "pointer", "pointer"] },
    setsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "pointer", "u32"] },
    socket: { return: "i32", arguments: ["i32", "i32", "i32"] },
    bind: { return: "i32", arguments: ["i32", "pointer", "u32"] },
    close: { return: "i32", arguments: ["i32"] },
  });
  const call = (name: string, ...values: unknown[]): number => Number(functions[name]?.(...values) ?? -1);
  return {
    getsockopt: (fd, level, option, value, length) => call("getsockopt", fd, level, option, value, length),
    setsockopt: (fd, level, option, value, length) => call("setsockopt", fd, level, option, value, length),
    socket: (family, type, protocol) => call("socket", family, type, protocol),
    bind: (fd, address, length) => call("bind", fd, address, length),
    close: (fd) => call("close", fd),
    lastError: () => "refused by the system",
  };
}
