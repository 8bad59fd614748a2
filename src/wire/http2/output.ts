// HOT: per frame (bench/http2-codec.ts). Frames of one event-loop turn, written one after the other into a slab and handed on as few buffers.
// What was handed on is never written again: the next turn goes on behind it, until the slab is used up.
import { END_STREAM, FRAME_HEADER_BYTES } from "./frame.ts";

export interface ByteSink {
  /** Takes bytes that nobody changes any more. False asks to wait before more DATA is produced. */
  writeBytes(bytes: Buffer): boolean;
}

const firstSlabBytes = 2 * 1024;
const largestSlabBytes = 64 * 1024;
/** Payloads up to this size are copied, because a buffer of its own costs a write more than the copy. */
const copyBytes = 4 * 1024;

const noBytes: Buffer = Buffer.alloc(0);

export class FrameOutput {
  /** The slab and the position of the next byte in it. A frame that was begun lies between `frameStart` and `at`. */
  bytes: Buffer = noBytes;
  at = 0;
  frameStart = 0;
  /** First byte of the slab that is not handed on yet. */
  #start = 0;
  #slabBytes: number = firstSlabBytes;
  readonly #pending: Buffer[] = [];
  #pendingBytes = 0;
  #releaseAt = -1;

  /** Bytes waiting for `flush`. */
  get length(): number {
    return this.#pendingBytes + this.at - this.#start;
  }

  /** Makes room for that many bytes at `at`. */
  ensure(count: number): void {
    if (this.bytes.length - this.at < count) this.#nextSlab(count);
  }

  #nextSlab(count: number): void {
    const partial = this.at - this.frameStart;
    this.#cut(this.frameStart);
    const slab = Buffer.allocUnsafeSlow(Math.max(this.#slabBytes, (partial + count) * 2));
    if (this.#slabBytes < largestSlabBytes) this.#slabBytes *= 4;
    if (this.#slabBytes > largestSlabBytes) this.#slabBytes = largestSlabBytes;
    this.bytes.copy(slab, 0, this.frameStart, this.at);
    this.bytes = slab;
    this.#start = 0;
    this.frameStart = 0;
    this.at = partial;
  }

  #cut(end: number): void {
    if (end === this.#start) return;
    this.#pending.push(this.bytes.subarray(this.#start, end));
    this.#pendingBytes += end - this.#start;
    this.#start = end;
  }

  /** Begins a frame whose length is set by `endFrame`. */
  beginFrame(type: number, flags: number, streamId: number): void {
    this.frameStart = this.at;
    this.ensure(FRAME_HEADER_BYTES);
    const bytes = this.bytes;
    const at = this.at;
    bytes[at + 3] = type;
    bytes[at + 4] = flags;
    bytes[at + 5] = streamId >>> 24;
    bytes[at + 6] = streamId >>> 16;
    bytes[at + 7] = streamId >>> 8;
    bytes[at + 8] = streamId;
    this.at = at + FRAME_HEADER_BYTES;
  }

  endFrame(): void {
    const bytes = this.bytes;
    const start = this.frameStart;
    const length = this.at - start - FRAME_HEADER_BYTES;
    bytes[start] = length >>> 16;
    bytes[start + 1] = length >>> 8;
    bytes[start + 2] = length;
    this.frameStart = this.at;
  }

  uint32(value: number): void {
    this.ensure(4);
    const bytes = this.bytes;
    const at = this.at;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    this.at = at + 4;
  }

  uint16(value: number): void {
    this.ensure(2);
    this.bytes[this.at++] = value >>> 8;
    this.bytes[this.at++] = value;
  }

  copy(from: Buffer, start: number, end: number): void {
    this.ensure(end - start);
    from.copy(this.bytes, this.at, start, end);
    this.at += end - start;
  }

  /** Writes a DATA frame with the payload `data[start, end)`. */
  dataFrame(type: number, streamId: number, data: Buffer, start: number, end: number, isEnd: boolean): void {
    const length = end - start;
    if (length <= copyBytes) {
      this.frameStart = this.at;
      this.ensure(FRAME_HEADER_BYTES + length);
    }
    this.beginFrame(type, isEnd ? END_STREAM : 0, streamId);
    if (length <= copyBytes) {
      data.copy(this.bytes, this.at, start, end);
      this.at += length;
      this.endFrame();
      return;
    }
    const bytes = this.bytes;
    bytes[this.frameStart] = length >>> 16;
    bytes[this.frameStart + 1] = length >>> 8;
    bytes[this.frameStart + 2] = length;
    this.frameStart = this.at;
    this.#cut(this.at);
    this.#pending.push(start === 0 && end === data.length ? data : data.subarray(start, end));
    this.#pendingBytes += length;
  }

  /** Lets go of the slab, if nothing was written since the last call. */
  releaseIfIdle(): void {
    if (this.at === this.#releaseAt && this.length === 0) {
      this.bytes = noBytes;
      this.at = 0;
      this.frameStart = 0;
      this.#start = 0;
      this.#slabBytes = firstSlabBytes;
    }
    this.#releaseAt = this.at;
  }

  /** Hands everything on. Returns the sink's last answer. */
  flush(sink: ByteSink): boolean {
    this.#cut(this.at);
    let accepts = true;
    const pending = this.#pending;
    for (let i = 0; i < pending.length; i++) accepts = sink.writeBytes(pending[i]!);
    pending.length = 0;
    this.#pendingBytes = 0;
    return accepts;
  }
}
