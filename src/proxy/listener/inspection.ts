// The TLS and HTTP inspectors: what the first bytes of a connection say, and whether anybody needs to know. A listener
// whose chains for a port do not differ by TLS, SNI or protocol does not wait for bytes, so that protocols in which the
// server speaks first do not hang.

import { tokenLower } from "#wire/http/header-names.ts";
import { HELLO_DONE, HELLO_NEED_MORE, HELLO_TOO_LARGE, parseClientHello } from "#wire/tls/client-hello.ts";
import type { FilterChainConfig, ListenerConfig } from "../config/listener.ts";
import type { Counter, Stats } from "../stats/stats.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";

export interface InspectionNeed {
  readonly tls: boolean;
  readonly http: boolean;
}

/** What has to be known of a connection to that port before its filter chain can be chosen. */
export function inspectionNeed(listener: ListenerConfig, port: number): InspectionNeed {
  if (listener.filterChainMatcher !== null) {
    // What a tree will ask cannot be told beforehand.
    const needsTls = listener.filterChains.some((chain) => chain.tls !== null);
    return { tls: needsTls || isOn(listener.tlsInspector, port), http: isOn(listener.httpInspector, port) };
  }
  const chains = chainsFor(listener, port);
  const tls = chains.some(
    (chain) =>
      chain.tls !== null ||
      (isOn(listener.tlsInspector, port) &&
        (chain.match.transportProtocol !== null || chain.match.serverNames.length > 0 || asksForSni(chain))),
  );
  const http =
    isOn(listener.httpInspector, port) &&
    chains.some((chain) => chain.match.transportProtocol !== "tls" && chain.match.applicationProtocols.length > 0);
  return { tls: tls || (http && isOn(listener.tlsInspector, port)), http };
}

/** Whether a filter of the chain decides by server name. */
function asksForSni(chain: FilterChainConfig): boolean {
  return chain.filters.some((filter) => filter.readsServerName);
}

function isOn(filter: ListenerConfig["tlsInspector"], port: number): boolean {
  return filter !== null && !filter.disabledForPort(port);
}

/** Envoy takes the chains for exactly that port, else those for any port. */
export function chainsFor(listener: ListenerConfig, port: number): readonly FilterChainConfig[] {
  const exact = listener.filterChains.filter((chain) => chain.match.destinationPort === port);
  const chains =
    exact.length > 0 ? exact : listener.filterChains.filter((chain) => chain.match.destinationPort === null);
  return listener.defaultFilterChain === null ? chains : [...chains, listener.defaultFilterChain];
}

/** What the inspectors of all listeners found. */
export interface InspectorCounters {
  readonly tlsFound: Counter;
  readonly tlsNotFound: Counter;
  readonly sniFound: Counter;
  readonly sniNotFound: Counter;
  readonly alpnFound: Counter;
  readonly alpnNotFound: Counter;
  readonly clientHelloTooLarge: Counter;
  readonly http10Found: Counter;
  readonly http11Found: Counter;
  readonly http2Found: Counter;
  readonly httpNotFound: Counter;
}

export function inspectorCounters(stats: Stats): InspectorCounters {
  return {
    tlsFound: stats.counter("tls_inspector.tls_found"),
    tlsNotFound: stats.counter("tls_inspector.tls_not_found"),
    sniFound: stats.counter("tls_inspector.sni_found"),
    sniNotFound: stats.counter("tls_inspector.sni_not_found"),
    alpnFound: stats.counter("tls_inspector.alpn_found"),
    alpnNotFound: stats.counter("tls_inspector.alpn_not_found"),
    clientHelloTooLarge: stats.counter("tls_inspector.client_hello_too_large"),
    http10Found: stats.counter("http_inspector.http10_found"),
    http11Found: stats.counter("http_inspector.http11_found"),
    http2Found: stats.counter("http_inspector.http2_found"),
    httpNotFound: stats.counter("http_inspector.http_not_found"),
  };
}

export const INSPECT_MORE = 0;
export const INSPECT_DONE = 1;
/** The bytes are of a kind that must not go on. */
const INSPECT_REFUSED = 2;

/** Most bytes in which the end of a request line is looked for. More than this without one is not HTTP. */
const maxLineBytes: number = 64 * 1024;

/** One connection's look at its first bytes, which goes on where it stopped. */
export class Inspection {
  readonly need: InspectionNeed;
  readonly #counters: InspectorCounters;
  #wantsTls: boolean;
  /** Bytes below this length say nothing new. */
  #neededBytes = 0;
  /** How far the request line was looked at. */
  #scanned = 0;

  constructor(need: InspectionNeed, counters: InspectorCounters) {
    this.need = need;
    this.#counters = counters;
    this.#wantsTls = need.tls;
  }

  /** True while the bytes so far may be the beginning of a TLS hello. */
  get isInHello(): boolean {
    return this.#wantsTls && this.#neededBytes > 0;
  }

  /** Looks at all bytes so far and fills in the connection when they tell. */
  look(bytes: Buffer, info: ConnectionInfo): number {
    if (this.#wantsTls) {
      if (bytes.length < this.#neededBytes) return INSPECT_MORE;
      const outcome = this.#lookForTls(bytes, info);
      if (outcome !== INSPECT_MORE || this.#wantsTls) return outcome;
    }
    info.transportProtocol = "raw_buffer";
    info.isInspected = true;
    return this.need.http ? this.#lookForHttp(bytes, info) : INSPECT_DONE;
  }

  #lookForTls(bytes: Buffer, info: ConnectionInfo): number {
    const hello = parseClientHello(bytes);
    switch (hello.status) {
      case HELLO_NEED_MORE:
        this.#neededBytes = hello.neededBytes;
        return INSPECT_MORE;
      case HELLO_DONE: {
        const counters = this.#counters;
        info.transportProtocol = "tls";
        info.isInspected = true;
        info.serverName = hello.serverName;
        info.applicationProtocols = hello.alpn;
        counters.tlsFound.add();
        if (hello.serverName === "") counters.sniNotFound.add();
        else counters.sniFound.add();
        if (hello.alpn.length === 0) counters.alpnNotFound.add();
        else counters.alpnFound.add();
        return INSPECT_DONE;
      }
      case HELLO_TOO_LARGE:
        this.#counters.clientHelloTooLarge.add();
        return INSPECT_REFUSED;
      default:
        this.#counters.tlsNotFound.add();
        this.#wantsTls = false;
        return INSPECT_MORE;
    }
  }

  #lookForHttp(bytes: Buffer, info: ConnectionInfo): number {
    const protocol = sniffHttp(bytes, this.#scanned);
    if (protocol === null) {
      this.#scanned = bytes.length;
      if (bytes.length < maxLineBytes) return INSPECT_MORE;
    }
    if (protocol === null || protocol === "") {
      this.#counters.httpNotFound.add();
      return INSPECT_DONE;
    }
    info.applicationProtocols = [protocol];
    if (protocol === "http/1.1") this.#counters.http11Found.add();
    else if (protocol === "http/1.0") this.#counters.http10Found.add();
    else this.#counters.http2Found.add();
    return INSPECT_DONE;
  }
}

const preface = "PRI * HTTP/2.0\r\n";
/** Longer methods than this are not told from other protocols. */
const maxMethodBytes = 32;

/** `http/1.1`, `http/1.0` or `h2c`; empty for other protocols; null while it can't be told. */
function sniffHttp(bytes: Buffer, scanned: number): string | null {
  const head = bytes.toString("latin1", 0, Math.min(bytes.length, preface.length));
  if (head.startsWith("PRI ")) return head === preface ? "h2c" : preface.startsWith(head) ? null : "";
  let at = 0;
  while (at <= maxMethodBytes && at < bytes.length && tokenLower[bytes[at]!] !== 0) at++;
  if (at > maxMethodBytes) return "";
  if (at === bytes.length) return null;
  if (at === 0 || bytes[at] !== 32) return "";
  const from = Math.max(at, scanned);
  const lineEnd = bytes.indexOf(10, from);
  if (lineEnd < 0) {
    for (let i = from; i < bytes.length; i++) if (bytes[i]! < 32 && bytes[i] !== 13) return "";
    return null;
  }
  const end = bytes[lineEnd - 1] === 13 ? lineEnd - 1 : lineEnd;
  const version = bytes.toString("latin1", Math.max(at, end - 9), end);
  if (version === " HTTP/1.1") return "http/1.1";
  return version === " HTTP/1.0" ? "http/1.0" : "";
}
