// Rewrites a module before it is compiled, so that it can't take the proxy with it. WebAssembly runs on the event loop
// and can't be interrupted from outside, therefore:
// - every loop and every function first takes one unit from a counter; when the counter is empty, the module asks the
//   host through a table, and traps when the host says that the call has lasted too long;
// - memories and tables get an upper limit.
// Only what is appended gets a new index, so nothing else in the module changes. Custom sections are left out: they
// hold names and debug information, and the offsets in them would be wrong.
// Specification: WebAssembly core, chapter 5.5.
import { ByteReader, ByteWriter, MalformedModule } from "./bytes.ts";
import { LOOP, skipImmediates, skipType } from "./instructions.ts";

export interface ModuleLimits {
  readonly maxMemoryPages: number;
  readonly maxTableEntries: number;
}

export type PreparedModule =
  | { readonly bytes: Uint8Array<ArrayBuffer>; readonly problem: null }
  | { readonly bytes: null; readonly problem: string };

/** The exported table through which the module asks whether it may go on; its only entry is `() -> i32`, 0 for yes. */
export const watchTable = "outrigger:watch";

/** Loop rounds and calls between two questions. In a tight loop this is about a millisecond. */
const unitsPerQuestion = 1 << 19;
/** What may be done before there is somebody to ask: the module's start function. */
const initialUnits = 1 << 28;

const TYPE = 1;
const IMPORT = 2;
const FUNCTION = 3;
const TABLE = 4;
const MEMORY = 5;
const GLOBAL = 6;
const EXPORT = 7;
const CODE = 10;
/** The order in which sections stand: 13 holds exception tags, 12 counts data segments. */
const order = [TYPE, IMPORT, FUNCTION, TABLE, MEMORY, 13, GLOBAL, EXPORT, 8, 9, 12, CODE, 11];

interface Indices {
  /** Of the appended types `() -> i32` and `() -> ()`. */
  readonly questionType: number;
  readonly refillType: number;
  readonly refillFunction: number;
  readonly watchTable: number;
  readonly counter: number;
}

export function prepareModule(bytes: Uint8Array, limits: ModuleLimits): PreparedModule {
  try {
    return { bytes: rewrite(bytes, limits), problem: null };
  } catch (error) {
    if (error instanceof MalformedModule) return { bytes: null, problem: error.message };
    throw error;
  }
}

function rewrite(bytes: Uint8Array, limits: ModuleLimits): Uint8Array<ArrayBuffer> {
  const sections = readSections(bytes);
  const imported = countImports(sections.get(IMPORT));
  const types = countOf(sections.get(TYPE));
  const indices: Indices = {
    questionType: types,
    refillType: types + 1,
    refillFunction: imported.functions + countOf(sections.get(FUNCTION)),
    watchTable: imported.tables + countOf(sections.get(TABLE)),
    counter: imported.globals + countOf(sections.get(GLOBAL)),
  };
  const rewriters: Readonly<Record<number, (section: ByteReader | undefined, out: ByteWriter) => void>> = {
    [TYPE]: (section, out) => appendTo(section, out, 2, writeTypes),
    [FUNCTION]: (section, out) => appendTo(section, out, 1, () => out.u32(indices.refillType)),
    [TABLE]: (section, out) => writeTables(section, out, limits),
    [MEMORY]: (section, out) => writeMemories(section, out, limits),
    [GLOBAL]: (section, out) => appendTo(section, out, 1, writeCounter),
    [EXPORT]: (section, out) => appendTo(section, out, 1, () => writeExport(out, indices)),
    [CODE]: (section, out) => writeCode(section, out, indices),
  };
  const out = new ByteWriter(bytes.length + (bytes.length >> 2) + 256);
  const scratch = new ByteWriter(1024);
  out.copy(header, 0, header.length);
  for (const id of order) {
    const section = sections.get(id);
    const rewriter = rewriters[id];
    if (rewriter === undefined) {
      if (section !== undefined) writeSection(out, id, section.bytes, section.at, section.end);
      continue;
    }
    if (id === MEMORY && section === undefined) continue;
    scratch.clear();
    rewriter(section, scratch);
    const content = scratch.view();
    writeSection(out, id, content, 0, content.length);
  }
  return out.view();
}

const header = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);

function readSections(bytes: Uint8Array): Map<number, ByteReader> {
  for (let i = 0; i < header.length; i++) {
    if (bytes[i] !== header[i]) throw new MalformedModule("this is not a WebAssembly module of version 1");
  }
  const reader = new ByteReader(bytes, header.length, bytes.length);
  const sections = new Map<number, ByteReader>();
  while (!reader.isAtEnd) {
    const id = reader.byte();
    const section = reader.part(reader.u32());
    if (id === 0) continue;
    if (!order.includes(id) || sections.has(id)) throw new MalformedModule(`there is a wrong section ${id}`);
    sections.set(id, section);
  }
  return sections;
}

function writeSection(out: ByteWriter, id: number, content: Uint8Array, start: number, end: number): void {
  out.byte(id);
  out.u32(end - start);
  out.copy(content, start, end);
}

/** The number of entries, without moving the reader. */
function countOf(section: ByteReader | undefined): number {
  return section === undefined ? 0 : new ByteReader(section.bytes, section.at, section.end).u32();
}

function countImports(section: ByteReader | undefined): { functions: number; tables: number; globals: number } {
  const counts = { functions: 0, tables: 0, globals: 0 };
  if (section === undefined) return counts;
  const reader = new ByteReader(section.bytes, section.at, section.end);
  for (let left = reader.u32(); left > 0; left--) {
    reader.skipName();
    reader.skipName();
    switch (reader.byte()) {
      case 0:
        reader.skipInteger();
        counts.functions++;
        break;
      case 1:
        skipType(reader);
        skipLimits(reader);
        counts.tables++;
        break;
      case 2:
        throw new MalformedModule("it imports its memory, which proxy-wasm modules bring themselves");
      case 3:
        skipType(reader);
        reader.skip(1);
        counts.globals++;
        break;
      default:
        throw new MalformedModule("it imports something that is neither a function, a table nor a global");
    }
  }
  return counts;
}

/** Copies the entries of a section and lets the caller add some. */
function appendTo(
  section: ByteReader | undefined,
  out: ByteWriter,
  added: number,
  write: (out: ByteWriter) => void,
): void {
  out.u32(countOf(section) + added);
  if (section !== undefined) {
    const reader = new ByteReader(section.bytes, section.at, section.end);
    reader.u32();
    out.copy(section.bytes, reader.at, section.end);
  }
  write(out);
}

function writeTypes(out: ByteWriter): void {
  for (const byte of [0x60, 0, 1, 0x7f, 0x60, 0, 0]) out.byte(byte);
}

function writeCounter(out: ByteWriter): void {
  out.byte(0x7f);
  out.byte(1);
  out.byte(0x41);
  out.i32(initialUnits);
  out.byte(0x0b);
}

function writeExport(out: ByteWriter, indices: Indices): void {
  out.name(watchTable);
  out.byte(1);
  out.u32(indices.watchTable);
}

function writeMemories(section: ByteReader | undefined, out: ByteWriter, limits: ModuleLimits): void {
  if (section === undefined) return;
  const reader = new ByteReader(section.bytes, section.at, section.end);
  const count = reader.u32();
  out.u32(count);
  for (let left = count; left > 0; left--) writeLimits(reader, out, limits.maxMemoryPages, "pages of memory");
}

function writeTables(section: ByteReader | undefined, out: ByteWriter, limits: ModuleLimits): void {
  const count = countOf(section);
  out.u32(count + 1);
  if (section !== undefined) {
    const reader = new ByteReader(section.bytes, section.at, section.end);
    reader.u32();
    for (let left = count; left > 0; left--) writeTable(reader, out, limits);
  }
  for (const byte of [0x70, 1, 1, 1]) out.byte(byte);
}

function writeTable(reader: ByteReader, out: ByteWriter, limits: ModuleLimits): void {
  const start = reader.at;
  const hasInitializer = reader.bytes[reader.at] === 0x40;
  if (hasInitializer) reader.skip(2);
  skipType(reader);
  out.copy(reader.bytes, start, reader.at);
  writeLimits(reader, out, limits.maxTableEntries, "entries of a table");
  if (hasInitializer) {
    const expression = reader.at;
    for (let opcode = reader.byte(); opcode !== 0x0b; opcode = reader.byte()) skipImmediates(reader, opcode);
    out.copy(reader.bytes, expression, reader.at);
  }
}

function writeLimits(reader: ByteReader, out: ByteWriter, most: number, what: string): void {
  const flags = reader.byte();
  if (flags > 1) throw new MalformedModule("it has a shared or 64-bit memory");
  const minimum = reader.u32();
  if (minimum > most) throw new MalformedModule(`it begins with ${minimum} ${what}, and the limit is ${most}`);
  out.byte(1);
  out.u32(minimum);
  out.u32(flags === 1 ? Math.min(reader.u32(), most) : most);
}

function skipLimits(reader: ByteReader): void {
  const hasMaximum = (reader.byte() & 1) !== 0;
  reader.skipInteger();
  if (hasMaximum) reader.skipInteger();
}

function writeCode(section: ByteReader | undefined, out: ByteWriter, indices: Indices): void {
  const count = countOf(section);
  out.u32(count + 1);
  const toll = tollInstructions(indices);
  const body = new ByteWriter(1024);
  if (section !== undefined) {
    const reader = new ByteReader(section.bytes, section.at, section.end);
    reader.u32();
    for (let left = count; left > 0; left--) {
      body.clear();
      writeBody(reader.part(reader.u32()), body, toll);
      const bytes = body.view();
      out.u32(bytes.length);
      out.copy(bytes, 0, bytes.length);
    }
  }
  const refill = refillBody(indices);
  out.u32(refill.length);
  out.copy(refill, 0, refill.length);
}

function writeBody(reader: ByteReader, out: ByteWriter, toll: Uint8Array): void {
  const { bytes } = reader;
  let copied = reader.at;
  for (let groups = reader.u32(); groups > 0; groups--) {
    reader.skipInteger();
    skipType(reader);
  }
  out.copy(bytes, copied, reader.at);
  copied = reader.at;
  out.copy(toll, 0, toll.length);
  while (!reader.isAtEnd) {
    const opcode = reader.byte();
    skipImmediates(reader, opcode);
    if (opcode !== LOOP) continue;
    out.copy(bytes, copied, reader.at);
    copied = reader.at;
    out.copy(toll, 0, toll.length);
  }
  out.copy(bytes, copied, reader.end);
}

/** `if (counter == 0) refill(); counter -= 1` */
function tollInstructions({ counter, refillFunction }: Indices): Uint8Array {
  const out = new ByteWriter();
  out.byte(0x23);
  out.u32(counter);
  out.byte(0x45);
  out.byte(0x04);
  out.byte(0x40);
  out.byte(0x10);
  out.u32(refillFunction);
  out.byte(0x0b);
  out.byte(0x23);
  out.u32(counter);
  out.byte(0x41);
  out.i32(1);
  out.byte(0x6b);
  out.byte(0x24);
  out.u32(counter);
  return out.view();
}

/** `if (watch[0]() != 0) trap; counter = unitsPerQuestion`. A trap, because a module can catch exceptions. */
function refillBody({ counter, questionType, watchTable: table }: Indices): Uint8Array {
  const out = new ByteWriter();
  out.u32(0);
  out.byte(0x41);
  out.i32(0);
  out.byte(0x11);
  out.u32(questionType);
  out.u32(table);
  out.byte(0x04);
  out.byte(0x40);
  out.byte(0x00);
  out.byte(0x0b);
  out.byte(0x41);
  out.i32(unitsPerQuestion);
  out.byte(0x24);
  out.u32(counter);
  out.byte(0x0b);
  return out.view();
}
