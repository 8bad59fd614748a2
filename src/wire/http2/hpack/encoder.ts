// HOT: per field (bench/http2-codec.ts). HPACK encoder of one connection (RFC 7541), writing straight into the output. Every name has a slot with
// its entries of the dynamic table, newest first, so a known field is found by a few comparisons of strings.
//
// What goes into the table is decided per name. A value is added when it is seen for the second time, so request ids and
// trace contexts never get in; a name whose entries do not pay for themselves is given up for a while. Credentials are
// never indexed, here and at every hop after this one (RFC 7541 7.1.3).
import {
  AUTHORIZATION,
  COOKIE,
  HOST,
  idOfName,
  nameOfId,
  OTHER,
  PROXY_AUTHORIZATION,
  SET_COOKIE,
  TE,
  tokenLower,
  UPGRADE,
} from "../../http/header-names.ts";
import type { Headers } from "../../http/headers.ts";
import { isValidValue } from "../field-validity.ts";
import type { PseudoHeaders } from "../head.ts";
import type { FrameOutput } from "../output.ts";
import { ENTRY_OVERHEAD } from "./decoder.ts";
import { encodeHuffman, huffmanLength } from "./huffman.ts";
import {
  AUTHORITY,
  FIRST_PSEUDO,
  METHOD,
  OTHER_PSEUDO,
  PATH,
  PROTOCOL,
  pseudoName,
  SCHEME,
  STATIC_COUNT,
  STATUS,
  staticIds,
  staticValues,
} from "./static-table.ts";

export interface EncoderOptions {
  /** Largest table, whatever the peer allows. */
  readonly tableSize: number;
  readonly huffman: boolean;
  readonly preserveHeaderCase: boolean;
}

interface Entry {
  readonly slot: NameSlot;
  readonly value: string;
  readonly size: number;
  /** Number of the entry since the connection began. */
  readonly number: number;
  newer: Entry | null;
  older: Entry | null;
}

interface NameSlot {
  /** As written on the wire; "" when it may not stand there. */
  readonly name: string;
  readonly id: number;
  /** Index of the name in the static table, or 0. */
  readonly staticIndex: number;
  newest: Entry | null;
  entries: number;
  /** Fingerprints of the last two values that were not added. */
  lastSeen: number;
  seenBefore: number;
  /** Entries added and fields found, since they were last halved. */
  added: number;
  found: number;
  misses: number;
  /** Values in a row that were not seen before. */
  strangers: number;
}

/** Entries of one name that are compared with a value. */
const entriesPerName = 16;
/** Names without an id that are remembered. */
const maxNames = 256;
/** Cookies shorter than this are guessed more easily than they are worth compressing (RFC 7541 7.1.3). */
const shortCookie = 20;
/** Up to this length a loop writes a string faster than a call does. */
const shortString = 24;

const INDEX_NEVER = 0x10;
const INDEX_ADD = 0x40;
const INDEX_NONE = 0;

export class HpackEncoder {
  /** True when a field of the last head was left out, because it may not stand on the wire. */
  hasRefused = false;
  readonly #options: EncoderOptions;
  #preservesCase: boolean;
  readonly #slotsById: (NameSlot | null)[] = [];
  readonly #slotsByName = new Map<string, NameSlot>();
  #maxSize = 4096;
  /** A new size to tell at the next block, and the smallest size since the last one; -1 for none. */
  #newSize = -1;
  #smallestSize = -1;
  #size = 0;
  #ring: (Entry | null)[] = [];
  #mask = -1;
  #added = 0;
  #count = 0;
  #scratch: Buffer = Buffer.alloc(0);

  constructor(options: EncoderOptions) {
    this.#options = options;
    this.#preservesCase = options.preserveHeaderCase;
    for (let id = 0; id <= OTHER_PSEUDO; id++) this.#slotsById.push(null);
    if (options.tableSize < 4096) this.setPeerLimit(4096);
  }

  get tableSize(): number {
    return this.#size;
  }

  /** Writes names as they are in the list. Before the first head only: names are remembered as they were written. */
  preserveCase(): void {
    this.#preservesCase = true;
  }

  /** Takes the SETTINGS_HEADER_TABLE_SIZE of the peer. */
  setPeerLimit(limit: number): void {
    const size = Math.min(limit, this.#options.tableSize);
    if (size === this.#maxSize && this.#newSize < 0) return;
    this.#newSize = size;
    if (this.#smallestSize < 0 || size < this.#smallestSize) this.#smallestSize = size;
  }

  encodeRequest(out: FrameOutput, head: PseudoHeaders, headers: Headers): void {
    this.#begin(out);
    if (head.method === "GET") this.#byte(out, 0x82);
    else if (head.method === "POST") this.#byte(out, 0x83);
    else this.#field(out, METHOD, head.method);
    if (head.method !== "CONNECT" || head.protocol !== "") {
      if (head.scheme === "http") this.#byte(out, 0x86);
      else if (head.scheme === "https") this.#byte(out, 0x87);
      else this.#field(out, SCHEME, head.scheme);
      if (head.path === "/") this.#byte(out, 0x84);
      else this.#field(out, PATH, head.path);
      if (head.protocol !== "") this.#field(out, PROTOCOL, head.protocol);
    }
    if (head.authority !== "") this.#field(out, AUTHORITY, head.authority);
    this.#lines(out, headers, true);
  }

  encodeResponse(out: FrameOutput, status: number, headers: Headers): void {
    this.#begin(out);
    if (status === 200) this.#byte(out, 0x88);
    else this.#status(out, status);
    this.#lines(out, headers, false);
  }

  encodeTrailers(out: FrameOutput, headers: Headers): void {
    this.#begin(out);
    this.#lines(out, headers, false);
  }

  #begin(out: FrameOutput): void {
    this.hasRefused = false;
    if (this.#newSize < 0) return;
    // RFC 7541 4.2: the smallest size in between is told too.
    out.ensure(12);
    if (this.#smallestSize < this.#newSize) {
      this.#evictTo(this.#smallestSize);
      this.#integer(out, 0x20, 31, this.#smallestSize);
    }
    this.#maxSize = this.#newSize;
    this.#evictTo(this.#maxSize);
    this.#integer(out, 0x20, 31, this.#maxSize);
    this.#newSize = -1;
    this.#smallestSize = -1;
  }

  #byte(out: FrameOutput, byte: number): void {
    out.ensure(1);
    out.bytes[out.at++] = byte;
  }

  #status(out: FrameOutput, status: number): void {
    const text = String(status);
    for (let index = 8; index <= 14; index++) {
      if (staticValues[index] === text) return this.#byte(out, 0x80 | index);
    }
    this.#field(out, STATUS, text);
  }

  #lines(out: FrameOutput, headers: Headers, isRequest: boolean): void {
    const count = headers.length;
    for (let i = 0; i < count; i++) {
      if (headers.isRemoved(i)) continue;
      const id = headers.idAt(i);
      if (id <= TE && id !== OTHER) {
        // What is about one connection does not travel (RFC 9113 8.2.2); the authority stands for the host.
        if (id === TE) {
          if (hasTrailersToken(headers.valueAt(i))) this.#field(out, TE, "trailers");
          continue;
        }
        if (id > HOST + 1 && id <= UPGRADE) continue;
        if (id === HOST && isRequest && !this.#preservesCase) continue;
      }
      if (this.#preservesCase) this.#namedField(out, id, headers.nameAt(i), headers.valueAt(i));
      else if (id !== OTHER) this.#field(out, id, headers.valueAt(i));
      else this.#write(out, this.#slotOfName(headers.nameAt(i)), headers.valueAt(i));
    }
  }

  #field(out: FrameOutput, id: number, value: string): void {
    let slot = this.#slotsById[id]!;
    if (slot === null) {
      slot = newSlot(id, id >= FIRST_PSEUDO ? pseudoName(id) : nameOfId(id));
      this.#slotsById[id] = slot;
    }
    this.#write(out, slot, value);
  }

  #namedField(out: FrameOutput, id: number, name: string, value: string): void {
    let slot = id === OTHER ? null : this.#slotsById[id]!;
    if (slot === null || slot.name !== name) {
      slot = this.#slotOfName(name);
      // The first spelling of a known name is the one that is found fastest.
      if (id !== OTHER && this.#slotsById[id] === null) this.#slotsById[id] = slot;
    }
    this.#write(out, slot, value);
  }

  #slotOfName(name: string): NameSlot {
    const known = this.#slotsByName.get(name);
    if (known !== undefined) return known;
    if (this.#slotsByName.size >= maxNames) this.#slotsByName.clear();
    const lowerName = name.toLowerCase();
    const wireName = this.#preservesCase ? name : lowerName;
    // The head that the name was cut out of must not live as long as the slot.
    const slot = newSlot(idOfName(lowerName), isToken(name) ? ownCopy(wireName) : "");
    this.#slotsByName.set(ownCopy(name), slot);
    return slot;
  }

  #write(out: FrameOutput, slot: NameSlot, value: string): void {
    let compared = 0;
    for (let entry = slot.newest; entry !== null; entry = entry.older) {
      if (entry.value === value) {
        slot.found++;
        out.ensure(6);
        this.#integer(out, 0x80, 127, STATIC_COUNT + this.#added - entry.number);
        return;
      }
      if (++compared === entriesPerName) break;
    }
    if (slot.name === "") {
      this.hasRefused = true;
      return;
    }
    const staticIndex = slot.staticIndex;
    if (staticIndex !== 0 && value !== "" && staticValues[staticIndex] === value) {
      this.#byte(out, 0x80 | staticIndex);
      return;
    }
    this.#literal(out, slot, value, this.#policy(slot, value));
  }

  #policy(slot: NameSlot, value: string): number {
    const id = slot.id;
    if (id === AUTHORIZATION || id === PROXY_AUTHORIZATION || id === SET_COOKIE) return INDEX_NEVER;
    if (id === COOKIE && value.length < shortCookie) return INDEX_NEVER;
    // An entry that would push out most of the others costs more than it saves.
    const size = slot.name.length + value.length + ENTRY_OVERHEAD;
    if (size * 2 > this.#maxSize || slot.entries >= entriesPerName) return INDEX_NONE;
    // A name whose values did not repeat for long is looked at now and then only.
    if (slot.strangers > 32 && (++slot.strangers & 7) !== 0) return INDEX_NONE;
    const print = fingerprint(value);
    const isStranger = print !== slot.lastSeen && print !== slot.seenBefore;
    if (isStranger) {
      slot.seenBefore = slot.lastSeen;
      slot.lastSeen = print;
      // One entry for a name that the table does not have, so that the name itself need not be written again.
      if (++slot.strangers < 4 || slot.staticIndex !== 0 || slot.newest !== null) return INDEX_NONE;
    } else {
      slot.strangers = 0;
    }
    if (slot.added > 8 + (slot.found >> 1)) {
      // Given up, and tried again much later.
      if ((++slot.misses & 255) === 0) {
        slot.added >>= 1;
        slot.found >>= 1;
      }
      return INDEX_NONE;
    }
    return INDEX_ADD;
  }

  #literal(out: FrameOutput, slot: NameSlot, value: string, policy: number): void {
    const name = slot.name;
    out.ensure(name.length + value.length + 24);
    const fieldStart = out.at;
    let nameIndex = slot.staticIndex;
    if (nameIndex === 0 && slot.newest !== null) nameIndex = STATIC_COUNT + this.#added - slot.newest.number;
    this.#integer(out, policy, policy === INDEX_ADD ? 63 : 15, nameIndex);
    if (nameIndex === 0) {
      this.#integer(out, 0, 127, name.length);
      writeLatin1(out.bytes, name, out.at);
      out.at += name.length;
    }
    const length = value.length;
    const lengthAt = out.at;
    this.#integer(out, 0, 127, length);
    const valueStart = out.at;
    writeLatin1(out.bytes, value, valueStart);
    out.at = valueStart + length;
    if (!isValidValue(slot.id, out.bytes, valueStart, out.at)) {
      out.at = fieldStart;
      const trimmed = value.trim();
      if (trimmed.length < length) this.#literal(out, slot, trimmed, policy);
      else this.hasRefused = true;
      return;
    }
    // The entry keeps a string of its own: a slice would keep the whole head that it was cut out of.
    if (policy === INDEX_ADD) this.#add(slot, out.bytes.toString("latin1", valueStart, out.at));
    if (this.#options.huffman) this.#shorten(out, lengthAt, valueStart);
  }

  /** Replaces the string that was just written by its Huffman coding, where that is shorter. */
  #shorten(out: FrameOutput, lengthAt: number, valueStart: number): void {
    const bytes = out.bytes;
    const end = out.at;
    const coded = huffmanLength(bytes, valueStart, end);
    if (coded >= end - valueStart) return;
    const length = end - valueStart;
    if (this.#scratch.length < length) this.#scratch = Buffer.allocUnsafeSlow(Math.max(256, length * 2));
    bytes.copy(this.#scratch, 0, valueStart, end);
    out.at = lengthAt;
    this.#integer(out, 0x80, 127, coded);
    out.at = encodeHuffman(this.#scratch, 0, length, bytes, out.at);
  }

  /** Writes an integer (RFC 7541 5.1) behind the bits of `pattern`; there is room. */
  #integer(out: FrameOutput, pattern: number, mask: number, value: number): void {
    const bytes = out.bytes;
    if (value < mask) {
      bytes[out.at++] = pattern | value;
      return;
    }
    bytes[out.at++] = pattern | mask;
    let rest = value - mask;
    while (rest >= 128) {
      bytes[out.at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    bytes[out.at++] = rest;
  }

  #add(slot: NameSlot, value: string): void {
    const size = slot.name.length + value.length + ENTRY_OVERHEAD;
    this.#evictTo(this.#maxSize - size);
    if (this.#count > this.#mask) this.#grow();
    const entry: Entry = { slot, value, size, number: this.#added, newer: null, older: slot.newest };
    if (slot.newest !== null) slot.newest.newer = entry;
    slot.newest = entry;
    slot.entries++;
    slot.added++;
    this.#ring[this.#added & this.#mask] = entry;
    this.#added++;
    this.#count++;
    this.#size += size;
  }

  #evictTo(size: number): void {
    while (this.#size > size) {
      const at = (this.#added - this.#count) & this.#mask;
      const entry = this.#ring[at]!;
      this.#ring[at] = null;
      this.#count--;
      this.#size -= entry.size;
      // The oldest entry of the table is the oldest one of its name.
      const slot = entry.slot;
      slot.entries--;
      if (entry.newer === null) slot.newest = null;
      else entry.newer.older = null;
    }
  }

  #grow(): void {
    const size = this.#mask < 0 ? 16 : (this.#mask + 1) * 2;
    const ring = Array.from<Entry | null>({ length: size }).fill(null);
    for (let n = this.#added - this.#count; n < this.#added; n++) ring[n & (size - 1)] = this.#ring[n & this.#mask]!;
    this.#mask = size - 1;
    this.#ring = ring;
  }
}

function newSlot(id: number, name: string): NameSlot {
  const index = name === name.toLowerCase() && id !== OTHER ? staticIds.indexOf(id) : 0;
  return {
    name,
    id,
    staticIndex: Math.max(0, index),
    newest: null,
    entries: 0,
    lastSeen: -1,
    seenBefore: -1,
    added: 0,
    found: 0,
    misses: 0,
    strangers: 0,
  };
}

function ownCopy(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

function isToken(name: string): boolean {
  if (name === "") return false;
  for (let i = 0; i < name.length; i++) if ((tokenLower[name.charCodeAt(i)] ?? 0) === 0) return false;
  return true;
}

/** RFC 9113 8.2.2: the only TE that may travel. */
function hasTrailersToken(value: string): boolean {
  if (value === "trailers") return true;
  return value
    .toLowerCase()
    .split(",")
    .some((part) => part.trim() === "trailers");
}

/** A number that is nearly always different for different values; at most 17 characters are looked at. */
function fingerprint(value: string): number {
  const length = value.length;
  const step = length <= 16 ? 1 : length >> 4;
  let hash = length;
  for (let i = length - 1; i >= 0; i -= step) hash = (Math.imul(hash, 31) + value.charCodeAt(i)) | 0;
  return hash & 0x3fffffff;
}

function writeLatin1(bytes: Buffer, text: string, at: number): void {
  if (text.length > shortString) {
    bytes.write(text, at, "latin1");
    return;
  }
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
}
