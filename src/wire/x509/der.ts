// DER reading and writing (ITU-T X.690), as much as X.509 and PKCS#10 need. The reader is strict: definite, minimal
// lengths and low tag numbers only; every element lies within its parent. What it refuses, it throws as X509_INVALID.
import { OutriggerError } from "#base/error.ts";

export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The tag of a context-specific field, `[number]`. */
export function contextTag(number: number, constructed: boolean): number {
  return 0x80 | (constructed ? 0x20 : 0) | number;
}

export function element(tagByte: number, ...contents: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const content of contents) length += content.length;
  const header = encodeHeader(tagByte, length);
  return Buffer.concat([header, ...contents], header.length + length);
}

function encodeHeader(tagByte: number, length: number): Buffer {
  if (length < 0x80) return Buffer.from([tagByte, length]);
  if (length < 0x100) return Buffer.from([tagByte, 0x81, length]);
  if (length < 0x10000) return Buffer.from([tagByte, 0x82, length >> 8, length & 0xff]);
  return Buffer.from([tagByte, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]);
}

export function sequence(...contents: readonly Uint8Array[]): Buffer {
  return element(tag.sequence, ...contents);
}

/** A non-negative integer from its big-endian bytes. */
export function unsignedInteger(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const trimmed = bytes.subarray(start);
  const padding = trimmed.length === 0 || ((trimmed[0] ?? 0) & 0x80) !== 0 ? Buffer.of(0) : Buffer.alloc(0);
  return element(tag.integer, padding, trimmed);
}

export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return element(tag.bitString, Buffer.of(unusedBits), bytes);
}

export function octetString(...contents: readonly Uint8Array[]): Buffer {
  return element(tag.octetString, ...contents);
}

export function utf8String(text: string): Buffer {
  return element(tag.utf8String, Buffer.from(text, "utf8"));
}

export const derTrue: Buffer = Buffer.from([tag.boolean, 1, 0xff]);
export const derNull: Buffer = Buffer.from([tag.null, 0]);

export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const septets = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      septets.unshift((left & 0x7f) | 0x80);
    bytes.push(...septets);
  }
  return element(tag.oid, Buffer.from(bytes));
}

/** UTCTime up to 2049, GeneralizedTime from 2050 on, as RFC 5280 section 4.1.2.5 demands. */
export function time(milliseconds: number): Buffer {
  const text = new Date(milliseconds).toISOString().replace(/[-:T]|\.\d+/g, "");
  return text < "2050"
    ? element(tag.utcTime, Buffer.from(text.slice(2), "latin1"))
    : element(tag.generalizedTime, Buffer.from(text, "latin1"));
}

/** One element that was read: its tag, its content, and all its bytes. */
export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  readonly bytes: Buffer;
}

export function derError(message: string): OutriggerError {
  return new OutriggerError("X509_INVALID", message);
}

/** Reads elements one after the other from one content. */
export class DerReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }

  peekTag(): number | undefined {
    return this.#bytes[this.#offset];
  }

  next(expected?: number): DerElement {
    const start = this.#offset;
    const tagByte = this.#byte();
    if (expected !== undefined && tagByte !== expected) {
      throw derError(`DER tag 0x${tagByte.toString(16)} at offset ${start}, expected 0x${expected.toString(16)}`);
    }
    if ((tagByte & 0x1f) === 0x1f) throw derError(`DER high tag number at offset ${start}`);
    const length = this.#length();
    const contentStart = this.#offset;
    if (length > this.#bytes.length - contentStart) throw derError(`DER element at offset ${start} is cut short`);
    this.#offset = contentStart + length;
    return {
      tag: tagByte,
      content: this.#bytes.subarray(contentStart, this.#offset),
      bytes: this.#bytes.subarray(start, this.#offset),
    };
  }

  /** Reads the element if it has this tag. */
  optional(expected: number): DerElement | undefined {
    return this.peekTag() === expected ? this.next() : undefined;
  }

  enter(expected: number): DerReader {
    return new DerReader(this.next(expected).content);
  }

  end(): void {
    if (!this.done) throw derError(`${this.#bytes.length - this.#offset} bytes after the end of a DER structure`);
  }

  #byte(): number {
    const value = this.#bytes[this.#offset];
    if (value === undefined) throw derError("DER ends within an element");
    this.#offset++;
    return value;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const size = first & 0x7f;
    if (size === 0 || size > 3) throw derError("DER length is indefinite or too long");
    let length = 0;
    for (let index = 0; index < size; index++) length = length * 256 + this.#byte();
    if (length < 0x80 || length < 256 ** (size - 1)) throw derError("DER length is not minimal");
    return length;
  }
}

export function readObjectIdentifier(content: Uint8Array): string {
  const last = content[content.length - 1];
  if (last === undefined || (last & 0x80) !== 0 || content.length > 64) throw derError("malformed object identifier");
  const arcs: number[] = [];
  let value = 0;
  for (const byte of content) {
    if (value > 2 ** 45) throw derError("object identifier arc is too large");
    value = value * 128 + (byte & 0x7f);
    if ((byte & 0x80) !== 0) continue;
    if (arcs.length === 0) {
      const first = Math.min(2, Math.floor(value / 40));
      arcs.push(first, value - first * 40);
    } else {
      arcs.push(value);
    }
    value = 0;
  }
  return arcs.join(".");
}

export function readTime(item: DerElement): number {
  const text = item.content.toString("latin1");
  const isUtc = item.tag === tag.utcTime;
  if (!isUtc && item.tag !== tag.generalizedTime) throw derError("time has the wrong type");
  const parts = (isUtc ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/).exec(
    text,
  );
  if (parts === null) throw derError("malformed time");
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number);
  const fullYear = isUtc ? year + (year < 50 ? 2000 : 1900) : year;
  const time = Date.UTC(fullYear, month - 1, day, hour, minute, second);
  // A month 21 would be one of a later year.
  const written = `${isUtc ? fullYear : parts[1]}-${parts.slice(2, 4).join("-")}T${parts.slice(4).join(":")}.000Z`;
  if (new Date(time).toISOString() !== written) throw derError("a time that does not exist");
  return time;
}

/** The bytes of a BIT STRING that holds whole bytes. */
export function readBitString(item: DerElement): Buffer {
  if (item.tag !== tag.bitString || item.content[0] !== 0) throw derError("BIT STRING does not hold whole bytes");
  return item.content.subarray(1);
}
