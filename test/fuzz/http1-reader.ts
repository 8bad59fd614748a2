// Reads a stream of HTTP/1 messages with the parsers of wire/http1, as a connection does, and keeps all that was read.
import { BodyDecoder } from "#wire/http1/body-decoder.ts";
import {
  CONNECTION_CLOSE,
  CONNECTION_KEEP_ALIVE,
  CONNECTION_UPGRADE,
  HeadParser,
  REQUEST,
} from "#wire/http1/head-parser.ts";
import { NEED_MORE } from "#wire/http1/parse-error.ts";
import { feed } from "./bytes.ts";

export interface ReadMessage {
  readonly start: string;
  readonly headers: string;
  body: string;
  trailers: string;
  isComplete: boolean;
}

export interface Reading {
  readonly messages: readonly ReadMessage[];
  /** 0, or the code of what is wrong. */
  readonly error: number;
}

const limits = { maxBytes: 2048, maxHeaders: 12 };

export class Http1Reader {
  readonly messages: ReadMessage[] = [];
  error = 0;
  readonly #kind: number;
  readonly #head: HeadParser;
  readonly #body = new BodyDecoder(limits);
  #isInHead = true;
  #isOver = false;

  constructor(kind: number) {
    this.#kind = kind;
    this.#head = new HeadParser(kind, limits);
  }

  onBodyData(data: Buffer): void {
    const message = this.messages.at(-1);
    if (message !== undefined) message.body += data.toString("latin1");
  }

  /** False when nothing more is read. */
  take(bytes: Buffer): boolean {
    let at = 0;
    while (at < bytes.length && !this.#isOver) {
      const result = this.#isInHead
        ? this.#head.parse(bytes, at, bytes.length)
        : this.#body.decode(bytes, at, bytes.length, this);
      if (result === NEED_MORE) return true;
      if (result < 0) {
        this.error = result;
        return false;
      }
      at = result;
      if (this.#isInHead) this.#headDone();
      else if (this.#body.done) this.#messageDone();
    }
    return !this.#isOver;
  }

  #headDone(): void {
    const head = this.#head;
    const { method, target, status, reason, minorVersion, headers } = head;
    const start =
      this.#kind === REQUEST
        ? `${method} ${target} HTTP/1.${minorVersion}`
        : `HTTP/1.${minorVersion} ${status}${reason === "" ? "" : ` ${reason}`}`;
    this.messages.push({ start, headers: headers.serialize(), body: "", trailers: "", isComplete: false });
    const isUpgrade = head.hasUpgrade && (head.connectionTokens & CONNECTION_UPGRADE) !== 0;
    if (method === "CONNECT" || status === 101 || (this.#kind === REQUEST && isUpgrade)) {
      this.#isOver = true;
      return;
    }
    if (status === 204 || status === 304 || (status >= 100 && status < 200)) this.#body.startEmpty();
    else if (head.chunked) this.#body.startChunked();
    else if (head.contentLength >= 0) this.#body.startLength(head.contentLength);
    else if (this.#kind === REQUEST) this.#body.startEmpty();
    else this.#body.startUntilClose();
    this.#isInHead = false;
    if (this.#body.done) this.#messageDone();
  }

  #messageDone(): void {
    const head = this.#head;
    const message = this.messages.at(-1);
    if (message !== undefined) {
      message.isComplete = true;
      message.trailers = this.#body.trailers?.serialize() ?? "";
    }
    const { connectionTokens: tokens, minorVersion } = head;
    this.#isOver = minorVersion === 1 ? (tokens & CONNECTION_CLOSE) !== 0 : (tokens & CONNECTION_KEEP_ALIVE) === 0;
    head.reset();
    this.#isInHead = true;
  }
}

export function readHttp1(kind: number, bytes: Buffer, sizes: readonly number[]): Reading {
  const reader = new Http1Reader(kind);
  feed(bytes, sizes, (piece) => reader.take(piece));
  return { messages: reader.messages, error: reader.error };
}

/** Writes a message as the proxy forwards it: start line and header lines as read, the body in one chunk or as it is. */
export function writeMessage({ start, headers, body, trailers }: ReadMessage): string {
  const isBodiless = /^HTTP\/1\.[01] (1\d\d|204|304)/.test(start);
  const isChunked = !isBodiless && /^transfer-encoding:/im.test(headers);
  const content = isChunked
    ? `${body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`}0\r\n${trailers}\r\n`
    : body;
  return `${start}\r\n${headers}\r\n${content}`;
}
