// HOT: per frame (bench/http2-codec.ts). The streams of a connection by id: open addressing over an array. Ids come in
// order, so nearly every look-up is one comparison; a Map costs several times as much per stream.
import type { Http2Stream } from "./stream.ts";

export class StreamTable {
  size = 0;
  #slots: (Http2Stream | null)[] = Array.from<Http2Stream | null>({ length: 16 }).fill(null);
  #mask = 15;

  get(id: number): Http2Stream | undefined {
    let at = (id >>> 1) & this.#mask;
    for (;;) {
      const stream = this.#slots[at]!;
      if (stream === null) return undefined;
      if (stream.id === id) return stream;
      at = (at + 1) & this.#mask;
    }
  }

  /** Adds a stream whose id is not there. */
  add(stream: Http2Stream): void {
    if (++this.size * 2 > this.#mask) this.#grow();
    this.#place(stream);
  }

  #place(stream: Http2Stream): void {
    let at = (stream.id >>> 1) & this.#mask;
    while (this.#slots[at] !== null) at = (at + 1) & this.#mask;
    this.#slots[at] = stream;
  }

  #grow(): void {
    const before = this.#slots;
    const size = before.length * 2;
    this.#mask = size - 1;
    this.#slots = Array.from<Http2Stream | null>({ length: size }).fill(null);
    for (const stream of before) if (stream !== null) this.#place(stream);
  }

  delete(id: number): void {
    const mask = this.#mask;
    const slots = this.#slots;
    let hole = (id >>> 1) & mask;
    for (;;) {
      const stream = slots[hole]!;
      if (stream === null) return;
      if (stream.id === id) break;
      hole = (hole + 1) & mask;
    }
    this.size--;
    // Whoever was pushed beyond the hole moves into it, so that a search never ends too early.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at]!;
      if (stream === null) break;
      const home = (stream.id >>> 1) & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        slots[hole] = stream;
        hole = at;
      }
    }
    slots[hole] = null;
  }

  /** The streams as they are now. */
  list(): Http2Stream[] {
    return this.#slots.filter((stream) => stream !== null);
  }
}
