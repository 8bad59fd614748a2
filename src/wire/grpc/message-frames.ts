// HOT: per chunk of a gRPC body. Finds the messages in it: each has a flag byte and a length of four bytes in front.

const headerLength = 5;

export class MessageFrames {
  /** Messages that have begun. */
  count = 0;
  #headerBytes = 0;
  #length = 0;
  /** Bytes of the present message that are still to come. */
  #left = 0;

  /** Whether the last chunk ended with the end of a message. */
  get isBetween(): boolean {
    return this.#headerBytes === 0 && this.#left === 0;
  }

  /** Goes through a chunk. */
  scan(data: Uint8Array): void {
    for (let at = 0; at < data.length; ) at = this.next(data, at);
  }

  /** Goes on from `at` to the end of the present message, or of the chunk if that comes first: where that is. */
  next(data: Uint8Array, at: number): number {
    const end = data.length;
    while (this.#left === 0 && at < end) {
      if (this.#headerBytes > 0) this.#length = (this.#length * 256 + data[at]!) % 0x1_0000_0000;
      at++;
      if (++this.#headerBytes < headerLength) continue;
      this.#headerBytes = 0;
      this.count++;
      this.#left = this.#length;
      this.#length = 0;
      if (this.#left === 0) return at;
    }
    const taken = Math.min(this.#left, end - at);
    this.#left -= taken;
    return at + taken;
  }
}
