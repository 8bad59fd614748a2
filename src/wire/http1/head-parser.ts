// HOT: per byte of a head. Strict parser for HTTP/1 heads and trailers over Buffers (RFC 9112). It parses in place when
// the head lies in one chunk and keeps a copy only of an incomplete head. Bytes that no correct sender produces are
// refused as soon as they are seen; nothing is repaired, because two readers that repair differently can be played
// against each other. What a message means for a server or a client is decided by the caller.
//
// Work is linear in the bytes received: an incomplete line is scanned again only when a new LF arrived.
import {
  CONNECTION,
  CONTENT_LENGTH,
  EXPECT,
  HOST,
  idOfBytes,
  TRANSFER_ENCODING,
  tokenLower,
  UPGRADE,
} from "../http/header-names.ts";
import { Headers } from "../http/headers.ts";
import {
  ERR_CONTENT_LENGTH,
  ERR_DUPLICATE_CONTENT_LENGTH,
  ERR_HEAD_TOO_LARGE,
  ERR_HEADER_NAME,
  ERR_HEADER_VALUE,
  ERR_HTTP2_PREFACE,
  ERR_LENGTH_AND_CODING,
  ERR_LINE_END,
  ERR_OBS_FOLD,
  ERR_START_LINE,
  ERR_STATUS,
  ERR_TARGET,
  ERR_TOO_MANY_HEADERS,
  ERR_TRANSFER_ENCODING,
  ERR_UNSUPPORTED_CODING,
  ERR_VERSION,
  NEED_MORE,
} from "./parse-error.ts";

export const REQUEST = 0;
export const RESPONSE = 1;
export const TRAILERS = 2;

export interface HeadLimits {
  readonly maxBytes: number;
  readonly maxHeaders: number;
  /** Content-Length beside chunked coding is dropped (RFC 9112 6.3, item 3), where somebody insists; else refused. */
  readonly allowChunkedLength?: boolean;
}

const CR = 13;
const LF = 10;
const SP = 32;
const TAB = 9;

/** 1 where a byte may stand in a field value: HTAB, visible ASCII, space and obs-text. */
const valueChar: Uint8Array = new Uint8Array(256).fill(1, 32).fill(1, 9, 10).fill(0, 127, 128);
/** 1 where a byte may stand in a request target. */
const targetChar: Uint8Array = new Uint8Array(256).fill(1, 33, 127);
const http1 = Buffer.from("HTTP/1.", "latin1");
/** A version that is well-formed, with 9 for every digit. */
const otherVersion = "HTTP/9.9";
const commonMethods: readonly string[] = [
  "GET",
  "POST",
  "PUT",
  "DELETE",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "CONNECT",
  "TRACE",
];

/** Bits of `connectionTokens`. */
export const CONNECTION_CLOSE = 1;
export const CONNECTION_KEEP_ALIVE = 2;
export const CONNECTION_UPGRADE = 4;
/** Names of other headers that the sender wants to be dropped by the next hop. */
export const CONNECTION_OTHER = 8;

export class HeadParser {
  readonly headers: Headers = new Headers();
  method = "";
  target = "";
  status = 0;
  reason = "";
  /** 0 or 1: HTTP/1.0 or HTTP/1.1. */
  minorVersion = 1;
  /** -1 when absent. */
  contentLength = -1;
  chunked = false;
  hostCount = 0;
  connectionTokens = 0;
  hasUpgrade = false;
  hasExpect = false;
  /** Bytes of the head, once it is complete. */
  headBytes = 0;

  readonly #kind: number;
  #maxBytes: number;
  #maxHeaders: number;
  readonly #allowChunkedLength: boolean;
  #hasStartLine = false;
  /** Parsed up to here, as an offset from the start of the head. */
  #done = 0;
  #skippedEmptyLine = false;
  /** Copy of an incomplete head. */
  #kept: Buffer | null = null;
  #keptLength = 0;
  /** Result of #startLine and #headerLine. */
  #cursor = 0;

  constructor(kind: number, limits: HeadLimits) {
    this.#kind = kind;
    this.#maxBytes = limits.maxBytes;
    this.#maxHeaders = limits.maxHeaders;
    this.#allowChunkedLength = limits.allowChunkedLength ?? false;
    this.#hasStartLine = kind === TRAILERS;
  }

  setLimits(limits: HeadLimits): void {
    this.#maxBytes = limits.maxBytes;
    this.#maxHeaders = limits.maxHeaders;
  }

  /** True between the first byte of a head and its end. */
  get started(): boolean {
    return this.#keptLength > 0;
  }

  /** Makes ready for the next head. */
  reset(): void {
    this.headers.clear();
    this.method = "";
    this.target = "";
    this.status = 0;
    this.reason = "";
    this.minorVersion = 1;
    this.contentLength = -1;
    this.chunked = false;
    this.hostCount = 0;
    this.connectionTokens = 0;
    this.hasUpgrade = false;
    this.hasExpect = false;
    this.headBytes = 0;
    this.#hasStartLine = this.#kind === TRAILERS;
    this.#done = 0;
    this.#skippedEmptyLine = false;
    this.#kept = null;
    this.#keptLength = 0;
  }

  /** Parses from `start`: the position after the head, NEED_MORE (all bytes were taken), or an error code. */
  parse(chunk: Buffer, start: number, end: number): number {
    if (this.#keptLength === 0) {
      const result = this.#run(chunk, start, end);
      if (result === NEED_MORE) return this.#keep(chunk, start, end);
      return result;
    }
    const before = this.#keptLength;
    const kept = this.#keep(chunk, start, end);
    if (kept !== NEED_MORE) return kept;
    const lineFeed = chunk.indexOf(LF, start);
    if (lineFeed < 0 || lineFeed >= end) return NEED_MORE;
    const result = this.#run(this.#kept!, 0, this.#keptLength);
    return result < 0 ? result : start + result - before;
  }

  /** Appends to the kept bytes. Bytes after the head may be among them; they are not lost, only copied. */
  #keep(chunk: Buffer, start: number, end: number): number {
    const length = this.#keptLength + end - start;
    if (this.#kept === null || this.#kept.length < length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(1024, length * 2));
      if (this.#kept !== null) this.#kept.copy(larger, 0, 0, this.#keptLength);
      this.#kept = larger;
    }
    chunk.copy(this.#kept, this.#keptLength, start, end);
    this.#keptLength = length;
    return length > this.#maxBytes && this.#kept.indexOf("\r\n\r\n", 0, "latin1") < 0 ? ERR_HEAD_TOO_LARGE : NEED_MORE;
  }

  #run(bytes: Buffer, base: number, end: number): number {
    let at = base + this.#done;
    if (!this.#hasStartLine) {
      const result = this.#kind === REQUEST ? this.#requestLine(bytes, at, end) : this.#statusLine(bytes, at, end);
      if (result < 0) return result;
      at = result;
      this.#hasStartLine = true;
      this.#done = at - base;
    }
    for (;;) {
      const result = this.#headerLine(bytes, base, at, end);
      if (result < 0) {
        if (result === NEED_MORE && end - base > this.#maxBytes) return ERR_HEAD_TOO_LARGE;
        return result;
      }
      if (this.#cursor === 0) return this.#complete(bytes, base, result);
      at = result;
      this.#done = at - base;
      if (this.#done > this.#maxBytes) return ERR_HEAD_TOO_LARGE;
      if (this.headers.length > this.#maxHeaders) return ERR_TOO_MANY_HEADERS;
    }
  }

  #complete(bytes: Buffer, base: number, end: number): number {
    if (end - base > this.#maxBytes) return ERR_HEAD_TOO_LARGE;
    this.headers.setRaw(bytes.toString("latin1", base, end));
    this.headBytes = end - base;
    if (this.chunked) {
      if (this.minorVersion === 0) return ERR_TRANSFER_ENCODING;
      if (this.contentLength >= 0) {
        this.headers.removeId(CONTENT_LENGTH);
        this.contentLength = -1;
      }
    }
    return end;
  }

  #requestLine(bytes: Buffer, start: number, end: number): number {
    let at = start;
    if (at < end && bytes[at] === CR && !this.#skippedEmptyLine) {
      // RFC 9112 2.2: an empty line before the request line is ignored, once.
      if (at + 1 >= end) return NEED_MORE;
      if (bytes[at + 1] !== LF) return ERR_LINE_END;
      at += 2;
      this.#skippedEmptyLine = true;
      this.#done += 2;
    }
    const methodStart = at;
    while (at < end && tokenLower[bytes[at]!] !== 0) at++;
    if (at === end) return at - methodStart > 32 ? ERR_START_LINE : NEED_MORE;
    if (at === methodStart || at - methodStart > 32 || bytes[at] !== SP) return ERR_START_LINE;
    const methodEnd = at++;
    const targetStart = at;
    while (at < end && targetChar[bytes[at]!] === 1) at++;
    if (at === end) return NEED_MORE;
    if (at === targetStart || bytes[at] !== SP) return ERR_TARGET;
    const targetEnd = at++;
    if (end - at < 10) {
      // Early refusal of what can't become a version.
      for (let i = 0; at + i < end && i < 7; i++)
        if (bytes[at + i] !== http1[i]) return this.#badVersion(bytes, at, end);
      return NEED_MORE;
    }
    for (let i = 0; i < 7; i++) if (bytes[at + i] !== http1[i]) return this.#badVersion(bytes, at, end);
    const minor = bytes[at + 7]! - 48;
    if (minor !== 0 && minor !== 1) return minor > 1 && minor < 10 ? ERR_VERSION : ERR_START_LINE;
    if (bytes[at + 8] !== CR || bytes[at + 9] !== LF) return bytes[at + 8] === LF ? ERR_LINE_END : ERR_START_LINE;
    this.minorVersion = minor;
    this.method = methodOf(bytes, methodStart, methodEnd);
    this.target = bytes.toString("latin1", targetStart, targetEnd);
    return at + 10;
  }

  #badVersion(bytes: Buffer, at: number, end: number): number {
    const preface = "HTTP/2.0";
    const version = bytes.toString("latin1", at, Math.min(at + preface.length, end));
    if (version.length < preface.length) {
      const isPrefix = preface.startsWith(version) || otherVersion.startsWith(version.replaceAll(/\d/g, "9"));
      return isPrefix ? NEED_MORE : ERR_START_LINE;
    }
    if (version === preface) return ERR_HTTP2_PREFACE;
    // What is no version at all was meant for another place of the line.
    return version.replaceAll(/\d/g, "9") === otherVersion ? ERR_VERSION : ERR_START_LINE;
  }

  #statusLine(bytes: Buffer, start: number, end: number): number {
    let at = start;
    for (let i = 0; i < 7; i++, at++) {
      if (at === end) return NEED_MORE;
      if (bytes[at] !== http1[i]) return ERR_VERSION;
    }
    if (end - at < 6) return NEED_MORE;
    const minor = bytes[at]! - 48;
    if ((minor !== 0 && minor !== 1) || bytes[at + 1] !== SP) return ERR_VERSION;
    const hundreds = bytes[at + 2]! - 48;
    const tens = bytes[at + 3]! - 48;
    const ones = bytes[at + 4]! - 48;
    if (hundreds < 1 || hundreds > 9 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return ERR_STATUS;
    at += 5;
    // The space before an empty reason is missing in many servers' answers.
    if (bytes[at] !== SP && bytes[at] !== CR) return ERR_STATUS;
    if (bytes[at] === SP) at++;
    const reasonStart = at;
    while (at < end && valueChar[bytes[at]!] === 1) at++;
    if (at + 1 >= end) return at < end && bytes[at] !== CR ? ERR_LINE_END : NEED_MORE;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return ERR_LINE_END;
    this.minorVersion = minor;
    this.status = hundreds * 100 + tens * 10 + ones;
    this.reason =
      this.status === 200 && at - reasonStart === 2 && bytes[reasonStart] === 79
        ? "OK"
        : bytes.toString("latin1", reasonStart, at);
    return at + 2;
  }

  /** Parses one line. Leaves 0 in #cursor when it was the empty line that ends the head. */
  #headerLine(bytes: Buffer, base: number, start: number, end: number): number {
    let at = start;
    let hash = 0;
    let lower = 0;
    while (at < end && (lower = tokenLower[bytes[at]!]!) !== 0) {
      hash = (Math.imul(hash, 31) + lower) | 0;
      at++;
    }
    if (at === end) return NEED_MORE;
    if (at === start) {
      const first = bytes[at]!;
      if (first === CR) {
        if (at + 1 === end) return NEED_MORE;
        if (bytes[at + 1] !== LF) return ERR_LINE_END;
        this.#cursor = 0;
        return at + 2;
      }
      return first === SP || first === TAB ? ERR_OBS_FOLD : first === LF ? ERR_LINE_END : ERR_HEADER_NAME;
    }
    if (bytes[at] !== 58) return ERR_HEADER_NAME;
    const nameEnd = at++;
    while (at < end && (bytes[at] === SP || bytes[at] === TAB)) at++;
    const valueStart = at;
    while (at < end && valueChar[bytes[at]!] === 1) at++;
    if (at === end) return NEED_MORE;
    if (bytes[at] !== CR) return bytes[at] === LF ? ERR_LINE_END : ERR_HEADER_VALUE;
    if (at + 1 === end) return NEED_MORE;
    if (bytes[at + 1] !== LF) return ERR_LINE_END;
    const lineEnd = at + 2;
    while (at > valueStart && (bytes[at - 1] === SP || bytes[at - 1] === TAB)) at--;
    const canonical = valueStart === nameEnd + 2 && bytes[nameEnd + 1] === SP && at + 2 === lineEnd;
    const id = idOfBytes(bytes, start, nameEnd, hash);
    this.headers.addRaw(id, start - base, nameEnd - base, valueStart - base, at - base, canonical);
    this.#cursor = 1;
    if (id !== 0 && id <= EXPECT && this.#kind !== TRAILERS) {
      const error = this.#framing(id, bytes, valueStart, at);
      if (error !== 0) return error;
    }
    return lineEnd;
  }

  #framing(id: number, bytes: Buffer, start: number, end: number): number {
    if (id === HOST) {
      this.hostCount++;
      return 0;
    }
    if (id === CONTENT_LENGTH) {
      if (this.contentLength >= 0) return ERR_DUPLICATE_CONTENT_LENGTH;
      // 15 digits stay below 2^53.
      if (start === end || end - start > 15) return ERR_CONTENT_LENGTH;
      let length = 0;
      for (let at = start; at < end; at++) {
        const digit = bytes[at]! - 48;
        if (digit < 0 || digit > 9) return ERR_CONTENT_LENGTH;
        length = length * 10 + digit;
      }
      this.contentLength = length;
      return this.chunked && !this.#allowChunkedLength ? ERR_LENGTH_AND_CODING : 0;
    }
    if (id === TRANSFER_ENCODING) {
      if (this.contentLength >= 0 && !this.#allowChunkedLength) return ERR_LENGTH_AND_CODING;
      if (this.chunked) return ERR_TRANSFER_ENCODING;
      const coding = bytes.toString("latin1", start, end).toLowerCase();
      if (coding !== "chunked") return isTokenList(coding) ? ERR_UNSUPPORTED_CODING : ERR_TRANSFER_ENCODING;
      this.chunked = true;
      return 0;
    }
    if (id === CONNECTION) this.connectionTokens |= connectionTokensOf(bytes, start, end);
    else if (id === UPGRADE) this.hasUpgrade = true;
    else if (id === EXPECT) this.hasExpect = true;
    return 0;
  }
}

function methodOf(bytes: Buffer, start: number, end: number): string {
  if (end - start === 3 && bytes[start] === 71 && bytes[start + 1] === 69 && bytes[start + 2] === 84) return "GET";
  const method = bytes.toString("latin1", start, end);
  const common = commonMethods.indexOf(method);
  return common >= 0 ? commonMethods[common]! : method;
}

function connectionTokensOf(bytes: Buffer, start: number, end: number): number {
  const length = end - start;
  if (length === 10 && (bytes[start]! | 32) === 107) {
    if (bytes.toString("latin1", start, end).toLowerCase() === "keep-alive") return CONNECTION_KEEP_ALIVE;
  }
  let tokens = 0;
  for (const part of bytes.toString("latin1", start, end).toLowerCase().split(",")) {
    const token = trimmed(part);
    if (token === "close") tokens |= CONNECTION_CLOSE;
    else if (token === "keep-alive") tokens |= CONNECTION_KEEP_ALIVE;
    else if (token === "upgrade") tokens |= CONNECTION_UPGRADE;
    else if (token !== "") tokens |= CONNECTION_OTHER;
  }
  return tokens;
}

/** Without the white space of RFC 9110 5.6.3. `trim` would take a no-break space off too. */
function trimmed(part: string): string {
  let start = 0;
  let end = part.length;
  while (start < end && isBlank(part.charCodeAt(start))) start++;
  while (end > start && isBlank(part.charCodeAt(end - 1))) end--;
  return start === 0 && end === part.length ? part : part.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SP || code === TAB;
}

function isTokenList(text: string): boolean {
  return text.split(",").every((part) => {
    const token = trimmed(part);
    if (token === "") return false;
    for (let i = 0; i < token.length; i++) if (tokenLower[token.charCodeAt(i)] === 0) return false;
    return true;
  });
}
