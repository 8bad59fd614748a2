// HOT: per field (bench/http2-codec.ts). HPACK decoder of one connection (RFC 7541). A field that comes from a table costs no string: its
// entry holds name, value, the integer of the name and what is wrong with the field, all found once when it was added.
// An error leaves the table undefined and must end the connection (RFC 9113 4.3).
import { idOfBytes, nameOfId, tokenLower } from "../../http/header-names.ts";
import { BAD_NAME, BAD_VALUE, isValidValue } from "../field-validity.ts";
import { decodeHuffman, maxDecodedLength } from "./huffman.ts";
import {
  FIRST_PSEUDO,
  idOfFieldName,
  OTHER_PSEUDO,
  STATIC_COUNT,
  staticIds,
  staticNames,
  staticValues,
} from "./static-table.ts";

/** RFC 7541 4.1: what an entry counts besides its name and value. */
export const ENTRY_OVERHEAD = 32;

export interface FieldSink {
  /** `id` is that of header-names.ts or of a pseudo-header; `faults` has the bits of field-validity.ts. */
  onField(id: number, name: string, value: string, faults: number): void;
}

const COLON = 58;
const internedNameLength = 48;
const internedNames = 64;
const noBytes: Uint8Array = new Uint8Array(0);

export class HpackDecoder {
  /** What was wrong, when `decode` returned false. */
  failure = "";
  #allowsUpperCase: boolean;
  /** Largest size that the peer's encoder may choose: the initial value until our SETTINGS are acknowledged. */
  #limit = 4096;
  /** The size that the encoder chose. */
  #maxSize = 4096;
  #mustShrink = false;
  #size = 0;
  /** Entries ever added; the newest is `#added - 1`. */
  #added = 0;
  #count = 0;
  #mask = 15;
  #names: string[] = [];
  #values: string[] = [];
  #ids: number[] = [];
  #faults: number[] = [];
  readonly #interned: string[] = [];

  /** Position after what was read. */
  #at = 0;
  /** The string that was read last: plain bytes of the block, or decoded ones. */
  #text: Uint8Array = noBytes;
  #textStart = 0;
  #textEnd = 0;
  #scratch: Buffer = Buffer.alloc(0);
  /** The name that was read last. */
  #nameId = 0;
  #nameFaults = 0;

  constructor(allowsUpperCase: boolean) {
    this.#allowsUpperCase = allowsUpperCase;
  }

  get tableSize(): number {
    return this.#size;
  }

  /** Takes names in any case from here on. */
  allowUpperCase(): void {
    this.#allowsUpperCase = true;
  }

  /** Sets the largest table that the peer may use; called when it acknowledged our SETTINGS. */
  setLimit(tableSize: number): void {
    this.#limit = tableSize;
    // RFC 7541 4.2: the next block has to begin with a size update.
    if (tableSize < this.#maxSize) this.#mustShrink = true;
  }

  /** Decodes one complete header block. */
  decode(bytes: Buffer, start: number, end: number, sink: FieldSink): boolean {
    const isGood = this.#decode(bytes, start, end, sink);
    // What was received must not live as long as the connection.
    this.#text = noBytes;
    return isGood;
  }

  #decode(bytes: Buffer, start: number, end: number, sink: FieldSink): boolean {
    let at = start;
    while (at < end && (bytes[at]! & 0xe0) === 0x20) {
      const size = this.#integer(bytes, at, end, 31);
      if (size < 0) return false;
      if (size > this.#limit) return this.#fail("a table size above the limit");
      this.#maxSize = size;
      this.#mustShrink = false;
      this.#evictTo(size);
      at = this.#at;
    }
    if (this.#mustShrink && at < end) return this.#fail("no table size update after the limit was lowered");
    while (at < end) {
      const byte = bytes[at]!;
      if (byte >= 0x80) {
        let index = byte & 127;
        if (index < 127) at++;
        else {
          index = this.#integer(bytes, at, end, 127);
          if (index < 0) return false;
          at = this.#at;
        }
        if (index > STATIC_COUNT) {
          const entry = index - STATIC_COUNT;
          if (entry > this.#count) return this.#fail("an index beyond the table");
          const slot = (this.#added - entry) & this.#mask;
          sink.onField(this.#ids[slot]!, this.#names[slot]!, this.#values[slot]!, this.#faults[slot]!);
        } else {
          if (index === 0) return this.#fail("index 0");
          const id = staticIds[index]!;
          const value = staticValues[index]!;
          // `:authority` is the only pseudo-header in the table that may be empty; `host: ` and the like are valid too.
          sink.onField(id, staticNames[index]!, value, 0);
        }
      } else {
        if ((byte & 0xe0) === 0x20) return this.#fail("a table size update inside a block");
        if (!this.#literal(bytes, at, end, byte, sink)) return false;
        at = this.#at;
      }
    }
    return true;
  }

  #literal(bytes: Buffer, start: number, end: number, byte: number, sink: FieldSink): boolean {
    const isIndexed = (byte & 0x40) !== 0;
    const mask = isIndexed ? 63 : 15;
    let index = byte & mask;
    this.#at = start + 1;
    if (index === mask) {
      index = this.#integer(bytes, start, end, mask);
      if (index < 0) return false;
    }
    let name: string;
    if (index === 0) {
      if (!this.#string(bytes, this.#at, end)) return false;
      name = this.#readName();
    } else if (index <= STATIC_COUNT) {
      name = staticNames[index]!;
      this.#nameId = staticIds[index]!;
      this.#nameFaults = 0;
    } else {
      const entry = index - STATIC_COUNT;
      if (entry > this.#count) return this.#fail("an index beyond the table");
      const slot = (this.#added - entry) & this.#mask;
      name = this.#names[slot]!;
      this.#nameId = this.#ids[slot]!;
      this.#nameFaults = this.#faults[slot]! & BAD_NAME;
    }
    const id = this.#nameId;
    let faults = this.#nameFaults;
    if (!this.#string(bytes, this.#at, end)) return false;
    const text = this.#text as Buffer;
    if (!isValidValue(id, text, this.#textStart, this.#textEnd)) faults |= BAD_VALUE;
    const value = text.toString("latin1", this.#textStart, this.#textEnd);
    if (isIndexed) this.#add(id, name, value, faults);
    sink.onField(id, name, value, faults);
    return true;
  }

  /** Makes the name out of the string that was read, with its integer and its faults. */
  #readName(): string {
    const bytes = this.#text as Buffer;
    const start = this.#textStart;
    const end = this.#textEnd;
    let hash = 0;
    let isToken = end > start;
    let hasUpperCase = false;
    for (let i = start; i < end; i++) {
      const byte = bytes[i]!;
      const lower = tokenLower[byte]!;
      if (lower === 0) isToken = false;
      else if (lower !== byte) hasUpperCase = true;
      hash = (Math.imul(hash, 31) + lower) | 0;
    }
    if (!isToken) {
      const name = bytes.toString("latin1", start, end);
      this.#nameId = bytes[start] === COLON && end > start ? idOfFieldName(name) : 0;
      this.#nameFaults = this.#nameId >= FIRST_PSEUDO && this.#nameId !== OTHER_PSEUDO ? 0 : BAD_NAME;
      return name;
    }
    const id = idOfBytes(bytes, start, end, hash);
    this.#nameId = id;
    this.#nameFaults = hasUpperCase && !this.#allowsUpperCase ? BAD_NAME : 0;
    if (id !== 0 && !hasUpperCase) return nameOfId(id);
    return this.#intern(bytes, start, end, hash);
  }

  #intern(bytes: Buffer, start: number, end: number, hash: number): string {
    const length = end - start;
    if (length > internedNameLength) return bytes.toString("latin1", start, end);
    const slot = (hash ^ (hash >>> 8)) & (internedNames - 1);
    const known = this.#interned[slot];
    if (known !== undefined && known.length === length) {
      let i = 0;
      while (i < length && known.charCodeAt(i) === bytes[start + i]) i++;
      if (i === length) return known;
    }
    while (this.#interned.length <= slot) this.#interned.push("");
    const name = bytes.toString("latin1", start, end);
    this.#interned[slot] = name;
    return name;
  }

  /** Reads a string literal (RFC 7541 5.2) into #text, #textStart and #textEnd. */
  #string(bytes: Buffer, start: number, end: number): boolean {
    if (start >= end) return this.#fail("a block that ends inside a field");
    const byte = bytes[start]!;
    let length = byte & 127;
    this.#at = start + 1;
    if (length === 127) {
      length = this.#integer(bytes, start, end, 127);
      if (length < 0) return false;
    }
    const from = this.#at;
    if (length > end - from) return this.#fail("a string longer than its block");
    this.#at = from + length;
    if (byte < 128) {
      this.#text = bytes;
      this.#textStart = from;
      this.#textEnd = from + length;
      return true;
    }
    const room = maxDecodedLength(length) + 1;
    if (this.#scratch.length < room) this.#scratch = Buffer.allocUnsafeSlow(Math.max(256, room * 2));
    const decoded = decodeHuffman(bytes, from, from + length, this.#scratch);
    if (decoded < 0) return this.#fail("a wrong Huffman coding");
    this.#text = this.#scratch;
    this.#textStart = 0;
    this.#textEnd = decoded;
    return true;
  }

  /** Reads an integer (RFC 7541 5.1) whose prefix has the bits of `mask`. -1: it is incomplete or too large. */
  #integer(bytes: Buffer, start: number, end: number, mask: number): number {
    let value = bytes[start]! & mask;
    let at = start + 1;
    if (value === mask) {
      // Four more bytes reach 2^28, above every limit of ours.
      for (let shift = 0; ; shift += 7) {
        if (at >= end) {
          this.#fail("a block that ends inside an integer");
          return -1;
        }
        if (shift > 21) {
          this.#fail("an integer that is too large");
          return -1;
        }
        const byte = bytes[at++]!;
        value += (byte & 127) << shift;
        if (byte < 128) break;
      }
    }
    this.#at = at;
    return value;
  }

  #add(id: number, name: string, value: string, faults: number): void {
    const size = name.length + value.length + ENTRY_OVERHEAD;
    if (size > this.#maxSize) {
      // RFC 7541 4.4: not an error, it empties the table.
      this.#evictTo(0);
      return;
    }
    this.#evictTo(this.#maxSize - size);
    if (this.#count > this.#mask || this.#names.length === 0) this.#grow();
    const slot = this.#added++ & this.#mask;
    this.#ids[slot] = id;
    this.#names[slot] = name;
    this.#values[slot] = value;
    this.#faults[slot] = faults;
    this.#count++;
    this.#size += size;
  }

  #evictTo(size: number): void {
    while (this.#size > size) {
      const slot = (this.#added - this.#count) & this.#mask;
      this.#size -= this.#names[slot]!.length + this.#values[slot]!.length + ENTRY_OVERHEAD;
      this.#names[slot] = "";
      this.#values[slot] = "";
      this.#count--;
    }
  }

  /** Doubles the ring, or makes the first one. */
  #grow(): void {
    const before = this.#names.length;
    const size = before === 0 ? this.#mask + 1 : before * 2;
    const names = Array.from({ length: size }, () => "");
    const values = Array.from({ length: size }, () => "");
    const ids = Array.from({ length: size }, () => 0);
    const faults = Array.from({ length: size }, () => 0);
    for (let entry = this.#added - this.#count; entry < this.#added; entry++) {
      const from = entry & this.#mask;
      const to = entry & (size - 1);
      names[to] = this.#names[from]!;
      values[to] = this.#values[from]!;
      ids[to] = this.#ids[from]!;
      faults[to] = this.#faults[from]!;
    }
    this.#mask = size - 1;
    this.#names = names;
    this.#values = values;
    this.#ids = ids;
    this.#faults = faults;
  }

  #fail(words: string): boolean {
    this.failure = words;
    return false;
  }
}
