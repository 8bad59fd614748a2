// Frames as bytes, written and read by hand, so that a test does not trust the code that it tests.
import {
  CONTINUATION,
  DATA,
  errorName,
  GOAWAY,
  HEADERS,
  PING,
  PRIORITY,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from "../frame.ts";

const typeNames = [
  "DATA",
  "HEADERS",
  "PRIORITY",
  "RST_STREAM",
  "SETTINGS",
  "PUSH_PROMISE",
  "PING",
  "GOAWAY",
  "WINDOW_UPDATE",
  "CONTINUATION",
];

export function frame(type: number, flags: number, streamId: number, payload: Buffer | readonly number[] = []): Buffer {
  const bytes = Buffer.from(payload);
  const header = Buffer.alloc(9);
  header.writeUIntBE(bytes.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, bytes]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export type Field = readonly [string, string];

/** Literal fields without indexing and without Huffman coding. */
export function block(fields: readonly Field[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) parts.push(Buffer.from([0]), string(name), string(value));
  return Buffer.concat(parts);
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

export const get: readonly Field[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "a.example"],
];
export const post: readonly Field[] = [[":method", "POST"], ...get.slice(1)];

export const END_STREAM = 1;
export const END_HEADERS = 4;

export function headers(streamId: number, fields: readonly Field[], flags: number = END_STREAM | END_HEADERS): Buffer {
  return frame(HEADERS, flags, streamId, block(fields));
}

export function continuation(streamId: number, payload: Buffer, flags: number): Buffer {
  return frame(CONTINUATION, flags, streamId, payload);
}

export function data(streamId: number, payload: string | Buffer, flags = 0): Buffer {
  return frame(DATA, flags, streamId, Buffer.from(payload as string));
}

export function settings(...pairs: readonly (readonly [number, number])[]): Buffer {
  return frame(
    SETTINGS,
    0,
    0,
    Buffer.concat(pairs.map(([id, value]) => Buffer.concat([uint32(id).subarray(2), uint32(value)]))),
  );
}

export const settingsAck: Buffer = frame(SETTINGS, 1, 0);

export function ping(payload = "12345678", flags = 0): Buffer {
  return frame(PING, flags, 0, Buffer.from(payload));
}

export function rst(streamId: number, code: number): Buffer {
  return frame(RST_STREAM, 0, streamId, uint32(code));
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  return frame(WINDOW_UPDATE, 0, streamId, uint32(increment));
}

export function goaway(lastStreamId: number, code: number): Buffer {
  return frame(GOAWAY, 0, 0, Buffer.concat([uint32(lastStreamId), uint32(code)]));
}

export function priority(streamId: number, dependency: number): Buffer {
  return frame(PRIORITY, 0, streamId, Buffer.concat([uint32(dependency), Buffer.from([15])]));
}

export interface RawFrame {
  readonly type: string;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function parseFrames(bytes: Buffer): RawFrame[] {
  const frames: RawFrame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    frames.push({
      type: typeNames[bytes[at + 3] ?? 255] ?? `type ${bytes[at + 3]}`,
      flags: bytes[at + 4] ?? 0,
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return frames;
}

/** A frame in a few words, as `RST_STREAM 1 CANCEL`. */
export function describe({ type, flags, streamId, payload }: RawFrame): string {
  switch (type) {
    case "RST_STREAM":
      return `${type} ${streamId} ${errorName(payload.readUInt32BE(0))}`;
    case "GOAWAY":
      return `${type} ${payload.readUInt32BE(0)} ${errorName(payload.readUInt32BE(4))}`;
    case "WINDOW_UPDATE":
      return `${type} ${streamId} ${payload.readUInt32BE(0)}`;
    case "SETTINGS":
      return (flags & 1) === 0 ? type : `${type} ACK`;
    case "PING":
      return `${(flags & 1) === 0 ? type : `${type} ACK`} ${payload.toString("latin1")}`;
    case "DATA":
      return `${type} ${streamId} ${payload.length}${(flags & 1) === 0 ? "" : " END"}`;
    default:
      return `${type} ${streamId}${(flags & 1) === 0 ? "" : " END"}`;
  }
}
