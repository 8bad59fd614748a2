// HOT: per frame (bench/http2-codec.ts). The streams of a connection by id. Ids come in order, so nearly every stream has
// a slot of an array to itself; one that finds its slot taken by a long-lived stream goes into a Map. A Map for all costs
// several times as much per stream. Every operation takes the same time however many streams there are (CVE-2021-32778).
import type { Http2Stream } from "./stream.ts";

export class StreamTable {
  size = 0;
  #slots: (Http2Stream | null)[] = Array.from<Http2Stream | null>({ length: 16 }).fill(null);
  #mask = 15;
  readonly #displaced = new Map<number, Http2Stream>();

  get(id: number): Http2Stream | undefined {
    const stream = this.#slots[(id >>> 1) & this.#mask]!;
    if (stream !== null && stream.id === id) return stream;
    return this.#displaced.size === 0 ? undefined : this.#displaced.get(id);
  }

  /** Adds a stream whose id is not there. */
  add(stream: Http2Stream): void {
    if (++this.size * 2 > this.#mask) this.#grow();
    this.#place(stream);
  }

  #place(stream: Http2Stream): void {
    const at = (stream.id >>> 1) & this.#mask;
    if (this.#slots[at] === null) this.#slots[at] = stream;
    else this.#displaced.set(stream.id, stream);
  }

  #grow(): void {
    const streams = this.list();
    const size = (this.#mask + 1) * 2;
    this.#mask = size - 1;
    this.#slots = Array.from<Http2Stream | null>({ length: size }).fill(null);
    this.#displaced.clear();
    for (const stream of streams) this.#place(stream);
  }

  delete(id: number): void {
    const at = (id >>> 1) & this.#mask;
    const stream = this.#slots[at]!;
    if (stream !== null && stream.id === id) this.#slots[at] = null;
    else if (!this.#displaced.delete(id)) return;
    this.size--;
  }

  /** The streams as they are now. */
  list(): Http2Stream[] {
    return [...this.#slots.filter((stream) => stream !== null), ...this.#displaced.values()];
  }
}
