// HOT: per frame (bench/http2-codec.ts). Cuts received bytes into frames (RFC 9113 4) and checks what can be checked without knowing a stream. Frames are
// read in place; only an incomplete one is kept. The payload of DATA is passed on as it arrives, that of unknown frames
// is skipped, and the fragments of a header block are put together, within limits, before anybody decodes them.
import {
  ACK,
  CLIENT_PREFACE,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  ENHANCE_YOUR_CALM,
  FRAME_HEADER_BYTES,
  FRAME_SIZE_ERROR,
  GOAWAY,
  HEADERS,
  PADDED,
  PING,
  PRIORITY,
  PRIORITY_FLAG,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from "./frame.ts";

export interface FrameSink {
  /** A DATA frame begins; `length` counts for flow control. */
  onDataFrame(streamId: number, length: number, isEnd: boolean): void;
  /** Padding of the frame: bytes that nobody will take. */
  onPadding(count: number): void;
  /** Payload of the frame in `bytes[start, end)`; `isLast` with the last of it. */
  onDataBytes(bytes: Buffer, start: number, end: number, isLast: boolean): void;
  /** A complete header block. `dependency` is a stream that the priority fields name, or -1. */
  onHeaderBlock(streamId: number, isEnd: boolean, dependency: number, bytes: Buffer, start: number, end: number): void;
  onPriority(streamId: number, dependency: number): void;
  onBadPriority(streamId: number): void;
  onReset(streamId: number, code: number): void;
  onSettings(bytes: Buffer, start: number, end: number): void;
  onSettingsAck(): void;
  onPing(bytes: Buffer, start: number, isAck: boolean): void;
  onGoaway(lastStreamId: number, code: number): void;
  onWindowUpdate(streamId: number, increment: number): void;
  /** A frame that says nothing: unknown, or without payload and without effect. */
  onUselessFrame(): void;
  onFrameError(code: number, words: string): void;
}

export interface FrameLimits {
  readonly maxFrameSize: number;
  /** Bytes of an encoded header block. */
  readonly maxBlockBytes: number;
  readonly maxContinuationFrames: number;
}

const STAGE_PREFACE = 0;
const STAGE_HEADER = 1;
const STAGE_PAYLOAD = 2;
const STAGE_PAD_LENGTH = 3;
const STAGE_DATA = 4;
const STAGE_SKIP = 5;
const STAGE_STOPPED = 6;

export class FrameReader {
  readonly #sink: FrameSink;
  readonly #limits: FrameLimits;
  #stage: number;
  /** Bytes of the preface that were seen. */
  #prefaceBytes = 0;
  #hasSettings = false;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  #length = 0;
  /** Bytes of payload, then of padding, that are still to come. */
  #left = 0;
  #padding = 0;
  /** HEADERS frames that were begun. */
  headsBegun = 0;
  readonly #header: Buffer = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #kept: Buffer | null = null;
  #keptBytes = 0;
  /** A header block whose end did not come yet: its stream, or 0. */
  #blockStream = 0;
  #blockIsEnd = false;
  #blockDependency = -1;
  #block: Buffer | null = null;
  #blockBytes = 0;
  #continuations = 0;

  constructor(sink: FrameSink, limits: FrameLimits, expectsPreface: boolean) {
    this.#sink = sink;
    this.#limits = limits;
    this.#stage = expectsPreface ? STAGE_PREFACE : STAGE_HEADER;
  }

  /** True while a header block is incomplete. */
  get isInsideHead(): boolean {
    return this.#blockStream !== 0 || (this.#type === HEADERS && this.#stage === STAGE_PAYLOAD);
  }

  /** Drops everything from now on. */
  stop(): void {
    this.#stage = STAGE_STOPPED;
    this.#blockStream = 0;
    this.#kept = null;
    this.#block = null;
  }

  read(data: Buffer): void {
    const end = data.length;
    let at = 0;
    if (this.#stage === STAGE_PREFACE) {
      at = this.#readPreface(data);
      if (at < 0) return;
    }
    while (at < end) {
      switch (this.#stage) {
        case STAGE_HEADER:
          at = this.#readHeader(data, at, end);
          break;
        case STAGE_PAYLOAD:
          at = this.#readPayload(data, at, end);
          break;
        case STAGE_PAD_LENGTH:
          this.#padLength(data[at++]!);
          break;
        case STAGE_DATA: {
          const count = end - at < this.#left ? end - at : this.#left;
          this.#left -= count;
          const isLast = this.#left === 0;
          if (isLast) this.#skipOrNext(this.#padding);
          this.#sink.onDataBytes(data, at, at + count, isLast);
          at += count;
          break;
        }
        case STAGE_SKIP: {
          const count = end - at < this.#left ? end - at : this.#left;
          this.#left -= count;
          at += count;
          if (this.#left === 0) this.#stage = STAGE_HEADER;
          break;
        }
        default:
          return;
      }
    }
  }

  #readPreface(data: Buffer): number {
    let at = 0;
    while (this.#prefaceBytes < CLIENT_PREFACE.length) {
      if (at === data.length) return -1;
      if (data[at++] !== CLIENT_PREFACE[this.#prefaceBytes++]) {
        this.#sink.onFrameError(PROTOCOL_ERROR, "the client preface is not that of HTTP/2");
        return -1;
      }
    }
    this.#stage = STAGE_HEADER;
    return at;
  }

  #readHeader(data: Buffer, at: number, end: number): number {
    if (this.#headerBytes === 0 && end - at >= FRAME_HEADER_BYTES) {
      this.#begin(data, at);
      return at + FRAME_HEADER_BYTES;
    }
    let next = at;
    while (next < end && this.#headerBytes < FRAME_HEADER_BYTES) this.#header[this.#headerBytes++] = data[next++]!;
    if (this.#headerBytes === FRAME_HEADER_BYTES) {
      this.#headerBytes = 0;
      this.#begin(this.#header, 0);
    }
    return next;
  }

  #begin(bytes: Buffer, at: number): void {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const streamId = ((bytes[at + 5]! & 127) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
    if (length > this.#limits.maxFrameSize) return this.#fail(FRAME_SIZE_ERROR, "a frame above the size that we allow");
    if (!this.#hasSettings) {
      if (type !== SETTINGS || (flags & ACK) !== 0)
        return this.#fail(PROTOCOL_ERROR, "the first frame is not SETTINGS");
      this.#hasSettings = true;
    }
    if (this.#blockStream !== 0 && (type !== CONTINUATION || streamId !== this.#blockStream)) {
      return this.#fail(PROTOCOL_ERROR, "a frame inside a header block");
    }
    this.#type = type;
    this.#flags = flags;
    this.#streamId = streamId;
    this.#length = length;
    if (type === DATA) return this.#beginData();
    if (type === HEADERS) this.headsBegun++;
    if (type > CONTINUATION) {
      this.#skipOrNext(length);
      this.#sink.onUselessFrame();
      return;
    }
    const needsStream = type !== SETTINGS && type !== PING && type !== GOAWAY;
    if (type !== WINDOW_UPDATE && (streamId !== 0) !== needsStream) {
      return this.#fail(
        PROTOCOL_ERROR,
        needsStream ? "a frame without a stream" : "a frame of the connection on a stream",
      );
    }
    if (length === 0) {
      this.#stage = STAGE_HEADER;
      this.#frame(bytes, 0, 0);
    } else {
      this.#stage = STAGE_PAYLOAD;
    }
  }

  #beginData(): void {
    if (this.#streamId === 0) return this.#fail(PROTOCOL_ERROR, "DATA without a stream");
    const length = this.#length;
    const isEnd = (this.#flags & END_STREAM) !== 0;
    this.#padding = 0;
    this.#left = length;
    if ((this.#flags & PADDED) !== 0) {
      if (length === 0) return this.#fail(FRAME_SIZE_ERROR, "a padded frame without the length of its padding");
      this.#stage = STAGE_PAD_LENGTH;
      this.#sink.onDataFrame(this.#streamId, length, isEnd);
      return;
    }
    this.#stage = length > 0 ? STAGE_DATA : STAGE_HEADER;
    if (length === 0 && !isEnd) this.#sink.onUselessFrame();
    this.#sink.onDataFrame(this.#streamId, length, isEnd);
    if (length === 0 && this.#stage !== STAGE_STOPPED) this.#sink.onDataBytes(this.#header, 0, 0, true);
  }

  #padLength(padding: number): void {
    if (padding >= this.#length) return this.#fail(PROTOCOL_ERROR, "padding longer than its frame");
    this.#left = this.#length - 1 - padding;
    this.#padding = padding;
    this.#stage = STAGE_DATA;
    this.#sink.onPadding(padding + 1);
    if (this.#left > 0) return;
    this.#skipOrNext(padding);
    if ((this.#flags & END_STREAM) === 0) this.#sink.onUselessFrame();
    this.#sink.onDataBytes(this.#header, 0, 0, true);
  }

  #skipOrNext(count: number): void {
    if (this.#stage === STAGE_STOPPED) return;
    this.#left = count;
    this.#stage = count > 0 ? STAGE_SKIP : STAGE_HEADER;
  }

  #readPayload(data: Buffer, at: number, end: number): number {
    const length = this.#length;
    if (this.#keptBytes === 0 && end - at >= length) {
      this.#stage = STAGE_HEADER;
      this.#frame(data, at, at + length);
      return at + length;
    }
    this.#kept ??= Buffer.allocUnsafeSlow(length);
    const count = Math.min(length - this.#keptBytes, end - at);
    data.copy(this.#kept, this.#keptBytes, at, at + count);
    this.#keptBytes += count;
    if (this.#keptBytes === length) {
      const kept = this.#kept;
      this.#kept = null;
      this.#keptBytes = 0;
      this.#stage = STAGE_HEADER;
      this.#frame(kept, 0, length);
    }
    return at + count;
  }

  /** A complete frame other than DATA. */
  #frame(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    switch (this.#type) {
      case HEADERS:
        return this.#headers(bytes, start, end);
      case CONTINUATION:
        return this.#continuation(bytes, start, end);
      case WINDOW_UPDATE:
        if (length !== 4) return this.#fail(FRAME_SIZE_ERROR, "a WINDOW_UPDATE of a wrong size");
        return this.#sink.onWindowUpdate(this.#streamId, uint31(bytes, start));
      case RST_STREAM:
        if (length !== 4) return this.#fail(FRAME_SIZE_ERROR, "a RST_STREAM of a wrong size");
        return this.#sink.onReset(this.#streamId, bytes.readUInt32BE(start));
      case SETTINGS:
        return this.#settings(bytes, start, end);
      case PING:
        if (length !== 8) return this.#fail(FRAME_SIZE_ERROR, "a PING of a wrong size");
        return this.#sink.onPing(bytes, start, (this.#flags & ACK) !== 0);
      case GOAWAY:
        if (length < 8) return this.#fail(FRAME_SIZE_ERROR, "a GOAWAY of a wrong size");
        return this.#sink.onGoaway(uint31(bytes, start), bytes.readUInt32BE(start + 4));
      case PRIORITY:
        if (length !== 5) return this.#sink.onBadPriority(this.#streamId);
        return this.#sink.onPriority(this.#streamId, uint31(bytes, start));
      case PUSH_PROMISE:
        // We never ask for pushes, and a client may not send them (RFC 9113 8.4).
        return this.#fail(PROTOCOL_ERROR, "a PUSH_PROMISE");
      default:
        return;
    }
  }

  #settings(bytes: Buffer, start: number, end: number): void {
    if ((this.#flags & ACK) !== 0) {
      if (end > start) return this.#fail(FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with a payload");
      return this.#sink.onSettingsAck();
    }
    if ((end - start) % 6 !== 0) return this.#fail(FRAME_SIZE_ERROR, "SETTINGS of a wrong size");
    this.#sink.onSettings(bytes, start, end);
  }

  #headers(bytes: Buffer, start: number, end: number): void {
    const flags = this.#flags;
    let from = start;
    let to = end;
    if ((flags & PADDED) !== 0) {
      if (from === to) return this.#fail(FRAME_SIZE_ERROR, "a padded frame without the length of its padding");
      const padding = bytes[from++]!;
      if (padding > to - from) return this.#fail(PROTOCOL_ERROR, "padding longer than its frame");
      to -= padding;
    }
    let dependency = -1;
    if ((flags & PRIORITY_FLAG) !== 0) {
      if (to - from < 5) return this.#fail(FRAME_SIZE_ERROR, "HEADERS too short for their priority");
      dependency = uint31(bytes, from);
      from += 5;
    }
    const isEnd = (flags & END_STREAM) !== 0;
    if ((flags & END_HEADERS) !== 0) {
      this.#sink.onHeaderBlock(this.#streamId, isEnd, dependency, bytes, from, to);
      return;
    }
    this.#blockStream = this.#streamId;
    this.#blockIsEnd = isEnd;
    this.#blockDependency = dependency;
    this.#blockBytes = 0;
    this.#continuations = 0;
    if (from === to) this.#sink.onUselessFrame();
    this.#append(bytes, from, to);
  }

  #continuation(bytes: Buffer, start: number, end: number): void {
    if (this.#blockStream === 0) return this.#fail(PROTOCOL_ERROR, "a CONTINUATION without HEADERS");
    // CVE-2024-27919, CVE-2024-30255: neither the number nor the bytes grow without end.
    if (++this.#continuations > this.#limits.maxContinuationFrames) {
      return this.#fail(ENHANCE_YOUR_CALM, "too many CONTINUATION frames");
    }
    const isLast = (this.#flags & END_HEADERS) !== 0;
    if (start === end && !isLast) this.#sink.onUselessFrame();
    this.#append(bytes, start, end);
    if (!isLast || this.#stage === STAGE_STOPPED) return;
    const streamId = this.#blockStream;
    const block = this.#block ?? this.#header;
    this.#blockStream = 0;
    this.#block = null;
    this.#sink.onHeaderBlock(streamId, this.#blockIsEnd, this.#blockDependency, block, 0, this.#blockBytes);
  }

  #append(bytes: Buffer, start: number, end: number): void {
    const total = this.#blockBytes + end - start;
    if (total > this.#limits.maxBlockBytes) return this.#fail(ENHANCE_YOUR_CALM, "a header block that is too large");
    if (this.#block === null || this.#block.length < total) {
      const larger = Buffer.allocUnsafeSlow(Math.max(1024, total * 2));
      this.#block?.copy(larger, 0, 0, this.#blockBytes);
      this.#block = larger;
    }
    bytes.copy(this.#block, this.#blockBytes, start, end);
    this.#blockBytes = total;
  }

  #fail(code: number, words: string): void {
    this.stop();
    this.#sink.onFrameError(code, words);
  }
}

function uint31(bytes: Buffer, at: number): number {
  return ((bytes[at]! & 127) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
