// The TLS and HTTP inspectors: what the first bytes of a connection say, and whether anybody needs to know. A listener
// whose chains for a port do not differ by TLS, SNI or protocol does not wait for bytes, so that protocols in which the
// server speaks first do not hang.

import { tokenLower } from "#wire/http/header-names.ts";
import { HELLO_DONE, HELLO_NEED_MORE, parseClientHello } from "#wire/tls/client-hello.ts";
import type { FilterChainConfig, ListenerConfig } from "../config/listener.ts";
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
  const chains = candidates(listener, port);
  const tls = chains.some(
    (chain) =>
      chain.tls !== null ||
      (isOn(listener.tlsInspector, port) &&
        (chain.match.transportProtocol !== null || chain.match.serverNames.length > 0)),
  );
  const http =
    isOn(listener.httpInspector, port) &&
    chains.some((chain) => chain.match.transportProtocol !== "tls" && chain.match.applicationProtocols.length > 0);
  return { tls: tls || (http && isOn(listener.tlsInspector, port)), http };
}

function isOn(filter: ListenerConfig["tlsInspector"], port: number): boolean {
  return filter !== null && !filter.disabledForPort(port);
}

/** Envoy takes the chains for exactly that port, else those for any port. */
function candidates(listener: ListenerConfig, port: number): readonly FilterChainConfig[] {
  const exact = listener.filterChains.filter((chain) => chain.match.destinationPort === port);
  const chains =
    exact.length > 0 ? exact : listener.filterChains.filter((chain) => chain.match.destinationPort === null);
  return listener.defaultFilterChain === null ? chains : [...chains, listener.defaultFilterChain];
}

/** Most bytes that are looked at. More than this without an answer is an answer: unknown. */
const maxInspectedBytes: number = 64 * 1024;

/** Looks at the bytes so far and fills in the connection. False asks for more bytes. */
export function inspect(bytes: Buffer, need: InspectionNeed, info: ConnectionInfo): boolean {
  if (need.tls) {
    const hello = parseClientHello(bytes);
    if (hello.status === HELLO_NEED_MORE && bytes.length < maxInspectedBytes) return false;
    if (hello.status === HELLO_DONE) {
      info.transportProtocol = "tls";
      info.serverName = hello.serverName;
      info.applicationProtocols = hello.alpn;
      return true;
    }
  }
  info.transportProtocol = "raw_buffer";
  if (!need.http) return true;
  const protocol = sniffHttp(bytes);
  if (protocol === null && bytes.length < maxInspectedBytes) return false;
  if (protocol !== null && protocol !== "") info.applicationProtocols = [protocol];
  return true;
}

const preface = "PRI * HTTP/2.0\r\n";

/** `http/1.1`, `http/1.0` or `h2c`; empty for other protocols; null while it can't be told. */
function sniffHttp(bytes: Buffer): string | null {
  const head = bytes.toString("latin1", 0, Math.min(bytes.length, preface.length));
  if (head.startsWith("PRI ")) return head === preface ? "h2c" : preface.startsWith(head) ? null : "";
  let at = 0;
  while (at < bytes.length && tokenLower[bytes[at]!] !== 0) at++;
  if (at === bytes.length) return at > 32 ? "" : null;
  if (at === 0 || at > 32 || bytes[at] !== 32) return "";
  const lineEnd = bytes.indexOf(10);
  if (lineEnd < 0) {
    for (let i = at; i < bytes.length; i++) if (bytes[i]! < 32 && bytes[i] !== 13) return "";
    return null;
  }
  const line = bytes.toString("latin1", 0, lineEnd);
  if (/ HTTP\/1\.1\r?$/.test(line)) return "http/1.1";
  return / HTTP\/1\.0\r?$/.test(line) ? "http/1.0" : "";
}
