// HOT: per request, in proxies with more than one event loop. Counts and token buckets by name that all threads of the
// process see: a hash table in shared memory. A cell is claimed by its name in any thread, at the first use, and never
// given up; a full table gives none, and its user counts for itself.
//
// A cell, in words of 32 bits: two of the name's hash, a lock, one unused; four totals; two numbers of 64 bits (of a token
// bucket); then for each thread its part of the four totals, which is taken off again when the thread dies.
import { MutableHash64 } from "../hash/hash64.ts";
import { xxHash64 } from "../hash/xx-hash64.ts";

const slots = 16_384;
const totalsAt = 4;
const numbersAt = 8;
const lanesAt = 12;
const fields = 4;
/** Looks at a lock before it is taken from a thread that must have died with it. */
const patience = 1_000_000;

/** A thread whose clock is behind what another one wrote by less than this is not told so by a clock that was set back. */
export const clockSkewMs = 1000;

export interface ProcessCellsMemory {
  readonly buffer: SharedArrayBuffer;
  readonly threads: number;
}

export function processCellsMemory(threads: number): ProcessCellsMemory {
  return { buffer: new SharedArrayBuffer(slots * widthOf(threads) * 4), threads };
}

function widthOf(threads: number): number {
  return lanesAt + fields * threads;
}

export class ProcessCells {
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  readonly #width: number;
  readonly #thread: number;
  readonly #cells = new Map<string, ProcessCell>();

  /** `thread` counts from 0. */
  constructor({ buffer, threads }: ProcessCellsMemory, thread: number) {
    this.#words = new Int32Array(buffer);
    this.#numbers = new Float64Array(buffer);
    this.#width = widthOf(threads);
    this.#thread = thread;
  }

  /** The cell of that name, the same in every thread; null when there is no room. */
  claim(name: string): ProcessCell | null {
    let cell = this.#cells.get(name);
    if (cell !== undefined) return cell;
    const at = this.#find(name);
    if (at < 0) return null;
    cell = new ProcessCell(this.#words, this.#numbers, at, this.#thread);
    this.#cells.set(name, cell);
    return cell;
  }

  #find(name: string): number {
    const hash = new MutableHash64();
    xxHash64(name, 0, hash);
    const first = hash.high | 0 || 1;
    const second = hash.low | 0 || 1;
    const words = this.#words;
    for (let i = 0, slot = (hash.low >>> 0) % slots; i < slots; i++, slot = (slot + 1) % slots) {
      const at = slot * this.#width;
      const there = Atomics.compareExchange(words, at, 0, first);
      if (there === 0) {
        Atomics.store(words, at + 1, second);
        return at;
      }
      if (there !== first) continue;
      // Who claims it in this moment has written the first half only.
      let other = Atomics.load(words, at + 1);
      while (other === 0) other = Atomics.load(words, at + 1);
      if (other === second) return at;
    }
    return -1;
  }

  /** A thread died: what it held is given back. */
  forget(thread: number): void {
    const words = this.#words;
    for (let at = 0; at < words.length; at += this.#width) {
      if (words[at] === 0) continue;
      for (let field = 0; field < fields; field++) {
        const lane = at + lanesAt + thread * fields + field;
        Atomics.sub(words, at + totalsAt + field, Atomics.exchange(words, lane, 0));
      }
    }
  }
}

export class ProcessCell {
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  readonly #lockAt: number;
  readonly #totals: number;
  readonly #lane: number;
  readonly #first: number;

  constructor(words: Int32Array, numbers: Float64Array, at: number, thread: number) {
    this.#words = words;
    this.#numbers = numbers;
    this.#lockAt = at + 2;
    this.#totals = at + totalsAt;
    this.#lane = at + lanesAt + thread * fields;
    this.#first = (at + numbersAt) / 2;
  }

  /** Adds one to the total; false when it is at its limit. `field` is from 0 to 3. */
  take(field: number, limit: number): boolean {
    if (Atomics.add(this.#words, this.#totals + field, 1) >= limit) {
      Atomics.sub(this.#words, this.#totals + field, 1);
      return false;
    }
    this.#words[this.#lane + field]!++;
    return true;
  }

  give(field: number): void {
    this.#words[this.#lane + field]!--;
    Atomics.sub(this.#words, this.#totals + field, 1);
  }

  /** Of all threads. */
  total(field: number): number {
    return Atomics.load(this.#words, this.#totals + field);
  }

  /** Until `unlock` nobody else reads or writes the two numbers. Nothing in between may wait or throw. */
  lock(): void {
    for (let i = 0; i < patience; i++) if (Atomics.compareExchange(this.#words, this.#lockAt, 0, 1) === 0) return;
  }

  unlock(): void {
    Atomics.store(this.#words, this.#lockAt, 0);
  }

  get tokens(): number {
    return this.#numbers[this.#first]!;
  }

  set tokens(value: number) {
    this.#numbers[this.#first] = value;
  }

  /** 0 before the first use. */
  get since(): number {
    return this.#numbers[this.#first + 1]!;
  }

  set since(value: number) {
    this.#numbers[this.#first + 1] = value;
  }
}
