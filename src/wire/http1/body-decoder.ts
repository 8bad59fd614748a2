// HOT: per chunk of a body. Finds the end of an HTTP/1 body: by length, by chunked coding (RFC 9112 7.1) or by the end
// of the connection. Data is handed on as slices of the input; chunk extensions are checked, bounded and dropped.
//
// Chunked states: SIZE → (EXTENSION) → SIZE_LF → DATA → DATA_CR → DATA_LF → SIZE ...; size 0 → TRAILER → DONE.

import {
  FIRST_ENVOY_CONTROL,
  GRPC_STATUS,
  OTHER,
  tokenLower,
  X_ENVOY_DECORATOR_OPERATION,
} from "../http/header-names.ts";
import type { Headers } from "../http/headers.ts";
import { type HeadLimits, HeadParser, TRAILERS } from "./head-parser.ts";
import { ERR_CHUNK_END, ERR_CHUNK_EXTENSION, ERR_CHUNK_SIZE, ERR_LINE_END, NEED_MORE } from "./parse-error.ts";

export interface BodySink {
  onBodyData(data: Buffer): void;
}

const DONE = 0;
const LENGTH = 1;
const UNTIL_CLOSE = 2;
const SIZE = 3;
const EXTENSION = 4;
const QUOTED = 5;
const QUOTED_PAIR = 6;
const SIZE_LF = 7;
const DATA = 8;
const DATA_CR = 9;
const DATA_LF = 10;
const TRAILER = 11;

/** Bytes of chunk extensions in one body. */
const maxExtensionBytes = 16 * 1024;

export class BodyDecoder {
  #state = DONE;
  #remaining = 0;
  #digits = 0;
  #extensionBytes = 0;
  #extensionTokens = 0;
  #trailers: HeadParser | null = null;
  readonly #limits: HeadLimits;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  get done(): boolean {
    return this.#state === DONE;
  }

  /** True when only the end of the connection ends the body. */
  get untilClose(): boolean {
    return this.#state === UNTIL_CLOSE;
  }

  startEmpty(): void {
    this.#start(DONE, 0);
  }

  startLength(length: number): void {
    this.#start(length === 0 ? DONE : LENGTH, length);
  }

  startUntilClose(): void {
    this.#start(UNTIL_CLOSE, 0);
  }

  startChunked(): void {
    this.#start(SIZE, 0);
    this.#digits = 0;
    this.#extensionBytes = 0;
  }

  /** Nothing of the body before stays: its trailers would be taken for those of the next message. */
  #start(state: number, remaining: number): void {
    this.#state = state;
    this.#remaining = remaining;
    this.#trailers = null;
  }

  /** The trailers of a chunked body that is done, or null. */
  get trailers(): Headers | null {
    return this.#trailers === null ? null : this.#trailers.headers;
  }

  /** Ends a body that runs until the connection ends. */
  finishAtClose(): void {
    this.#state = DONE;
  }

  /** Takes bytes until the body is done: the position after them, or an error code. Data goes to the sink in order. */
  decode(bytes: Buffer, start: number, end: number, sink: BodySink): number {
    let at = start;
    while (at < end) {
      switch (this.#state) {
        case LENGTH:
        case DATA: {
          const take = end - at < this.#remaining ? end - at : this.#remaining;
          this.#remaining -= take;
          const from = at;
          at += take;
          if (this.#remaining === 0) this.#state = this.#state === LENGTH ? DONE : DATA_CR;
          sink.onBodyData(from === 0 && at === bytes.length ? bytes : bytes.subarray(from, at));
          break;
        }
        case UNTIL_CLOSE:
          sink.onBodyData(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
          return end;
        case DONE:
          return at;
        case TRAILER: {
          const result = this.#trailer(bytes, at, end);
          if (result === NEED_MORE) return end;
          if (result < 0) return result;
          at = result;
          break;
        }
        default: {
          const error = this.#step(bytes[at]!);
          if (error < 0) return error;
          at++;
        }
      }
    }
    return at;
  }

  #trailer(bytes: Buffer, at: number, end: number): number {
    this.#trailers ??= new HeadParser(TRAILERS, this.#limits);
    const result = this.#trailers.parse(bytes, at, end);
    if (result >= 0) {
      this.#state = DONE;
      dropFraming(this.#trailers.headers);
      if (this.#trailers.headers.length === 0) this.#trailers = null;
    }
    return result;
  }

  #step(byte: number): number {
    switch (this.#state) {
      case SIZE: {
        const digit = hexDigit(byte);
        if (digit >= 0) {
          // 13 hexadecimal digits stay below 2^53.
          if (++this.#digits > 13) return ERR_CHUNK_SIZE;
          this.#remaining = this.#remaining * 16 + digit;
          return 0;
        }
        if (this.#digits === 0) return ERR_CHUNK_SIZE;
        if (byte === 13) this.#state = SIZE_LF;
        else if (byte === 59) {
          this.#state = EXTENSION;
          this.#extensionTokens = 0;
        } else return ERR_CHUNK_SIZE;
        return 0;
      }
      case EXTENSION:
        if (++this.#extensionBytes > maxExtensionBytes) return ERR_CHUNK_EXTENSION;
        if (byte === 13) {
          if (this.#extensionTokens === 0) return ERR_CHUNK_EXTENSION;
          this.#state = SIZE_LF;
        } else if (byte === 34) this.#state = QUOTED;
        else if (byte === 59 || byte === 61) {
          if (this.#extensionTokens === 0) return ERR_CHUNK_EXTENSION;
          this.#extensionTokens = byte === 59 ? 0 : this.#extensionTokens;
        } else if (tokenLower[byte] === 0) return ERR_CHUNK_EXTENSION;
        else this.#extensionTokens = 1;
        return 0;
      case QUOTED:
      case QUOTED_PAIR:
        if (++this.#extensionBytes > maxExtensionBytes) return ERR_CHUNK_EXTENSION;
        if ((byte < 32 && byte !== 9) || byte === 127) return ERR_CHUNK_EXTENSION;
        if (this.#state === QUOTED_PAIR) this.#state = QUOTED;
        else if (byte === 34) this.#state = EXTENSION;
        else if (byte === 92) this.#state = QUOTED_PAIR;
        return 0;
      case SIZE_LF:
        if (byte !== 10) return ERR_LINE_END;
        this.#state = this.#remaining === 0 ? TRAILER : DATA;
        this.#digits = 0;
        return 0;
      case DATA_CR:
        if (byte !== 13) return ERR_CHUNK_END;
        this.#state = DATA_LF;
        return 0;
      case DATA_LF:
        if (byte !== 10) return ERR_CHUNK_END;
        this.#state = SIZE;
        return 0;
      default:
        return ERR_CHUNK_SIZE;
    }
  }
}

/** Fields that frame, route or authenticate a message may not come after its body (RFC 9110 6.5.1). */
function dropFraming(trailers: Headers): void {
  for (let i = 0; i < trailers.length; i++) {
    const id = trailers.idAt(i);
    const steers = (id !== OTHER && id <= X_ENVOY_DECORATOR_OPERATION) || id >= FIRST_ENVOY_CONTROL;
    if (steers && id !== GRPC_STATUS) trailers.removeAt(i);
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
