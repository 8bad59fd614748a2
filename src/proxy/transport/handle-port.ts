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
import type { Block, ReadBuffer } from "./read-buffer.ts";

interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | null;
  /** Set when the write was over before `oncomplete` was. */
  writeStatus: number | null;
  port: HandlePort;
  bytes: number;
  /** Keeps the memory that is being written. */
  kept: unknown;
  /** Blocks to give back when it is over. */
  blocks: Block[] | null;
}

interface StreamHandle {
  readonly writeQueueSize?: number;
  writeLatin1String(request: null, text: string): number | WriteRequest;
  writeBuffer(request: null, bytes: Buffer): number | WriteRequest;
  writev(request: null, chunks: readonly unknown[], areBuffers: boolean): number | WriteRequest;
  useUserBuffer(buffer: Buffer): void;
}

/** A read of this size speaks for bulk traffic: a full TLS record, or much at once. */
const busyBytes = 16 * 1024;
/** So many of them in a row get a socket a block of its own, so many smaller ones take it away. */
const enterReads = 4;
const leaveReads = 64;

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
  writeFailure: Error | null = null;
  #outlivesFailedWrites = false;
  /**
   * What came while a write was under way, or null while none is. A TLS handle takes one write at a time and ends the
   * process over a second one (an assertion in TLSWrap of Node 26.10).
   */
  #queued: (string | Buffer)[] | null = null;
  /** Blocks of which parts wait in the queue. */
  #queuedBlocks: Block[] | null = null;
  readonly #socket: HandledSocket;
  readonly #handle: StreamHandle;
  readonly #user: PortUser;
  readonly #memory: ReadBuffer;
  readonly #keys: ReadKeys;
  #endsWhenSent = false;
  #isPaused = false;
  /** `resume` was called after the last `pause`. */
  #isResumed = false;
  /** The stream has read before us, as when TLS data came with the end of the handshake. */
  #hasReadAhead = false;
  #lendsReads = false;
  /** The block that is read into; null while it is the buffer of all. */
  #own: Block | null = null;
  /** What is to be read into next; null: the same as now. */
  #next: Buffer | null = null;
  /** Reads in a row that speak for the other way of reading. */
  #streak = 0;

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
    if (!this.#isResumed) return;
    this.#isResumed = false;
    process.nextTick(pauseAgain, this);
  }

  /** A stream that was resumed starts its handle in the next tick, whatever was said since. */
  pauseAgain(): void {
    if (this.#isPaused) this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#isResumed = true;
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

  lendReads(): void {
    this.#lendsReads = true;
  }

  /** For the socket: that many bytes are in the buffer. */
  received(bytes: number): void {
    const own = this.#own;
    if (own === null) {
      if (this.#lendsReads && this.#isStreak(bytes >= busyBytes, enterReads)) this.#becomeBusy();
      this.#user.onPortData(this.#memory.take(bytes));
      return;
    }
    const memory = this.#memory;
    memory.beginLoan(own);
    this.#user.onPortData(own.bytes.subarray(0, bytes));
    memory.endLoan();
    if (this.#own !== own) return; // the connection is closed
    if (own.holders > 1) this.#readInto(memory.lease());
    else if (this.#isStreak(bytes < busyBytes, leaveReads)) this.#readInto(null);
  }

  #isStreak(speaks: boolean, length: number): boolean {
    this.#streak = speaks ? this.#streak + 1 : 0;
    if (this.#streak < length) return false;
    this.#streak = 0;
    return true;
  }

  #becomeBusy(): void {
    // From now on the stream asks what to read into after each read.
    Reflect.set(this.#socket, this.#keys.generator, () => {
      const next = this.#next;
      this.#next = null;
      return next;
    });
    this.#readInto(this.#memory.lease());
  }

  /** Null: into the buffer of all. */
  #readInto(block: Block | null): void {
    if (this.#own !== null) this.#memory.giveBack(this.#own);
    this.#own = block;
    this.#next = block === null ? this.#memory.shared : block.bytes;
  }

  closed(): void {
    if (this.#own !== null) this.#memory.giveBack(this.#own);
    this.#own = null;
    this.#lendsReads = false;
  }

  sendText(text: string): void {
    if (this.writeFailure !== null) return;
    if (this.#queued !== null) this.#queue(text);
    else this.#sent(this.#handle.writeLatin1String(null, text), text.length, null, null);
  }

  sendChunks(chunks: readonly (string | Buffer)[]): void {
    if (this.writeFailure !== null) return;
    if (this.#queued !== null) {
      for (let i = 0; i < chunks.length; i++) this.#queue(chunks[i]!);
      return;
    }
    this.#send(chunks, null);
  }

  #send(chunks: readonly (string | Buffer)[], blocks: Block[] | null): void {
    const first = chunks[0]!;
    if (chunks.length === 1 && typeof first !== "string") {
      this.#sent(this.#handle.writeBuffer(null, first), first.length, first, blocks);
      return;
    }
    const list: (string | Buffer)[] = [];
    let bytes = 0;
    for (let i = 0; i < chunks.length; i++) {
      const chunk = chunks[i]!;
      bytes += chunk.length;
      list.push(chunk, typeof chunk === "string" ? "latin1" : "buffer");
    }
    this.#sent(this.#handle.writev(null, list, false), bytes, list, blocks);
  }

  #queue(chunk: string | Buffer): void {
    this.#queued!.push(chunk);
    this.unsentBytes += chunk.length;
    const block = typeof chunk === "string" ? null : this.#memory.keep(chunk);
    if (block !== null) (this.#queuedBlocks ??= []).push(block);
  }

  #sent(result: number | WriteRequest, bytes: number, kept: unknown, blocks: Block[] | null): void {
    if (typeof result === "number") {
      if (blocks !== null) this.#giveBack(blocks);
      if (result !== 0) this.#failed(result);
      return;
    }
    this.unsentBytes += bytes;
    this.#queued = [];
    result.port = this;
    result.bytes = bytes;
    result.kept = kept;
    result.blocks = blocks;
    this.#keepLent(result);
    result.oncomplete = onWritten;
    const status = result.writeStatus;
    if (typeof status !== "number") return;
    result.writeStatus = null;
    onWritten.call(result, status);
  }

  /** The system still reads what it was given. */
  #keepLent(request: WriteRequest): void {
    const { kept } = request;
    const chunks: readonly unknown[] = Array.isArray(kept) ? kept : [kept];
    for (let i = 0; i < chunks.length; i++) {
      const chunk = chunks[i];
      const block = chunk instanceof Buffer ? this.#memory.keep(chunk) : null;
      if (block !== null) (request.blocks ??= []).push(block);
    }
  }

  #giveBack(blocks: readonly Block[]): void {
    for (let i = 0; i < blocks.length; i++) this.#memory.giveBack(blocks[i]!);
  }

  /** For the write's request. */
  written(bytes: number, status: number, blocks: readonly Block[] | null): void {
    this.unsentBytes -= bytes;
    if (blocks !== null) this.#giveBack(blocks);
    const queued = this.#queued;
    const queuedBlocks = this.#queuedBlocks;
    this.#queued = null;
    this.#queuedBlocks = null;
    if (status < 0) {
      if (queuedBlocks !== null) this.#giveBack(queuedBlocks);
      this.#failed(status);
      return;
    }
    if (queued !== null && queued.length > 0 && !this.#socket.destroyed) {
      for (let i = 0; i < queued.length; i++) this.unsentBytes -= queued[i]!.length;
      this.#send(queued, queuedBlocks);
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
    const failure = Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: "write" });
    if (this.#outlivesFailedWrites) {
      this.writeFailure = failure;
      this.unsentBytes = 0;
      this.#user.onPortSent();
    } else {
      this.#socket.destroy(failure);
    }
  }

  outliveFailedWrites(): void {
    this.#outlivesFailedWrites = true;
  }

  end(): void {
    // The stream knows nothing of our writes: its end must not overtake them.
    if (this.unsentBytes > 0) this.#endsWhenSent = true;
    else this.#socket.end();
  }
}

function onWritten(this: WriteRequest, status: number): void {
  this.kept = null;
  this.port.written(this.bytes, status, this.blocks);
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

function pauseAgain(self: HandlePort): void {
  self.pauseAgain();
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
  /** A function that is asked for the next buffer after each read. */
  readonly generator: symbol;
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
  const nextBuffer = (): Buffer => shared;
  try {
    const optionsWith = (buffer: unknown): object => ({ handle, onread: { buffer, callback }, allowHalfOpen: true });
    const socket = new Socket(optionsWith(shared));
    socket.on("error", () => {});
    socket.write("x", "latin1");
    socket.write(Buffer.from("x"));
    socket.destroy();
    const symbols = Object.getOwnPropertySymbols(socket);
    const keyOf = (value: unknown): symbol | undefined => symbols.find((key) => Reflect.get(socket, key) === value);
    const [buffer, callbackKey] = [keyOf(shared), keyOf(callback)];
    const asking = new Socket(optionsWith(nextBuffer));
    asking.destroy();
    const generator = symbols.find((key) => Reflect.get(asking, key) === nextBuffer);
    const isKnown = requests.length === 2 && requests.every((request) => request === null);
    if (!isKnown || buffer === undefined || callbackKey === undefined || generator === undefined) return null;
    return { buffer, callback: callbackKey, generator };
  } catch {
    return null; // another Node
  }
}
