// Runs of bytes that stand in many responses, compressed once each: equal runs are one piece, for as long as something
// that is sent holds it.
import { createHash } from "node:crypto";
import { Interned } from "#base/interned.ts";
import { type GzipPiece, gzipPiece } from "#wire/grpc/gzip-pieces.ts";

/** Bytes that are the same wherever the serial is. */
export interface Part {
  readonly length: number;
  readonly serial: number;
  /** Made when they are asked for. */
  readonly bytes: Uint8Array;
}

export interface Piece extends GzipPiece {
  /** Of the bytes. */
  readonly hash: Buffer;
}

const pieces = new Interned<Piece>();
let serials = 0;

export function nextSerial(): number {
  return ++serials;
}

export function pieceOf(parts: readonly Part[]): Piece {
  return pieces.get(parts.map(({ serial }) => serial).join(), () => {
    const bytes = Buffer.concat(parts.map((part) => part.bytes));
    const piece = gzipPiece(bytes);
    let hash: Buffer | undefined;
    return {
      bytes,
      get hash() {
        return (hash ??= createHash("sha256").update(bytes).digest());
      },
      get deflated() {
        return piece.deflated;
      },
      get crc32() {
        return piece.crc32;
      },
    };
  });
}

const maxRunBytes = 64 * 1024;
/** One of so many parts ends a run, by its serial: what comes or goes elsewhere moves no other end. */
const partsOfRun = 64;

/** Cuts a list into runs, the same ones in every list in which they stand. */
export function piecesOf(parts: readonly Part[]): Piece[] {
  const found: Piece[] = [];
  let run: Part[] = [];
  let size = 0;
  for (const part of parts) {
    run.push(part);
    size += part.length;
    if (size < maxRunBytes && part.serial % partsOfRun !== 0) continue;
    found.push(pieceOf(run));
    run = [];
    size = 0;
  }
  if (run.length > 0) found.push(pieceOf(run));
  return found;
}
