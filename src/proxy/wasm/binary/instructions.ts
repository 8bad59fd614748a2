// Walks over WebAssembly instructions without understanding them: what follows each opcode, so that the next one can be
// found. Known are the core instructions with sign extension, saturating truncation, bulk memory, reference types,
// SIMD, threads, tail calls and exceptions. Garbage-collected types are not: no proxy-wasm SDK makes them.
// Specification: WebAssembly core, chapter 5.4.
import { type ByteReader, MalformedModule } from "./bytes.ts";

export const LOOP = 0x03;

/** Moves behind what belongs to the opcode that was just read. */
export function skipImmediates(reader: ByteReader, opcode: number): void {
  if (opcode >= 0x45 && opcode <= 0xc4) return;
  if (opcode >= 0x28 && opcode <= 0x3e) {
    skipMemoryArgument(reader);
    return;
  }
  switch (opcode) {
    case 0x00: // unreachable
    case 0x01: // nop
    case 0x05: // else
    case 0x0a: // throw_ref
    case 0x0b: // end
    case 0x0f: // return
    case 0x19: // catch_all
    case 0x1a: // drop
    case 0x1b: // select
    case 0xd1: // ref.is_null
    case 0xd3: // ref.eq
    case 0xd4: // ref.as_non_null
      return;
    case 0x02: // block
    case LOOP:
    case 0x04: // if
    case 0x06: // try
      skipType(reader);
      return;
    case 0x07: // catch
    case 0x08: // throw
    case 0x09: // rethrow
    case 0x0c: // br
    case 0x0d: // br_if
    case 0x10: // call
    case 0x12: // return_call
    case 0x14: // call_ref
    case 0x15: // return_call_ref
    case 0x18: // delegate
    case 0x20: // local.get
    case 0x21: // local.set
    case 0x22: // local.tee
    case 0x23: // global.get
    case 0x24: // global.set
    case 0x25: // table.get
    case 0x26: // table.set
    case 0x3f: // memory.size
    case 0x40: // memory.grow
    case 0x41: // i32.const
    case 0x42: // i64.const
    case 0xd0: // ref.null
    case 0xd2: // ref.func
    case 0xd5: // br_on_null
    case 0xd6: // br_on_non_null
      reader.skipInteger();
      return;
    case 0x11: // call_indirect
    case 0x13: // return_call_indirect
      reader.skipInteger();
      reader.skipInteger();
      return;
    case 0x0e: // br_table
      for (let labels = reader.u32() + 1; labels > 0; labels--) reader.skipInteger();
      return;
    case 0x1c: // select with types
      for (let types = reader.u32(); types > 0; types--) skipType(reader);
      return;
    case 0x1f: // try_table
      skipType(reader);
      for (let catches = reader.u32(); catches > 0; catches--) skipCatch(reader);
      return;
    case 0x43: // f32.const
      reader.skip(4);
      return;
    case 0x44: // f64.const
      reader.skip(8);
      return;
    case 0xfc:
      skipMiscellaneous(reader, reader.u32());
      return;
    case 0xfd:
      skipVector(reader, reader.u32());
      return;
    case 0xfe:
      if (reader.u32() === 0x03) reader.skip(1);
      else skipMemoryArgument(reader);
      return;
    default:
      throw new MalformedModule(`the instruction 0x${opcode.toString(16)} is not supported`);
  }
}

/** A value type or a block's type. Those of references with a heap type take two integers. */
export function skipType(reader: ByteReader): void {
  const first = reader.bytes[reader.at];
  reader.skipInteger();
  if (first === 0x63 || first === 0x64) reader.skipInteger();
}

function skipMemoryArgument(reader: ByteReader): void {
  // Bit 6 of the alignment says that the index of a memory follows.
  if ((reader.u32() & 0x40) !== 0) reader.skipInteger();
  reader.skipInteger();
}

function skipCatch(reader: ByteReader): void {
  const kind = reader.byte();
  if (kind < 2) reader.skipInteger();
  reader.skipInteger();
}

function skipMiscellaneous(reader: ByteReader, opcode: number): void {
  if (opcode <= 7) return;
  switch (opcode) {
    case 9: // data.drop
    case 11: // memory.fill
    case 13: // elem.drop
    case 15: // table.grow
    case 16: // table.size
    case 17: // table.fill
      reader.skipInteger();
      return;
    case 8: // memory.init
    case 10: // memory.copy
    case 12: // table.init
    case 14: // table.copy
      reader.skipInteger();
      reader.skipInteger();
      return;
    default:
      throw new MalformedModule(`the instruction 0xfc ${opcode} is not supported`);
  }
}

function skipVector(reader: ByteReader, opcode: number): void {
  if (opcode <= 11 || opcode === 92 || opcode === 93) {
    skipMemoryArgument(reader);
  } else if (opcode === 12 || opcode === 13) {
    reader.skip(16);
  } else if (opcode >= 21 && opcode <= 34) {
    reader.skip(1);
  } else if (opcode >= 84 && opcode <= 91) {
    skipMemoryArgument(reader);
    reader.skip(1);
  }
}
