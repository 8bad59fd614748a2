// How a transport moves bytes over its socket: over the handle below Node's streams (handle-port.ts), or over the
// streams themselves (stream-port.ts) where this Node's handles are not the ones we know. Both keep the same promises.

export interface Port {
  /** Bytes that were handed over and have not left. */
  readonly unsentBytes: number;
  /** As `unsentBytes`, and it shrinks within one long write: the sign of a peer that still reads. */
  readonly queueBytes: number;
  /** Delivers what came before and what comes from now on. */
  startReading(): void;
  /**
   * From now on bytes may be lent to the user: valid until `onPortData` returns, and as long as another port needs that
   * they are sent over in that time.
   */
  lendReads(): void;
  pause(): void;
  resume(): void;
  /** Latin1. */
  sendText(text: string): void;
  /** Text is latin1; buffers must not change afterwards. */
  sendChunks(chunks: readonly (string | Buffer)[]): void;
  /** Says that no more will come, once everything has left. */
  end(): void;
  /** The connection is gone: gives back what it holds. */
  closed(): void;
  /**
   * A write that the peer does not take any more is no end: what it said before is read first, and then its end. Without
   * this call a failed write closes the socket, and an answer that was on its way is lost.
   */
  outliveFailedWrites(): void;
  /** Why nothing is written any more, where reading goes on. */
  readonly writeFailure: Error | null;
}

export interface PortUser {
  /** The bytes are the user's to keep, unless it said that they may be lent. */
  onPortData(data: Buffer): void;
  /** `unsentBytes` became less. */
  onPortSent(): void;
}
