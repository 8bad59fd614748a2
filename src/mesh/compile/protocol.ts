// Protocol families of Istio's port protocols, and what a proxy does with each. How a Service port gets its protocol
// is decided where Services are read (snapshot).
import type { Protocol } from "../objects/fields/port.ts";

const http: ReadonlySet<string> = new Set(["HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-Web"]);
const http2: ReadonlySet<string> = new Set(["HTTP2", "GRPC", "GRPC-Web"]);
const tls: ReadonlySet<string> = new Set(["HTTPS", "TLS"]);
const tcp: ReadonlySet<string> = new Set(["TCP", "HTTPS", "TLS", "Mongo", "Redis", "MySQL"]);

export function isHttp(protocol: string): boolean {
  return http.has(protocol);
}

export function isHttp2(protocol: string): boolean {
  return http2.has(protocol);
}

export function isGrpc(protocol: string): boolean {
  return protocol === "GRPC" || protocol === "GRPC-Web";
}

export function isTls(protocol: string): boolean {
  return tls.has(protocol);
}

export function isUdp(protocol: string): boolean {
  return protocol === "UDP";
}

/** What a port speaks once its TLS has ended. */
export function insideTls(protocol: Protocol): Protocol {
  if (protocol === "HTTPS") return "HTTP";
  return protocol === "TLS" ? "TCP" : protocol;
}

/** How a listener treats a port: parse HTTP, pass bytes, or look at the first bytes and choose. */
export type ListenerProtocol = "http" | "tcp" | "auto";

export function listenerProtocol(protocol: string): ListenerProtocol {
  if (http.has(protocol)) return "http";
  return tcp.has(protocol) ? "tcp" : "auto";
}
