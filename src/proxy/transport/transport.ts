// HOT: per socket event. One connected socket, plain or TLS, with exactly one user at a time. Writes are collected and
// go out once per event; reading can be stopped; `onClose` is called exactly once, whatever ends the connection. What
// moves the bytes is a port. Strings are latin1. Small buffers are joined with the text before them, because one write call costs more than a copy.
import type { Socket } from "node:net";
import type { EventLoop, Flushable } from "./event-loop.ts";
import { openHandlePort } from "./handle-port.ts";
import type { Port, PortUser } from "./port.ts";
import { type SocketFailure, socketFailure } from "./socket-error.ts";
import { StreamPort } from "./stream-port.ts";

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

/** Looks at bytes on their way to the user, from the first one until it takes itself away. */
export interface TransportTap {
  /** What goes on to the user; null for nothing yet. */
  onTransportRead(transport: Transport, data: Buffer): Buffer | null;
  /** The peer will send no more: what was kept and goes on. */
  onTransportReadEnd(transport: Transport): Buffer | null;
}

/** Stands between a connection and its user, behind the tap, and sees and changes the bytes in both directions. */
export interface TransportFilter {
  /** True while writers have to wait for what is held here. */
  readonly isFull: boolean;
  /** Gives what the user gets; null for nothing now. */
  onRead(data: Buffer): Buffer | null;
  /** False holds the peer's end back. */
  onReadEnd(): boolean;
  /** Gives what is sent; null for nothing now. */
  onWrite(data: Buffer): Buffer | null;
  /** False holds our end back, until `sendEnd`. */
  onWriteEnd(): boolean;
}

/** Unsent bytes above which `write` answers false, where the configuration says nothing. */
const defaultBufferBytes = 64 * 1024;
/** Buffers up to this size are copied into the pending text. */
const joinBytes = 4 * 1024;
/** How long a connection that we close waits for the peer to close too (Envoy's delayed_close_timeout). */
const defaultLingerMs = 1000;
/** How long a peer may leave unsent bytes untouched (Envoy's default of stream_idle_timeout). */
const defaultStallMs = 300_000;

const owner: unique symbol = Symbol("transport");
interface OwnedSocket extends Socket {
  [owner]?: Transport | undefined;
}

export class Transport implements Flushable, PortUser {
  readonly loop: EventLoop;
  user: TransportUser | null = null;
  tap: TransportTap | null = null;
  filter: TransportFilter | null = null;
  bytesRead = 0;
  bytesWritten = 0;
  /** The last thing that went wrong, for logs. */
  failure: SocketFailure | null = null;
  readonly socket: OwnedSocket;
  /** The TCP connection below; `socket` itself without TLS. */
  readonly #raw: Socket;
  readonly #port: Port;
  #text = "";
  #buffers: (string | Buffer)[] = [];
  #pendingBytes = 0;
  #isDirty = false;
  #wantsDrain = false;
  #endAfterFlush = false;
  #isEnded = false;
  /** The filter holds our end back. */
  #isEndHeld = false;
  #isClosed = false;
  #isReading = false;
  #closeNotified = false;
  #isLending = false;
  #bufferBytes = defaultBufferBytes;
  /** Longest time without progress of a write before the connection is given up. */
  #stallMs = defaultStallMs;
  #lingerMs = 0;
  /** When a closing connection is destroyed, moved on while bytes are still being sent; 0 when it is not closing. */
  #lingerUntil = 0;
  /** The sign of progress as it was last looked at, and since when it has not changed. */
  #progressSeen = 0;
  #progressSince = 0;

  /** `raw`: the TCP connection that a TLS socket was made from. */
  constructor(socket: Socket, loop: EventLoop, raw: Socket = socket) {
    this.socket = socket;
    this.loop = loop;
    this.#raw = raw;
    this.#port = openHandlePort(socket, this, loop.readBuffer) ?? new StreamPort(socket, this);
    this.socket[owner] = this;
    socket.on("error", onSocketError);
    socket.on("close", onSocketClose);
    socket.on("end", onSocketEnd);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** True once `end` or `closeGracefully` was called. */
  get isEnded(): boolean {
    return this.#isEnded || this.#endAfterFlush || this.#isEndHeld;
  }

  /** Bytes that were written and have not left the process. */
  get unsentBytes(): number {
    return this.#pendingBytes + this.#port.unsentBytes;
  }

  /** True while writers are asked to wait. */
  get isCongested(): boolean {
    return this.#pendingBytes + this.#port.unsentBytes >= this.#bufferBytes;
  }

  /** Sets the unsent bytes at which writers are asked to wait, and how long a peer may refuse to take them. */
  setLimits(bufferBytes: number, stallMs: number): void {
    if (bufferBytes > 0) this.#bufferBytes = bufferBytes;
    if (stallMs > 0) this.#stallMs = stallMs;
  }

  /**
   * True when the peer has taken none of the unsent bytes for too long: its window is closed, or it is gone without a
   * word. The answer is as fine as the calls are frequent.
   */
  isStalled(now: number): boolean {
    const { queueBytes } = this.#port;
    // What is added to the queue says nothing about the peer: a reset of its streams must not set the clock back.
    const progress = this.bytesWritten - queueBytes;
    if (this.#pendingBytes + queueBytes === 0 || progress !== this.#progressSeen) {
      this.#progressSeen = progress;
      this.#progressSince = now;
    }
    return now - this.#progressSince >= this.#stallMs;
  }

  /** Gives the connection to a user and starts reading. */
  attach(user: TransportUser): void {
    this.user = user;
    if (!this.#isReading && !this.#isClosed) {
      this.#isReading = true;
      this.#port.startReading();
    }
  }

  /**
   * For users that pass all bytes on to the other transport at once: what they get is theirs only until the call returns,
   * which saves a copy of bulk traffic. Changes nothing where somebody reads along.
   */
  lendReadsTo(other: Transport): void {
    if (this.#isWatched || other.#isWatched) return;
    this.#isLending = true;
    this.#port.lendReads();
  }

  get #isWatched(): boolean {
    return this.tap !== null || this.filter !== null;
  }

  pause(): void {
    this.#port.pause();
  }

  resume(): void {
    this.#port.resume();
  }

  /** Reads what the peer said before it stopped listening, even when a write has failed. */
  outliveFailedWrites(): void {
    this.#port.outliveFailedWrites();
  }

  /** Queues latin1 text. False asks the caller to wait for `onTransportDrain`. */
  write(text: string): boolean {
    if (this.#isClosed || this.isEnded) return true;
    if (this.filter !== null) return this.#writeFiltered(Buffer.from(text, "latin1"));
    this.#text += text;
    return this.#queued(text.length);
  }

  /** Queues bytes; the caller must not change them afterwards. */
  writeBytes(bytes: Buffer): boolean {
    if (this.#isClosed || this.isEnded) return true;
    return this.filter === null ? this.send(bytes) : this.#writeFiltered(bytes);
  }

  #writeFiltered(bytes: Buffer): boolean {
    const filter = this.filter!;
    const out = filter.onWrite(bytes);
    const maySendMore = out === null || this.#isClosed || this.send(out);
    return maySendMore && !filter.isFull;
  }

  /** As `writeBytes`, past the filter. */
  send(bytes: Buffer): boolean {
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
    if (!this.isCongested) return true;
    this.#wantsDrain = true;
    return false;
  }

  flush(): void {
    this.#isDirty = false;
    if (this.#isClosed) return;
    this.bytesWritten += this.#pendingBytes;
    this.#pendingBytes = 0;
    if (this.#buffers.length > 0) {
      if (this.#text !== "") this.#buffers.push(this.#text);
      this.#port.sendChunks(this.#buffers);
      this.#buffers = [];
    } else if (this.#text !== "") {
      this.#port.sendText(this.#text);
    }
    this.#text = "";
    if (this.#endAfterFlush) {
      this.#endAfterFlush = false;
      this.#isEnded = true;
      this.#port.end();
      return;
    }
    this.#tellDrained();
  }

  #tellDrained(): void {
    if (!this.#wantsDrain || this.isCongested) return;
    this.#wantsDrain = false;
    this.user?.onTransportDrain();
  }

  /** Sends what is queued, then says that no more will come. */
  end(): void {
    if (this.#isClosed || this.isEnded) return;
    if (this.filter !== null && !this.filter.onWriteEnd()) this.#isEndHeld = true;
    else this.sendEnd();
  }

  /** As `end`, past the filter. */
  sendEnd(): void {
    if (this.#isClosed || this.#isEnded) return;
    this.#isEndHeld = false;
    this.#endAfterFlush = true;
    if (!this.#isDirty) {
      this.#isDirty = true;
      this.loop.flushSoon(this);
    }
  }

  /**
   * Ends, then reads and drops what the peer still sends until it closes too, or until `lingerMs` after the last byte
   * left. Closing at once with unread bytes would reset the connection, and the peer could lose the answer.
   */
  closeGracefully(lingerMs: number = defaultLingerMs): void {
    if (this.#isClosed || this.#lingerUntil > 0) return;
    this.end();
    this.#lingerMs = lingerMs;
    this.#lingerUntil = this.loop.now + lingerMs;
    this.loop.sweepAlways(this);
    this.resume();
  }

  sweep(now: number): void {
    if (this.unsentBytes > 0) {
      if (this.isStalled(now)) this.destroy();
      else this.#lingerUntil = now + this.#lingerMs;
    } else if (now >= this.#lingerUntil) {
      this.destroy();
    }
  }

  /** Closes at once. The user is told now. */
  destroy(): void {
    if (this.#isClosed) return;
    this.socket.destroy();
    this.closed();
  }

  /** Closes in a way that the peer can't take for a proper end: with a TCP reset, or TLS without a close_notify. */
  reset(): void {
    if (this.#isClosed) return;
    try {
      this.#raw.resetAndDestroy();
    } catch {
      // Only TCP has a reset; a UNIX socket has to do with an end.
    }
    this.socket.destroy();
    this.closed();
  }

  onPortData(data: Buffer): void {
    if (this.#lingerUntil > 0) return;
    const { loop } = this;
    // Within another event what is passed on is not sent before that one ends.
    const own = this.#isLending && loop.isInEvent ? Buffer.from(data) : data;
    loop.enter();
    try {
      this.received(own);
    } catch (error) {
      broken(this, error);
    } finally {
      loop.leave();
    }
  }

  onPortSent(): void {
    if (!this.#wantsDrain) return;
    const { loop } = this;
    loop.enter();
    try {
      this.#tellDrained();
    } catch (error) {
      broken(this, error);
    } finally {
      loop.leave();
    }
  }

  /** Takes bytes that were read before there was a transport. */
  received(data: Buffer): void {
    this.bytesRead += data.length;
    if (this.tap === null && this.filter === null) this.user?.onTransportData(data);
    else this.#passTap(this.tap === null ? data : this.tap.onTransportRead(this, data));
  }

  #passTap(data: Buffer | null): void {
    if (data === null || this.#isClosed) return;
    const bytes = this.filter === null ? data : this.filter.onRead(data);
    if (bytes !== null && !this.#isClosed) this.user?.onTransportData(bytes);
  }

  /** For the socket's listeners. */
  endReceived(): void {
    const { writeFailure } = this.#port;
    if (writeFailure !== null) {
      // A peer that did not take all that was sent has not ended properly, whatever its end looks like.
      this.socket.destroy(writeFailure);
      return;
    }
    if (this.tap !== null) this.#passTap(this.tap.onTransportReadEnd(this));
    if (this.#lingerUntil === 0) {
      if (this.filter === null || this.filter.onReadEnd()) this.user?.onTransportEnd();
      return;
    }
    if (this.unsentBytes === 0) this.destroy();
    // A peer that says no more may still read: it gets the rest, and nothing is waited for after that.
    else this.#lingerMs = 0;
  }

  failed(error: unknown): void {
    this.failure ??= socketFailure(error);
  }

  closed(): void {
    this.#isClosed = true;
    if (this.#closeNotified) return;
    this.#closeNotified = true;
    this.#port.closed();
    if (this.#lingerUntil > 0) this.loop.stopSweeping(this);
    this.#text = "";
    this.#buffers = [];
    const user = this.user;
    this.user = null;
    user?.onTransportClose(this.failure);
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
