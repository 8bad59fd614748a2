// HOT: per socket event. One connected socket, plain or TLS, with exactly one user at a time. Writes are collected and
// go out once per event; reading can be stopped; `onClose` is called exactly once, whatever ends the connection.
// Strings are latin1. Small buffers are joined with the text before them, because one write call costs more than a copy.
import type { Socket } from "node:net";
import type { EventLoop, Flushable } from "./event-loop.ts";
import { type SocketFailure, socketFailure } from "./socket-error.ts";

export interface TransportUser {
  /** The bytes are the user's to keep. */
  onTransportData(data: Buffer): void;
  /** The peer will send no more. */
  onTransportEnd(): void;
  /** Writing may go on after `write` had returned false. */
  onTransportDrain(): void;
  /** The connection is gone; null means without an error. */
  onTransportClose(failure: SocketFailure | null): void;
}

/** Unsent bytes above which `write` answers false. */
const highWaterBytes = 64 * 1024;
/** Buffers up to this size are copied into the pending text. */
const joinBytes = 4 * 1024;
/** How long a connection that we close may take to read the rest. */
const lingerMs = 1000;

const owner: unique symbol = Symbol("transport");
interface OwnedSocket extends Socket {
  [owner]?: Transport | undefined;
}

export class Transport implements Flushable {
  readonly loop: EventLoop;
  user: TransportUser | null = null;
  bytesRead = 0;
  bytesWritten = 0;
  /** The last thing that went wrong, for logs. */
  failure: SocketFailure | null = null;
  readonly socket: OwnedSocket;
  #text = "";
  #buffers: (string | Buffer)[] = [];
  #pendingBytes = 0;
  #isDirty = false;
  #wantsDrain = false;
  #endAfterFlush = false;
  #isEnded = false;
  #isClosed = false;
  #isReading = false;
  #closeNotified = false;
  #lingerUntil = 0;

  constructor(socket: Socket, loop: EventLoop) {
    this.socket = socket;
    this.loop = loop;
    this.socket[owner] = this;
    socket.on("error", onSocketError);
    socket.on("close", onSocketClose);
    socket.on("end", onSocketEnd);
    socket.on("drain", onSocketDrain);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** True once `end` or `closeGracefully` was called. */
  get isEnded(): boolean {
    return this.#isEnded || this.#endAfterFlush;
  }

  /** Bytes that were written and have not left the process. */
  get unsentBytes(): number {
    return this.#pendingBytes + this.socket.writableLength;
  }

  /** Gives the connection to a user and starts reading. */
  attach(user: TransportUser): void {
    this.user = user;
    if (!this.#isReading && !this.#isClosed) {
      this.#isReading = true;
      this.socket.on("data", onSocketData);
      // Accepted sockets are born paused.
      this.socket.resume();
    }
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Queues latin1 text. False asks the caller to wait for `onTransportDrain`. */
  write(text: string): boolean {
    if (this.#isClosed || this.isEnded) return true;
    this.#text += text;
    return this.#queued(text.length);
  }

  /** Queues bytes; the caller must not change them afterwards. */
  writeBytes(bytes: Buffer): boolean {
    if (this.#isClosed || this.isEnded) return true;
    if (bytes.length <= joinBytes) {
      this.#text += bytes.toString("latin1");
    } else {
      if (this.#text !== "") {
        this.#buffers.push(this.#text);
        this.#text = "";
      }
      this.#buffers.push(bytes);
    }
    return this.#queued(bytes.length);
  }

  #queued(bytes: number): boolean {
    this.#pendingBytes += bytes;
    if (!this.#isDirty) {
      this.#isDirty = true;
      this.loop.flushSoon(this);
    }
    if (this.#pendingBytes + this.socket.writableLength < highWaterBytes) return true;
    this.#wantsDrain = true;
    return false;
  }

  flush(): void {
    this.#isDirty = false;
    if (this.#isClosed) return;
    const socket = this.socket;
    this.bytesWritten += this.#pendingBytes;
    this.#pendingBytes = 0;
    if (this.#buffers.length === 0) {
      if (this.#text !== "") socket.write(this.#text, "latin1");
    } else {
      this.#flushMany();
    }
    this.#text = "";
    if (this.#endAfterFlush) {
      this.#endAfterFlush = false;
      this.#isEnded = true;
      socket.end();
      return;
    }
    if (this.#wantsDrain && !socket.writableNeedDrain) {
      this.#wantsDrain = false;
      this.user?.onTransportDrain();
    }
  }

  #flushMany(): void {
    const socket = this.socket;
    socket.cork();
    for (const item of this.#buffers) {
      if (typeof item === "string") socket.write(item, "latin1");
      else socket.write(item);
    }
    if (this.#text !== "") socket.write(this.#text, "latin1");
    socket.uncork();
    this.#buffers = [];
  }

  /** Sends what is queued, then says that no more will come. */
  end(): void {
    if (this.#isClosed || this.isEnded) return;
    this.#endAfterFlush = true;
    if (!this.#isDirty) {
      this.#isDirty = true;
      this.loop.flushSoon(this);
    }
  }

  /**
   * Ends, reads and drops what the peer still sends for a moment, then closes. Closing at once with unread bytes would
   * reset the connection, and the peer could lose the answer.
   */
  closeGracefully(): void {
    if (this.#isClosed || this.#lingerUntil > 0) return;
    this.end();
    this.#lingerUntil = this.loop.now + lingerMs;
    this.loop.sweepAlways(this);
    this.resume();
  }

  sweep(now: number): void {
    if (now >= this.#lingerUntil) this.destroy();
  }

  /** Closes at once. The user is told now. */
  destroy(): void {
    if (this.#isClosed) return;
    this.socket.destroy();
    this.closed();
  }

  /** Closes with a TCP reset, so that the peer does not take the end for a complete message. */
  reset(): void {
    if (this.#isClosed) return;
    this.socket.resetAndDestroy();
    this.closed();
  }

  /** For the socket's listeners. */
  received(data: Buffer): void {
    if (this.#lingerUntil > 0) return;
    this.bytesRead += data.length;
    this.user?.onTransportData(data);
  }

  endReceived(): void {
    if (this.#lingerUntil > 0) this.destroy();
    else this.user?.onTransportEnd();
  }

  drained(): void {
    if (!this.#wantsDrain) return;
    this.#wantsDrain = false;
    this.user?.onTransportDrain();
  }

  failed(error: unknown): void {
    this.failure ??= socketFailure(error);
  }

  closed(): void {
    this.#isClosed = true;
    if (this.#closeNotified) return;
    this.#closeNotified = true;
    if (this.#lingerUntil > 0) this.loop.stopSweeping(this);
    this.#text = "";
    this.#buffers = [];
    const user = this.user;
    this.user = null;
    user?.onTransportClose(this.failure);
  }
}

function onSocketData(this: OwnedSocket, data: Buffer): void {
  const transport = this[owner];
  if (transport === undefined) return;
  const loop = transport.loop;
  loop.enter();
  try {
    transport.received(data);
  } catch (error) {
    broken(transport, error);
  } finally {
    loop.leave();
  }
}

function onSocketEnd(this: OwnedSocket): void {
  const transport = this[owner];
  if (transport === undefined) return;
  transport.loop.enter();
  try {
    transport.endReceived();
  } catch (error) {
    broken(transport, error);
  } finally {
    transport.loop.leave();
  }
}

function onSocketDrain(this: OwnedSocket): void {
  const transport = this[owner];
  if (transport === undefined) return;
  transport.loop.enter();
  try {
    transport.drained();
  } catch (error) {
    broken(transport, error);
  } finally {
    transport.loop.leave();
  }
}

function onSocketError(this: OwnedSocket, error: unknown): void {
  this[owner]?.failed(error);
}

function onSocketClose(this: OwnedSocket): void {
  const transport = this[owner];
  if (transport === undefined) return;
  this[owner] = undefined;
  transport.loop.enter();
  try {
    transport.closed();
  } catch (error) {
    broken(transport, error);
  } finally {
    transport.loop.leave();
  }
}

/** The border of a connection: a broken invariant ends this connection and no other. */
function broken(transport: Transport, error: unknown): void {
  transport.loop.onBroken(error);
  try {
    transport.destroy();
  } catch (second) {
    transport.loop.onBroken(second);
  }
}
