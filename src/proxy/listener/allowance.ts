// A common allowance of bytes: those that use it say how much, and are told when all together use too much.

export class Allowance {
  readonly #max: number;
  #used = 0;

  constructor(maxBytes: number) {
    this.#max = maxBytes;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes or gives back. False when more was taken than there is. */
  change(bytes: number): boolean {
    this.#used += bytes;
    return bytes <= 0 || this.#used <= this.#max;
  }
}
