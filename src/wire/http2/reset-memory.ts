// Streams that we reset, for as long as their frames may still be on their way (RFC 9113 5.1, "closed"): the last few of
// them, and how much may come for all.

/** What a late frame counts besides its payload. */
const lateFrameBytes = 256;

export class ResetMemory {
  readonly #size: number;
  readonly #lateBytesPerStream: number;
  /** The last ids, as a ring. */
  #ids: Int32Array | null = null;
  #count = 0;
  #lateBytes = 0;

  constructor(size: number, streamWindow: number) {
    this.#size = size;
    // The peer may have filled the stream's window before it hears of the reset.
    this.#lateBytesPerStream = streamWindow * 2;
  }

  add(streamId: number): void {
    this.#ids ??= new Int32Array(this.#size);
    this.#ids[this.#count++ % this.#size] = streamId;
    this.#lateBytes += this.#lateBytesPerStream;
  }

  has(streamId: number): boolean {
    return this.#ids?.includes(streamId) === true;
  }

  /** Counts a late frame. False: there are too many for all of them to have been on their way. */
  takesLate(length: number): boolean {
    this.#lateBytes -= length + lateFrameBytes;
    if (this.#lateBytes >= 0) return true;
    this.#lateBytes = 0;
    return false;
  }
}
