// Bytes of many resources that came together, compressed as one: they are alike, and seldom asked for again.
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";

export class PackedBytes {
  readonly #packed: Buffer;
  /** Where each part ends. */
  readonly #ends: Uint32Array;
  /** Who asks for one part asks for the next ones too. */
  #open: WeakRef<Buffer> | null = null;

  constructor(parts: readonly Uint8Array[]) {
    this.#packed = deflateRawSync(Buffer.concat(parts), { level: constants.Z_BEST_SPEED });
    let end = 0;
    this.#ends = Uint32Array.from(parts, ({ length }) => (end += length));
  }

  part(index: number): Uint8Array {
    let bytes = this.#open?.deref();
    if (bytes === undefined) {
      bytes = inflateRawSync(this.#packed);
      this.#open = new WeakRef(bytes);
    }
    return bytes.subarray(index === 0 ? 0 : this.#ends[index - 1], this.#ends[index]);
  }
}
