// HOT: per read. The memory that sockets read into: one buffer for all of them, because a read is over before the next
// begins. What was read is copied out to a block that is cut up until it is used up; a read of its own allocation would
// cost a malloc of 64 KiB, its shrinking, and an ArrayBuffer for the collector (0.4 µs of a 6 µs hop).
//
// A socket with bulk traffic whose user passes bytes on at once gets a block to itself: bytes are lent, not copied, and
// the block is read into again as soon as the kernel has them. Bulk TCP spent a quarter of its time in the collector
// otherwise (bench: tcp).

const blockBytes = 64 * 1024;
/** Longer reads get memory of their own, so that a block is not used up by one of them. */
const longBytes = 16 * 1024;
/** 16 MiB. Sockets beyond go on with copies. */
const maxBlocks = 256;
/** 1 MiB stays with us when the traffic is over. */
const maxFree = 16;

/** Memory that one socket reads into, and those who still have to send a part of it. */
export interface Block {
  readonly bytes: Buffer;
  holders: number;
}

export class ReadBuffer {
  /** Valid only within the read. */
  readonly shared: Buffer = Buffer.allocUnsafeSlow(blockBytes);
  #block: Buffer = Buffer.allocUnsafeSlow(blockBytes);
  #used = 0;
  readonly #free: Block[] = [];
  #blocks = 0;
  #lent: Block | null = null;

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

  /** A block for one busy socket, or null when too many are out. */
  lease(): Block | null {
    const free = this.#free.pop();
    if (free !== undefined) {
      free.holders = 1;
      return free;
    }
    if (this.#blocks >= maxBlocks) return null;
    this.#blocks++;
    return { bytes: Buffer.allocUnsafeSlow(blockBytes), holders: 1 };
  }

  giveBack(block: Block): void {
    if (--block.holders > 0) return;
    if (this.#free.length < maxFree) this.#free.push(block);
    else this.#blocks--;
  }

  /** Until `endLoan`, what is passed on may be a part of the block. */
  beginLoan(block: Block): void {
    this.#lent = block;
  }

  endLoan(): void {
    this.#lent = null;
  }

  /** Holds the block that these bytes are lent from until it is given back; null when they are nobody's loan. */
  keep(bytes: Buffer): Block | null {
    const block = this.#lent;
    if (block === null || bytes.buffer !== block.bytes.buffer) return null;
    block.holders++;
    return block;
  }
}
