// Writes discovery responses around resources that are bytes already: nothing is encoded again, and what responses have
// in common is pieces that they share. Field numbers are those of envoy/service/discovery/v3/discovery.proto.
import { type GzipPiece, storedPiece } from "#wire/grpc/gzip-pieces.ts";
import { type EncodedResource, varint } from "../push/encoded-resource.ts";
import { nextSerial, type Part, piecesOf } from "../push/pieces.ts";

const lengthDelimited = 2;

export interface DeltaResponseContent {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly systemVersion: string;
  readonly resources: readonly EncodedResource[];
  readonly removed: readonly string[];
}

export function encodeDeltaResponse(content: DeltaResponseContent): Buffer {
  const parts: Uint8Array[] = [];
  pushText(parts, 1, content.systemVersion);
  for (const resource of content.resources) {
    pushResource(parts, resource);
    for (const { bytes } of resource.any.pieces) parts.push(bytes);
    pushText(parts, 3, resource.name);
  }
  pushEnd(parts, content);
  return Buffer.concat(parts);
}

/** The same bytes in pieces. */
export function deltaResponsePieces(content: DeltaResponseContent): GzipPiece[] {
  const pieces = [stored((parts) => pushText(parts, 1, content.systemVersion))];
  let run: Part[] = [];
  for (const resource of content.resources) {
    if (resource.any.pieces.length === 0) {
      run.push(entryOf(resource));
      continue;
    }
    pieces.push(
      ...piecesOf(run),
      stored((parts) => pushResource(parts, resource)),
      ...resource.any.pieces,
    );
    pieces.push(stored((parts) => pushText(parts, 3, resource.name)));
    run = [];
  }
  pieces.push(
    ...piecesOf(run),
    stored((parts) => pushEnd(parts, content)),
  );
  return pieces;
}

function stored(write: (parts: Uint8Array[]) => void): GzipPiece {
  const parts: Uint8Array[] = [];
  write(parts);
  return storedPiece(Buffer.concat(parts));
}

const entries = new WeakMap<EncodedResource, Part>();

/** A resource without pieces as it stands in a response. */
function entryOf(resource: EncodedResource): Part {
  let entry = entries.get(resource);
  if (entry === undefined) {
    entry = {
      serial: nextSerial(),
      length: resource.any.length,
      get bytes() {
        const parts: Uint8Array[] = [];
        pushResource(parts, resource);
        pushText(parts, 3, resource.name);
        return Buffer.concat(parts);
      },
    };
    entries.set(resource, entry);
  }
  return entry;
}

/** Up to the pieces and the name. */
function pushResource(parts: Uint8Array[], { version, any, name }: EncodedResource): void {
  const before: Uint8Array[] = [];
  const after: Uint8Array[] = [];
  pushText(before, 1, version);
  before.push(tag(2), varint(any.length));
  pushText(after, 3, name);
  parts.push(tag(2), varint(lengthOf(before) + any.length + lengthOf(after)), ...before, any.head);
}

function pushEnd(parts: Uint8Array[], { typeUrl, nonce, removed }: DeltaResponseContent): void {
  pushText(parts, 4, typeUrl);
  pushText(parts, 5, nonce);
  for (const name of removed) pushText(parts, 6, name);
}

export interface FullResponseContent {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly version: string;
  readonly resources: readonly EncodedResource[];
}

export function encodeFullResponse(content: FullResponseContent): Buffer {
  const parts: Uint8Array[] = [];
  pushText(parts, 1, content.version);
  for (const { any } of content.resources) {
    parts.push(tag(2), varint(any.length), any.head, ...any.pieces.map(({ bytes }) => bytes));
  }
  pushText(parts, 4, content.typeUrl);
  pushText(parts, 5, content.nonce);
  return Buffer.concat(parts);
}

function tag(field: number): Buffer {
  return varint((field << 3) | lengthDelimited);
}

function pushText(parts: Uint8Array[], field: number, text: string): void {
  if (text === "") return;
  const bytes = Buffer.from(text, "utf8");
  parts.push(tag(field), varint(bytes.length), bytes);
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
