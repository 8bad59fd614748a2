// HOT: per DATA frame that has to wait. A queue of bytes. Small pieces are joined, because each alone would hold the whole
// buffer that it was read into, and thousands of them would cost far more than their bytes.

/** Pieces below this size are copied together. */
const joinBelow = 2 * 1024;
/** Copies go into blocks that grow with the queue. */
const firstBlockBytes = 1024;
const largestBlockBytes = 8 * 1024;

export class ByteQueue {
  length = 0;
  readonly #pieces: Buffer[] = [];
  #first = 0;
  /** Offset in the first piece. */
  #offset = 0;
  /** Copied pieces: the block at the end of the queue, and how far it is filled. */
  #block: Buffer | null = null;
  #filled = 0;

  push(data: Buffer): void {
    const count = data.length;
    if (count === 0) return;
    this.length += count;
    if (count >= joinBelow) {
      this.#closeBlock();
      this.#pieces.push(data);
      return;
    }
    if (this.#block !== null && this.#block.length - this.#filled < count) this.#closeBlock();
    if (this.#block === null) {
      const size = Math.min(largestBlockBytes, Math.max(firstBlockBytes, this.length));
      this.#block = Buffer.allocUnsafeSlow(size);
    }
    data.copy(this.#block, this.#filled);
    this.#filled += count;
  }

  #closeBlock(): void {
    if (this.#block === null) return;
    this.#pieces.push(this.#block.subarray(0, this.#filled));
    this.#block = null;
    this.#filled = 0;
  }

  /** Takes at most that many bytes from the front; the queue is not empty. */
  shift(most: number): Buffer {
    if (this.#first === this.#pieces.length) this.#closeBlock();
    const piece = this.#pieces[this.#first]!;
    const left = piece.length - this.#offset;
    const count = left < most ? left : most;
    this.length -= count;
    if (count < left) {
      const part = piece.subarray(this.#offset, this.#offset + count);
      this.#offset += count;
      return part;
    }
    const part = this.#offset === 0 ? piece : piece.subarray(this.#offset);
    this.#offset = 0;
    this.#first++;
    if (this.#first === this.#pieces.length) {
      this.#pieces.length = 0;
      this.#first = 0;
    } else if (this.#first >= 64) {
      this.#pieces.splice(0, this.#first);
      this.#first = 0;
    }
    return part;
  }

  clear(): void {
    this.length = 0;
    this.#pieces.length = 0;
    this.#first = 0;
    this.#offset = 0;
    this.#block = null;
    this.#filled = 0;
  }
}
