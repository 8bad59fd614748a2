// Reading and writing the primitive values of the WebAssembly binary format: bytes, LEB128 integers, names.
// Specification: WebAssembly core, chapter 5.2.

/** What is wrong with a module, in words. Thrown while it is read and caught by `prepareModule`. */
export class MalformedModule extends Error {}

export class ByteReader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  get isAtEnd(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    if (this.at >= this.end) throw new MalformedModule("the module ends in the middle of a value");
    return this.bytes[this.at++]!;
  }

  skip(length: number): void {
    if (length > this.end - this.at) throw new MalformedModule("the module ends in the middle of a value");
    this.at += length;
  }

  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffffffff) break;
        return value;
      }
    }
    throw new MalformedModule("an integer is too large");
  }

  /** Skips one LEB128 integer of any width. */
  skipInteger(): void {
    for (let i = 0; i < 10; i++) if (this.byte() < 0x80) return;
    throw new MalformedModule("an integer is too long");
  }

  skipName(): void {
    this.skip(this.u32());
  }

  name(): string {
    const length = this.u32();
    const start = this.at;
    this.skip(length);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, length).toString("utf8");
  }

  /** A part that ends where this reader then is. */
  part(length: number): ByteReader {
    const start = this.at;
    this.skip(length);
    return new ByteReader(this.bytes, start, this.at);
  }
}

export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  u32(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  /** A signed LEB128 integer of 32 bits, as `i32.const` takes it. */
  i32(value: number): void {
    let rest = value | 0;
    for (;;) {
      const byte = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)) {
        this.byte(byte);
        return;
      }
      this.byte(byte | 0x80);
    }
  }

  name(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    this.u32(bytes.length);
    this.copy(bytes, 0, bytes.length);
  }

  copy(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (this.#length + length > this.#bytes.length) this.#grow(length);
    this.#bytes.set(source.subarray(start, end), this.#length);
    this.#length += length;
  }

  /** Everything written so far, valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length) as Uint8Array<ArrayBuffer>;
  }

  clear(): void {
    this.#length = 0;
  }

  #grow(by: number): void {
    const bytes = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + by));
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}
