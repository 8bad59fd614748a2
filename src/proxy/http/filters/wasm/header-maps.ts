// The head and the trailers of a stream as a plugin sees them: pseudo headers first, names in lower case. What says where
// a message ends is kept in step with the stream, and what belongs to a connection is not the plugin's to change.
import type { Headers } from "#wire/http/headers.ts";
import type { Pair } from "../../../wasm/pairs.ts";
import type { HeaderMap } from "../../../wasm/stream-host.ts";
import { reasonPhrase } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";

/** RFC 9110 7.6.1, RFC 9112 6.1: with these a plugin could make the next server see another message than we do. */
const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** What differs between the heads of requests and responses. */
interface Head {
  readonly headers: () => Headers;
  readonly pseudoHeaders: () => Pair[];
  /** Does nothing where there is no such pseudo header, or where it can't have that value. */
  readonly setPseudoHeader: (name: string, value: string) => void;
  readonly forgetLength: () => void;
  readonly onChange: () => void;
}

/** `onChange` is told of every change: another route may match. */
export function requestHeaderMap(stream: Stream, onChange: () => void): HeaderMap {
  return new HeadMap({
    onChange,
    headers: () => stream.headers,
    pseudoHeaders: () => [
      [":authority", stream.authority],
      [":path", stream.path],
      [":method", stream.method],
      [":scheme", stream.scheme],
    ],
    setPseudoHeader: (name, value) => {
      if (name === ":authority" || name === "host") stream.setAuthority(value);
      else if (name === ":path" && /^[/*][\x21-\x7e\x80-\xff]*$/.test(value)) stream.path = value;
      else if (name === ":method" && /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(value)) stream.method = value;
      else if (name === ":scheme" && /^https?$/.test(value)) stream.scheme = value;
    },
    forgetLength: () => stream.forgetRequestLength(),
  });
}

export function responseHeaderMap(stream: Stream): HeaderMap {
  return new HeadMap({
    onChange: () => {},
    headers: () => stream.responseHeaders!,
    pseudoHeaders: () => [[":status", String(stream.responseStatus)]],
    setPseudoHeader: (name, value) => {
      if (name !== ":status" || !/^[2-9]\d\d$/.test(value)) return;
      stream.responseStatus = Number(value);
      stream.responseReason = reasonPhrase(Number(value));
    },
    forgetLength: () => stream.forgetResponseLength(),
  });
}

class HeadMap implements HeaderMap {
  readonly #head: Head;

  constructor(head: Head) {
    this.#head = head;
  }

  get(name: string): string | undefined {
    if (name === "host") return this.get(":authority");
    if (isPseudo(name)) return this.#head.pseudoHeaders().find(([it]) => it === name)?.[1];
    return firstValue(this.#head.headers(), name);
  }

  pairs(): Pair[] {
    return [...this.#head.pseudoHeaders(), ...plainPairs(this.#head.headers()).filter(([name]) => name !== "host")];
  }

  byteSize(): number {
    return byteSize(this.pairs());
  }

  add(name: string, value: string): void {
    this.#add(name, value);
    this.#head.onChange();
  }

  #add(name: string, value: string): void {
    if (isPseudo(name) || name === "content-length") this.#set(name, value);
    else if (!connectionHeaders.has(name)) this.#head.headers().add(name, value);
  }

  set(name: string, value: string): void {
    this.#set(name, value);
    this.#head.onChange();
  }

  #set(name: string, value: string): void {
    if (isPseudo(name)) this.#head.setPseudoHeader(name, value);
    else if (name === "content-length" && !/^\d{1,15}$/.test(value)) return;
    else if (!connectionHeaders.has(name)) this.#head.headers().set(name, value);
  }

  remove(name: string): void {
    this.#remove(name);
    this.#head.onChange();
  }

  #remove(name: string): void {
    if (isPseudo(name) || connectionHeaders.has(name)) return;
    const headers = this.#head.headers();
    if (name === "content-length" && headers.has(name)) this.#head.forgetLength();
    else headers.remove(name);
  }

  replaceAll(pairs: readonly Pair[]): void {
    const names = new Set(plainPairs(this.#head.headers()).map(([name]) => name));
    if (pairs.some(([name]) => name === "content-length")) names.delete("content-length");
    for (const name of names) this.#remove(name);
    for (const [name, value] of pairs) this.#add(name, value);
    this.#head.onChange();
  }
}

/**
 * Trailers. RFC 9110 6.5.1: what frames or routes a message may not stand in them. `create` makes them when the module
 * adds the first one.
 */
export function trailerMap(trailers: Headers | null, create: (() => Headers) | null): HeaderMap | null {
  return trailers === null && create === null ? null : new TrailerMap(trailers, create);
}

class TrailerMap implements HeaderMap {
  #trailers: Headers | null;
  readonly #create: (() => Headers) | null;

  constructor(trailers: Headers | null, create: (() => Headers) | null) {
    this.#trailers = trailers;
    this.#create = create;
  }

  get(name: string): string | undefined {
    return this.#trailers === null ? undefined : firstValue(this.#trailers, name);
  }

  pairs(): Pair[] {
    return this.#trailers === null ? [] : plainPairs(this.#trailers);
  }

  byteSize(): number {
    return byteSize(this.pairs());
  }

  add(name: string, value: string): void {
    if (isTrailer(name)) this.#forChange()?.add(name, value);
  }

  set(name: string, value: string): void {
    if (isTrailer(name)) this.#forChange()?.set(name, value);
  }

  remove(name: string): void {
    this.#trailers?.remove(name);
  }

  replaceAll(pairs: readonly Pair[]): void {
    for (const [name] of this.pairs()) this.remove(name);
    for (const [name, value] of pairs) this.add(name, value);
  }

  #forChange(): Headers | null {
    this.#trailers ??= this.#create?.() ?? null;
    return this.#trailers;
  }
}

/** A list that nobody changes any more. */
export function fixedMap(pairs: readonly Pair[]): HeaderMap {
  return {
    get: (name) => pairs.find(([it]) => it === name)?.[1],
    pairs: () => [...pairs],
    byteSize: () => byteSize(pairs),
    add: () => {},
    set: () => {},
    remove: () => {},
    replaceAll: () => {},
  };
}

/** Lines that are there. */
export function countLines(headers: Headers): number {
  let count = 0;
  for (let i = 0; i < headers.length; i++) if (!headers.isRemoved(i)) count++;
  return count;
}

function byteSize(pairs: readonly Pair[]): number {
  return pairs.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
}

function isTrailer(name: string): boolean {
  return !isPseudo(name) && name !== "content-length" && !connectionHeaders.has(name);
}

/** The Host line is the authority under another name. */
function isPseudo(name: string): boolean {
  return name.charCodeAt(0) === 0x3a || name === "host";
}

function firstValue(headers: Headers, lowerName: string): string | undefined {
  for (let i = 0; i < headers.length; i++) {
    if (!headers.isRemoved(i) && headers.lowerNameAt(i) === lowerName) return headers.valueAt(i);
  }
  return undefined;
}

function plainPairs(headers: Headers): Pair[] {
  const pairs: Pair[] = [];
  headers.forEach((name, value) => void pairs.push([name, value]));
  return pairs;
}
