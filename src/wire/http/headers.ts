// HOT: per request. An ordered list of header lines over the raw head. Lines that nobody touches are copied to the other
// side as the bytes that came in, name case included; only changed and added lines are written anew.
// Names are compared in lower case. Values are latin1 strings, one per byte.
import { idOfName, nameOfId, OTHER } from "./header-names.ts";

const RAW = 0;
const OWN = 1;
const REMOVED = 2;

/** Ints per line: name start and end, value start and end. */
const WIDTH = 4;

export class Headers {
  #raw = "";
  #count = 0;
  #ids: Uint8Array = new Uint8Array(16);
  #states: Uint8Array = new Uint8Array(16);
  #offsets: Int32Array = new Int32Array(16 * WIDTH);
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
    this.#offsets[at] = nameStart;
    this.#offsets[at + 1] = nameEnd;
    this.#offsets[at + 2] = valueStart;
    this.#offsets[at + 3] = valueEnd;
  }

  /** Adds a line at the end. */
  add(name: string, value: string): void {
    this.addKnown(idOfName(name.toLowerCase()), name, value);
  }

  /** As `add`, where the caller knows the id of the name. */
  addKnown(id: number, name: string, value: string): void {
    const i = this.#claim(id, OWN);
    this.#offsets[i * WIDTH] = -1;
    this.#names[i] = name;
    this.#values[i] = value;
  }

  #claim(id: number, state: number): number {
    const i = this.#count++;
    if (i === this.#ids.length) this.#grow();
    this.#ids[i] = id;
    this.#states[i] = state;
    if (i === this.#names.length) {
      this.#names.push(undefined);
      this.#values.push(undefined);
    }
    return i;
  }

  #grow(): void {
    const size = this.#ids.length * 2;
    const ids = new Uint8Array(size);
    ids.set(this.#ids);
    this.#ids = ids;
    const states = new Uint8Array(size);
    states.set(this.#states);
    this.#states = states;
    const offsets = new Int32Array(size * WIDTH);
    offsets.set(this.#offsets);
    this.#offsets = offsets;
  }

  /** The first line with this id, or -1. */
  indexOf(id: number): number {
    for (let i = 0; i < this.#count; i++) if (this.#ids[i] === id && this.#states[i] !== REMOVED) return i;
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

  /** As `get`, by id. */
  getId(id: number): string | undefined {
    let i = this.indexOf(id);
    if (i < 0) return undefined;
    let value = this.valueAt(i);
    for (i++; i < this.#count; i++) {
      if (this.#ids[i] === id && this.#states[i] !== REMOVED) value += `,${this.valueAt(i)}`;
    }
    return value;
  }

  #find(lowerName: string, id: number, from: number): number {
    for (let i = from; i < this.#count; i++) {
      if (this.#ids[i] !== id || this.#states[i] === REMOVED) continue;
      if (id !== OTHER || this.#isNamed(i, lowerName)) return i;
    }
    return -1;
  }

  #isNamed(i: number, lowerName: string): boolean {
    const start = this.#offsets[i * WIDTH]!;
    if (start < 0) return this.#names[i]!.toLowerCase() === lowerName;
    if (this.#offsets[i * WIDTH + 1]! - start !== lowerName.length) return false;
    const raw = this.#raw;
    for (let k = 0; k < lowerName.length; k++) {
      const code = raw.charCodeAt(start + k);
      if ((code >= 65 && code <= 90 ? code + 32 : code) !== lowerName.charCodeAt(k)) return false;
    }
    return true;
  }

  isRemoved(i: number): boolean {
    return this.#states[i] === REMOVED;
  }

  idAt(i: number): number {
    return this.#ids[i]!;
  }

  /** The name as it stands on the wire. */
  nameAt(i: number): string {
    const own = this.#names[i];
    if (own !== undefined) return own;
    const name = this.#raw.slice(this.#offsets[i * WIDTH]!, this.#offsets[i * WIDTH + 1]!);
    this.#names[i] = name;
    return name;
  }

  lowerNameAt(i: number): string {
    const id = this.#ids[i]!;
    return id === OTHER ? this.nameAt(i).toLowerCase() : nameOfId(id);
  }

  valueAt(i: number): string {
    const own = this.#values[i];
    if (own !== undefined) return own;
    const value = this.#raw.slice(this.#offsets[i * WIDTH + 2]!, this.#offsets[i * WIDTH + 3]!);
    this.#values[i] = value;
    return value;
  }

  setValueAt(i: number, value: string): void {
    this.#states[i] = OWN;
    this.#values[i] = value;
  }

  removeAt(i: number): void {
    this.#states[i] = REMOVED;
  }

  /** Removes every line of that name and says whether there was one. */
  remove(lowerName: string): boolean {
    const id = idOfName(lowerName);
    let removed = false;
    for (let i = this.#find(lowerName, id, 0); i >= 0; i = this.#find(lowerName, id, i + 1)) {
      this.#states[i] = REMOVED;
      removed = true;
    }
    return removed;
  }

  removeId(id: number): void {
    for (let i = 0; i < this.#count; i++) if (this.#ids[i] === id) this.#states[i] = REMOVED;
  }

  /** Removes every line whose id is at least `first`. */
  removeFromId(first: number): void {
    for (let i = 0; i < this.#count; i++) if (this.#ids[i]! >= first) this.#states[i] = REMOVED;
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
      this.#states[i] = REMOVED;
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
    for (let i = first + 1; i < this.#count; i++) if (this.#ids[i] === id) this.#states[i] = REMOVED;
  }

  /** Calls back with each line in order: name in lower case, value. */
  forEach(visit: (lowerName: string, value: string) => void): void {
    for (let i = 0; i < this.#count; i++) {
      if (this.#states[i] !== REMOVED) visit(this.lowerNameAt(i), this.valueAt(i));
    }
  }

  /** The lines with CR LF after each and no empty line at the end. */
  serialize(): string {
    const count = this.#count;
    let text = "";
    let i = 0;
    while (i < count) {
      const state = this.#states[i];
      if (state === RAW) {
        const start = this.#offsets[i * WIDTH]!;
        let end = this.#offsets[i * WIDTH + 3]! + 2;
        i++;
        while (i < count && this.#states[i] === RAW && this.#offsets[i * WIDTH] === end) {
          end = this.#offsets[i * WIDTH + 3]! + 2;
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
      if (this.#states[i] !== REMOVED) bytes += this.nameAt(i).length + this.valueAt(i).length + 4;
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
