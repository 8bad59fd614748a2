// HOT: per read. The memory that sockets read into: one buffer for all of them, because a read is over before the next
// begins. What was read is copied out to a block that is cut up until it is used up; a read of its own allocation would
// cost a malloc of 64 KiB, its shrinking, and an ArrayBuffer for the collector (0.4 µs of a 6 µs hop).

const bufferBytes = 64 * 1024;
const blockBytes = 64 * 1024;
/** Longer reads get memory of their own, so that a block is not used up by one of them. */
const longBytes = 16 * 1024;

export class ReadBuffer {
  /** Valid only within the read. */
  readonly shared: Buffer = Buffer.allocUnsafeSlow(bufferBytes);
  #block: Buffer = Buffer.allocUnsafeSlow(blockBytes);
  #used = 0;

  /** The first bytes of the shared buffer, for keeps. */
  take(bytes: number): Buffer {
    if (bytes > longBytes) {
      const own = Buffer.allocUnsafeSlow(bytes);
      this.shared.copy(own, 0, 0, bytes);
      return own;
    }
    if (this.#used + bytes > blockBytes) {
      this.#block = Buffer.allocUnsafeSlow(blockBytes);
      this.#used = 0;
    }
    const start = this.#used;
    const end = start + bytes;
    this.shared.copy(this.#block, start, 0, bytes);
    this.#used = (end + 7) & ~7;
    return this.#block.subarray(start, end);
  }
}
