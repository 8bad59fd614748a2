// HOT: per read and per write. A port over the handle below a socket's streams: it writes without the stream's queue and
// reads into one shared buffer, which takes a third off our own part of a hop (4.3 to 2.6 µs of user time per request in
// the smallest proxy there is; bench: hop).
//
// Node does not document handles. What is used is exactly what Node's own streams do with them, and `areHandlesKnown`
// watches them do it before the first use; where they do anything else, stream-port.ts serves.
//   Writing: handle.writeLatin1String(null, text) and its siblings answer 0 when the kernel took everything, a number
//   below 0 for an error, or a request whose `oncomplete` is called later.
//   Reading: what the option `onread` of net.connect sets up, which accepted and TLS sockets can't be given.
import { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import type { Port, PortUser } from "./port.ts";
import type { ReadBuffer } from "./read-buffer.ts";

interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | null;
  /** Set when the write was over before `oncomplete` was. */
  writeStatus: number | null;
  port: HandlePort;
  bytes: number;
  /** Keeps the memory that is being written. */
  kept: unknown;
}

interface StreamHandle {
  readonly writeQueueSize?: number;
  writeLatin1String(request: null, text: string): number | WriteRequest;
  writeBuffer(request: null, bytes: Buffer): number | WriteRequest;
  writev(request: null, chunks: readonly unknown[], areBuffers: boolean): number | WriteRequest;
  useUserBuffer(buffer: Buffer): void;
}

const port: unique symbol = Symbol("port");
interface HandledSocket extends Socket {
  [port]?: HandlePort;
}

/** The port, or null where the socket has to be used as a stream. */
export function openHandlePort(socket: Socket, user: PortUser, memory: ReadBuffer): Port | null {
  known ??= findReadKeys();
  const handle = handleOf(socket);
  return known === null || handle === null ? null : new HandlePort(socket, handle, { user, memory, keys: known });
}

interface HandlePortOptions {
  readonly user: PortUser;
  readonly memory: ReadBuffer;
  readonly keys: ReadKeys;
}

class HandlePort implements Port {
  unsentBytes = 0;
  /**
   * What came while a write was under way, or null while none is. A TLS handle takes one write at a time and ends the
   * process over a second one (an assertion in TLSWrap of Node 26.10).
   */
  #queued: (string | Buffer)[] | null = null;
  readonly #socket: HandledSocket;
  readonly #handle: StreamHandle;
  readonly #user: PortUser;
  readonly #memory: ReadBuffer;
  readonly #keys: ReadKeys;
  #endsWhenSent = false;
  #isPaused = false;
  /** The stream has read before us, as when TLS data came with the end of the handshake. */
  #hasReadAhead = false;

  constructor(socket: Socket, handle: StreamHandle, { user, memory, keys }: HandlePortOptions) {
    this.#socket = socket;
    this.#socket[port] = this;
    this.#handle = handle;
    this.#user = user;
    this.#memory = memory;
    this.#keys = keys;
  }

  get queueBytes(): number {
    return this.unsentBytes === 0 ? 0 : this.unsentBytes + (this.#handle.writeQueueSize ?? 0);
  }

  startReading(): void {
    const socket = this.#socket;
    const { buffer, callback } = this.#keys;
    Reflect.set(socket, buffer, this.#memory.shared);
    Reflect.set(socket, callback, onRead);
    this.#handle.useUserBuffer(this.#memory.shared);
    this.#hasReadAhead = socket.readableLength > 0;
    this.resume();
  }

  pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    // Nobody who resumes expects data before the call returns.
    if (this.#hasReadAhead) process.nextTick(deliverReadAhead, this);
    else this.#socket.resume();
  }

  deliverReadAhead(): void {
    if (this.#isPaused || !this.#hasReadAhead) return;
    this.#hasReadAhead = false;
    const data = readAll(this.#socket);
    if (data.length > 0) this.#user.onPortData(data);
    // `read` has started the handle, whatever anybody said in between.
    if (this.#isPaused) this.#socket.pause();
    else this.#socket.resume();
  }

  /** For the socket: that many bytes are in the shared buffer. */
  received(bytes: number): void {
    this.#user.onPortData(this.#memory.take(bytes));
  }

  sendText(text: string): void {
    if (this.#queued !== null) this.#queue(text);
    else this.#sent(this.#handle.writeLatin1String(null, text), text.length, null);
  }

  sendChunks(chunks: readonly (string | Buffer)[]): void {
    if (this.#queued !== null) {
      for (let i = 0; i < chunks.length; i++) this.#queue(chunks[i]!);
      return;
    }
    const [first] = chunks;
    if (chunks.length === 1 && typeof first === "object") {
      this.#sent(this.#handle.writeBuffer(null, first), first.length, first);
      return;
    }
    const list: (string | Buffer)[] = [];
    let bytes = 0;
    for (let i = 0; i < chunks.length; i++) {
      const chunk = chunks[i]!;
      bytes += chunk.length;
      list.push(chunk, typeof chunk === "string" ? "latin1" : "buffer");
    }
    this.#sent(this.#handle.writev(null, list, false), bytes, list);
  }

  #queue(chunk: string | Buffer): void {
    this.#queued!.push(chunk);
    this.unsentBytes += chunk.length;
  }

  #sent(result: number | WriteRequest, bytes: number, kept: unknown): void {
    if (result === 0) return;
    if (typeof result === "number") {
      this.#failed(result);
      return;
    }
    this.unsentBytes += bytes;
    this.#queued = [];
    result.port = this;
    result.bytes = bytes;
    result.kept = kept;
    result.oncomplete = onWritten;
    const status = result.writeStatus;
    if (typeof status !== "number") return;
    result.writeStatus = null;
    onWritten.call(result, status);
  }

  /** For the write's request. */
  written(bytes: number, status: number): void {
    this.unsentBytes -= bytes;
    const queued = this.#queued;
    this.#queued = null;
    if (status < 0) {
      this.#failed(status);
      return;
    }
    if (queued !== null && queued.length > 0 && !this.#socket.destroyed) {
      for (let i = 0; i < queued.length; i++) this.unsentBytes -= queued[i]!.length;
      this.sendChunks(queued);
    }
    if (this.#endsWhenSent && this.unsentBytes === 0) {
      this.#endsWhenSent = false;
      this.#socket.end();
    }
    this.#user.onPortSent();
  }

  #failed(status: number): void {
    if (this.#socket.destroyed) return;
    const code = getSystemErrorName(status);
    this.#socket.destroy(Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: "write" }));
  }

  end(): void {
    // The stream knows nothing of our writes: its end must not overtake them.
    if (this.unsentBytes > 0) this.#endsWhenSent = true;
    else this.#socket.end();
  }
}

function onWritten(this: WriteRequest, status: number): void {
  this.kept = null;
  this.port.written(this.bytes, status);
}

/** Called by the stream. False would stop reading. */
function onRead(this: HandledSocket, bytes: number): boolean {
  this[port]?.received(bytes);
  return true;
}

/** What the stream has read. One call of `read` gives one buffer of it, and each TLS record is one. */
function readAll(socket: Socket): Buffer {
  const parts: Buffer[] = [];
  for (let part: unknown = socket.read(); part instanceof Buffer; part = socket.read()) parts.push(part);
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

function deliverReadAhead(self: HandlePort): void {
  self.deliverReadAhead();
}

function handleOf(socket: Socket): StreamHandle | null {
  const handle: unknown = Reflect.get(socket, "_handle");
  return typeof handle === "object" && handle !== null && "writev" in handle && "useUserBuffer" in handle
    ? (handle as StreamHandle)
    : null;
}

/** Where a socket keeps its read buffer and whom it tells. */
interface ReadKeys {
  readonly buffer: symbol;
  readonly callback: symbol;
}

/** Undefined before the first look, null where handles are not the ones we know. */
let known: ReadKeys | null | undefined;

/** Lets a socket of Node's write to a handle of ours, and looks where it puts what `onread` says. */
function findReadKeys(): ReadKeys | null {
  const requests: unknown[] = [];
  const note = (request: unknown): number => {
    requests.push(request);
    return 0;
  };
  const handle = {
    writeLatin1String: note,
    writeBuffer: note,
    writev: note,
    useUserBuffer: () => {},
    readStart: () => 0,
    readStop: () => 0,
    close: () => {},
  };
  const shared = Buffer.allocUnsafe(1);
  const callback = (): boolean => true;
  try {
    const options: object = { handle, onread: { buffer: shared, callback }, allowHalfOpen: true };
    const socket = new Socket(options);
    socket.on("error", () => {});
    socket.write("x", "latin1");
    socket.write(Buffer.from("x"));
    socket.destroy();
    const symbols = Object.getOwnPropertySymbols(socket);
    const keyOf = (value: unknown): symbol | undefined => symbols.find((key) => Reflect.get(socket, key) === value);
    const keys = { buffer: keyOf(shared), callback: keyOf(callback) };
    const isKnown = requests.length === 2 && requests.every((request) => request === null);
    if (!isKnown || keys.buffer === undefined || keys.callback === undefined) return null;
    return { buffer: keys.buffer, callback: keys.callback };
  } catch {
    return null; // another Node
  }
}
