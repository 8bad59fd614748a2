// HOT: per field (bench/http2-codec.ts). Makes a head or trailers out of decoded fields and checks what RFC 9113 8 asks of a message. A fault is
// remembered and the rest of the block still read, because the HPACK table of the connection depends on it. Every field
// counts against the limits before anything is done with it: crumbs of cookies, dropped duplicates, refused ones.
import {
  CONNECTION,
  CONTENT_LENGTH,
  COOKIE,
  HOST,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TE,
  TRANSFER_ENCODING,
  UPGRADE,
} from "../http/header-names.ts";
import { Headers } from "../http/headers.ts";
import { BAD_NAME, isAuthority } from "./field-validity.ts";
import { Http2Head } from "./head.ts";
import { ENTRY_OVERHEAD, type FieldSink } from "./hpack/decoder.ts";
import { AUTHORITY, FIRST_PSEUDO, METHOD, PATH, PROTOCOL, SCHEME, STATUS } from "./hpack/static-table.ts";

export const REQUEST_HEAD = 0;
export const RESPONSE_HEAD = 1;
export const TRAILERS = 2;

export class HeadReader implements FieldSink {
  head: Http2Head | null = null;
  headers: Headers | null = null;
  /** What is malformed, or "". */
  fault = "";
  /** True when a limit was passed. */
  isTooLarge = false;
  readonly #maxBytes: number;
  readonly #maxCount: number;
  #keepsHost: boolean;
  #kind = REQUEST_HEAD;
  #bytes = 0;
  #count = 0;
  #hasRegular = false;
  #seen = 0;
  #host = "";
  #hasHost = false;
  #cookieAt = -1;

  /** `keepsHost`: the host line stays in the list beside the authority, as the HTTP/1 application wrote it. */
  constructor(maxBytes: number, maxCount: number, keepsHost = false) {
    this.#keepsHost = keepsHost;
    this.#maxBytes = maxBytes;
    this.#maxCount = maxCount;
  }

  keepHost(): void {
    this.#keepsHost = true;
  }

  begin(kind: number): void {
    this.#kind = kind;
    if (kind === TRAILERS) {
      this.head = null;
      this.headers = new Headers();
    } else {
      this.head = new Http2Head();
      this.headers = this.head.headers;
    }
    this.fault = "";
    this.isTooLarge = false;
    this.#bytes = 0;
    this.#count = 0;
    this.#hasRegular = false;
    this.#seen = 0;
    this.#host = "";
    this.#hasHost = false;
    this.#cookieAt = -1;
  }

  onField(id: number, name: string, value: string, faults: number): void {
    this.#bytes += name.length + value.length + ENTRY_OVERHEAD;
    if (this.#bytes > this.#maxBytes || ++this.#count > this.#maxCount) {
      this.isTooLarge = true;
      return;
    }
    if (faults !== 0) {
      this.#malformed(
        (faults & BAD_NAME) !== 0 ? "a field name that is not allowed" : "a field value that is not allowed",
      );
      return;
    }
    if (id >= FIRST_PSEUDO) {
      this.#pseudo(id, value);
      return;
    }
    this.#hasRegular = true;
    if (id <= TE && id !== 0) this.#special(id, name, value);
    else if (id === COOKIE) this.#cookie(name, value);
    else this.headers!.addKnown(id, name, value);
  }

  #malformed(words: string): void {
    if (this.fault === "") this.fault = words;
  }

  #pseudo(id: number, value: string): void {
    const bit = 1 << (id - FIRST_PSEUDO);
    const head = this.head;
    if (head === null) return this.#malformed("a pseudo-header in trailers");
    if (this.#hasRegular) return this.#malformed("a pseudo-header after a header");
    if ((this.#seen & bit) !== 0) return this.#malformed("a pseudo-header that stands twice");
    if ((id === STATUS) !== (this.#kind === RESPONSE_HEAD))
      return this.#malformed("a pseudo-header that does not belong here");
    this.#seen |= bit;
    switch (id) {
      case METHOD:
        head.method = value;
        break;
      case PATH:
        head.path = value;
        break;
      case SCHEME:
        head.scheme = value === "http" || value === "https" ? value : value.toLowerCase();
        break;
      case AUTHORITY:
        head.authority = value;
        break;
      case STATUS:
        head.status = Number(value);
        break;
      case PROTOCOL:
        head.protocol = value;
        break;
      default:
        this.#malformed("an unknown pseudo-header");
    }
  }

  /** The fields that frame a message or belong to one connection. */
  #special(id: number, name: string, value: string): void {
    switch (id) {
      case CONNECTION:
      case KEEP_ALIVE:
      case PROXY_CONNECTION:
      case TRANSFER_ENCODING:
      case UPGRADE:
        return this.#malformed("a header that is about a connection"); // RFC 9113 8.2.2
      case TE:
        if (value.toLowerCase() !== "trailers") return this.#malformed("a TE other than trailers");
        break;
      case CONTENT_LENGTH:
        this.#contentLength(value);
        break;
      case HOST:
        // The authority stands for it. RFC 9110 7.2: one only.
        if (this.#kind !== REQUEST_HEAD) break;
        if (this.#hasHost) return this.#malformed("two host headers");
        this.#hasHost = true;
        this.#host = value;
        if (!this.#keepsHost) return;
        break;
      default:
        break;
    }
    this.headers!.addKnown(id, name, value);
  }

  #contentLength(value: string): void {
    const head = this.head;
    if (head === null) return this.#malformed("a content-length in trailers");
    if (head.contentLength >= 0) return this.#malformed("two content-length headers");
    // 15 digits stay below 2^53.
    if (value.length === 0 || value.length > 15) return this.#malformed("a content-length that is no number");
    let length = 0;
    for (let i = 0; i < value.length; i++) {
      const digit = value.charCodeAt(i) - 48;
      if (digit < 0 || digit > 9) return this.#malformed("a content-length that is no number");
      length = length * 10 + digit;
    }
    head.contentLength = length;
  }

  /** RFC 9113 8.2.3: what a client split is one line again, because HTTP/1 knows no other form. */
  #cookie(name: string, value: string): void {
    const headers = this.headers!;
    if (this.#cookieAt >= 0) {
      headers.setValueAt(this.#cookieAt, `${headers.valueAt(this.#cookieAt)}; ${value}`);
      return;
    }
    this.#cookieAt = headers.length;
    headers.addKnown(COOKIE, name, value);
  }

  /** Checks the whole after the last field. The result is in `fault`. */
  finish(): void {
    const head = this.head;
    if (head === null || this.fault !== "" || this.isTooLarge) return;
    if (this.#kind === RESPONSE_HEAD) {
      if (head.status === 0) this.#malformed("no :status");
      return;
    }
    this.#finishRequest(head);
  }

  #finishRequest(head: Http2Head): void {
    if (head.method === "") return this.#malformed("no :method");
    const hasPath = (this.#seen & (1 << (PATH - FIRST_PSEUDO))) !== 0;
    const hasAuthority = (this.#seen & (1 << (AUTHORITY - FIRST_PSEUDO))) !== 0;
    const hasScheme = head.scheme !== "";
    if (head.method === "CONNECT" && head.protocol === "") {
      // RFC 9113 8.5.
      if (hasPath || hasScheme) return this.#malformed("a CONNECT with :path or :scheme");
      if (head.authority === "") return this.#malformed("a CONNECT without :authority");
    } else {
      if (!hasPath) return this.#malformed("no :path");
      if (!hasScheme) return this.#malformed("no :scheme");
      if (head.protocol !== "" && head.method !== "CONNECT") return this.#malformed(":protocol without CONNECT");
      if (head.path.charCodeAt(0) !== 47 && !(head.path === "*" && head.method === "OPTIONS")) {
        return this.#malformed("a :path that does not begin with a slash");
      }
    }
    if (!this.#hasHost) return;
    if (!hasAuthority) {
      head.authority = this.#host;
      if (!isAuthority(this.#host)) this.#malformed("a host that is no authority");
    } else if (this.#host !== head.authority && this.#host.toLowerCase() !== head.authority.toLowerCase()) {
      this.#malformed("a host that is not the :authority"); // RFC 9113 8.3.1
    }
  }
}
