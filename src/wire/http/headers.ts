// HOT: per request. An ordered list of header lines over the raw head. Lines that nobody touches are copied to the other
// side as the bytes that came in, name case included; only changed and added lines are written anew.
// Names are compared in lower case. Values are latin1 strings, one per byte.
import { idOfName, nameOfId, OTHER } from "./header-names.ts";

/** State of a line, above the bits of its id. */
const RAW = 0;
const OWN = 1 << 8;
const REMOVED = 2 << 8;
const ID_BITS = 0xff;
const STATE_BITS = 0x300;

/** Ints per line: name start and end, value start and end. */
const WIDTH = 4;

export class Headers {
  #raw = "";
  #count = 0;
  /** Id and state of each line. */
  #tags: Uint16Array = new Uint16Array(16);
  /** Made with the first raw line: most lists of HTTP/2 have none, and the array costs more than the rest. */
  #offsets: Int32Array | null = null;
  readonly #names: (string | undefined)[] = [];
  readonly #values: (string | undefined)[] = [];

  /** Number of lines, removed ones included. */
  get length(): number {
    return this.#count;
  }

  clear(): void {
    for (let i = 0; i < this.#count; i++) {
      this.#names[i] = undefined;
      this.#values[i] = undefined;
    }
    this.#raw = "";
    this.#count = 0;
  }

  /** Gives the text that the offsets of `addRaw` point into. */
  setRaw(raw: string): void {
    this.#raw = raw;
  }

  /** Adds a line of the raw head. `canonical` means that it reads `name: value CRLF` and may be copied as it is. */
  addRaw(
    id: number,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    canonical: boolean,
  ): void {
    const i = this.#claim(id, canonical ? RAW : OWN);
    const at = i * WIDTH;
    let offsets = this.#offsets;
    if (offsets === null || offsets.length <= at) offsets = this.#growOffsets();
    offsets[at] = nameStart;
    offsets[at + 1] = nameEnd;
    offsets[at + 2] = valueStart;
    offsets[at + 3] = valueEnd;
  }

  /** Adds a line at the end. */
  add(name: string, value: string): void {
    this.addKnown(idOfName(name.toLowerCase()), name, value);
  }

  /** As `add`, where the caller knows the id of the name. */
  addKnown(id: number, name: string, value: string): void {
    const i = this.#claim(id, OWN);
    this.#names[i] = name;
    this.#values[i] = value;
  }

  #claim(id: number, state: number): number {
    const i = this.#count++;
    if (i === this.#tags.length) this.#grow();
    this.#tags[i] = id | state;
    if (i === this.#names.length) {
      this.#names.push(undefined);
      this.#values.push(undefined);
    }
    return i;
  }

  #grow(): void {
    const tags = new Uint16Array(this.#tags.length * 2);
    tags.set(this.#tags);
    this.#tags = tags;
  }

  #growOffsets(): Int32Array {
    const offsets = new Int32Array(this.#tags.length * WIDTH);
    if (this.#offsets !== null) offsets.set(this.#offsets);
    this.#offsets = offsets;
    return offsets;
  }

  /** The first line with this id, or -1. */
  indexOf(id: number): number {
    for (let i = 0; i < this.#count; i++) if (this.#isLine(i, id)) return i;
    return -1;
  }

  has(lowerName: string): boolean {
    return this.#find(lowerName, idOfName(lowerName), 0) >= 0;
  }

  hasId(id: number): boolean {
    return this.indexOf(id) >= 0;
  }

  /** The value by name in lower case; several lines are joined with a comma, as RFC 9110 5.2 allows. */
  get(lowerName: string): string | undefined {
    const id = idOfName(lowerName);
    let i = this.#find(lowerName, id, 0);
    if (i < 0) return undefined;
    let value = this.valueAt(i);
    for (i = this.#find(lowerName, id, i + 1); i >= 0; i = this.#find(lowerName, id, i + 1)) {
      value += `,${this.valueAt(i)}`;
    }
    return value;
  }

  /** As `get`, with several lines as a list of their values. */
  getAll(lowerName: string): string | readonly string[] | undefined {
    const id = idOfName(lowerName);
    let i = this.#find(lowerName, id, 0);
    if (i < 0) return undefined;
    const first = this.valueAt(i);
    i = this.#find(lowerName, id, i + 1);
    if (i < 0) return first;
    const values = [first];
    for (; i >= 0; i = this.#find(lowerName, id, i + 1)) values.push(this.valueAt(i));
    return values;
  }

  /** As `get`, by id. */
  getId(id: number): string | undefined {
    let i = this.indexOf(id);
    if (i < 0) return undefined;
    let value = this.valueAt(i);
    for (i++; i < this.#count; i++) {
      if (this.#isLine(i, id)) value += `,${this.valueAt(i)}`;
    }
    return value;
  }

  #isLine(i: number, id: number): boolean {
    const tag = this.#tags[i]!;
    return (tag & ID_BITS) === id && tag < REMOVED;
  }

  #find(lowerName: string, id: number, from: number): number {
    for (let i = from; i < this.#count; i++) {
      if (!this.#isLine(i, id)) continue;
      if (id !== OTHER || this.#isNamed(i, lowerName)) return i;
    }
    return -1;
  }

  #isNamed(i: number, lowerName: string): boolean {
    const own = this.#names[i];
    if (own !== undefined) return own.length === lowerName.length && own.toLowerCase() === lowerName;
    const start = this.#offset(i, 0);
    if (this.#offset(i, 1) - start !== lowerName.length) return false;
    const raw = this.#raw;
    for (let k = 0; k < lowerName.length; k++) {
      const code = raw.charCodeAt(start + k);
      if ((code >= 65 && code <= 90 ? code + 32 : code) !== lowerName.charCodeAt(k)) return false;
    }
    return true;
  }

  #offset(i: number, which: number): number {
    return this.#offsets![i * WIDTH + which]!;
  }

  isRemoved(i: number): boolean {
    return this.#tags[i]! >= REMOVED;
  }

  idAt(i: number): number {
    return this.#tags[i]! & ID_BITS;
  }

  /** The name as it stands on the wire. */
  nameAt(i: number): string {
    const own = this.#names[i];
    if (own !== undefined) return own;
    const name = this.#raw.slice(this.#offset(i, 0), this.#offset(i, 1));
    this.#names[i] = name;
    return name;
  }

  lowerNameAt(i: number): string {
    const id = this.idAt(i);
    return id === OTHER ? this.nameAt(i).toLowerCase() : nameOfId(id);
  }

  valueAt(i: number): string {
    const own = this.#values[i];
    if (own !== undefined) return own;
    const value = this.#raw.slice(this.#offset(i, 2), this.#offset(i, 3));
    this.#values[i] = value;
    return value;
  }

  setValueAt(i: number, value: string): void {
    this.#tags[i] = (this.#tags[i]! & ID_BITS) | OWN;
    this.#values[i] = value;
  }

  removeAt(i: number): void {
    this.#tags[i] = (this.#tags[i]! & ID_BITS) | REMOVED;
  }

  /** Removes every line of that name and says whether there was one. */
  remove(lowerName: string): boolean {
    const id = idOfName(lowerName);
    let removed = false;
    for (let i = this.#find(lowerName, id, 0); i >= 0; i = this.#find(lowerName, id, i + 1)) {
      this.removeAt(i);
      removed = true;
    }
    return removed;
  }

  removeId(id: number): void {
    for (let i = 0; i < this.#count; i++) if (this.idAt(i) === id) this.removeAt(i);
  }

  /** Whether a line has an id of at least `first`. */
  hasFromId(first: number): boolean {
    for (let i = 0; i < this.#count; i++) if (this.idAt(i) >= first && !this.isRemoved(i)) return true;
    return false;
  }

  /** Removes every line whose id is at least `first`. */
  removeFromId(first: number): void {
    for (let i = 0; i < this.#count; i++) if (this.idAt(i) >= first) this.removeAt(i);
  }

  /** Replaces all lines of that name by one. */
  set(name: string, value: string): void {
    const lowerName = name.toLowerCase();
    const id = idOfName(lowerName);
    const first = this.#find(lowerName, id, 0);
    if (first < 0) {
      this.addKnown(id, name, value);
      return;
    }
    this.setValueAt(first, value);
    for (let i = this.#find(lowerName, id, first + 1); i >= 0; i = this.#find(lowerName, id, i + 1)) {
      this.removeAt(i);
    }
  }

  /** As `set`, by id. */
  setId(id: number, value: string): void {
    const first = this.indexOf(id);
    if (first < 0) {
      this.addKnown(id, nameOfId(id), value);
      return;
    }
    this.setValueAt(first, value);
    for (let i = first + 1; i < this.#count; i++) if (this.idAt(i) === id) this.removeAt(i);
  }

  /** Calls back with each line in order: name in lower case, value. */
  forEach(visit: (lowerName: string, value: string) => void): void {
    for (let i = 0; i < this.#count; i++) {
      if (!this.isRemoved(i)) visit(this.lowerNameAt(i), this.valueAt(i));
    }
  }

  /** The lines with CR LF after each and no empty line at the end. */
  serialize(): string {
    const count = this.#count;
    let text = "";
    let i = 0;
    while (i < count) {
      const state = this.#tags[i]! & STATE_BITS;
      if (state === RAW) {
        const start = this.#offset(i, 0);
        let end = this.#offset(i, 3) + 2;
        i++;
        while (i < count && this.#tags[i]! < OWN && this.#offset(i, 0) === end) {
          end = this.#offset(i, 3) + 2;
          i++;
        }
        text += this.#raw.slice(start, end);
        continue;
      }
      if (state === OWN) text += `${this.nameAt(i)}: ${this.valueAt(i)}\r\n`;
      i++;
    }
    return text;
  }

  /** Bytes that the lines take on the wire. */
  get byteLength(): number {
    let bytes = 0;
    for (let i = 0; i < this.#count; i++) {
      if (!this.isRemoved(i)) bytes += this.nameAt(i).length + this.valueAt(i).length + 4;
    }
    return bytes;
  }

  /** Adds all lines of another list, as they are there now. */
  copyFrom(other: Headers): void {
    for (let i = 0; i < other.length; i++) {
      if (!other.isRemoved(i)) this.addKnown(other.idAt(i), other.nameAt(i), other.valueAt(i));
    }
  }
}
