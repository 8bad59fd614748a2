// Ports as Istio's networking resources write them, and the protocols that a port name or appProtocol can declare.
import { count, type Decoder, record, text } from "../decode.ts";
import type { Report } from "../report.ts";
import { isDnsLabel } from "../validate-names.ts";

export const Protocol = {
  Http: "HTTP",
  Http2: "HTTP2",
  Https: "HTTPS",
  Grpc: "GRPC",
  GrpcWeb: "GRPC-Web",
  Tcp: "TCP",
  Tls: "TLS",
  Udp: "UDP",
  Mongo: "Mongo",
  MySql: "MySQL",
  Redis: "Redis",
  HttpProxy: "HTTP_PROXY",
  /** Nothing declared: the proxy looks at the first bytes. */
  Unsupported: "UnsupportedProtocol",
} as const;
export type Protocol = (typeof Protocol)[keyof typeof Protocol];

/** A port of a Gateway server, a Sidecar listener or a ServiceEntry. */
export interface Port {
  readonly number: number;
  /** As written; compare with `parseProtocol`. */
  readonly protocol: string;
  readonly name: string;
  /** 0 when not set. */
  readonly targetPort: number;
}

export interface PortSelector {
  readonly number: number;
}

const protocols: ReadonlyMap<string, Protocol> = new Map<string, Protocol>([
  ["http", Protocol.Http],
  ["http2", Protocol.Http2],
  ["https", Protocol.Https],
  ["grpc", Protocol.Grpc],
  ["grpc-web", Protocol.GrpcWeb],
  ["grpc-web-", Protocol.GrpcWeb],
  ["tcp", Protocol.Tcp],
  ["tls", Protocol.Tls],
  ["udp", Protocol.Udp],
  ["mongo", Protocol.Mongo],
  ["mysql", Protocol.MySql],
  ["redis", Protocol.Redis],
  ["http_proxy", Protocol.HttpProxy],
]);

/** Reads a protocol name in any case; anything unknown is Unsupported. */
export function parseProtocol(text: string): Protocol {
  return protocols.get(text.toLowerCase()) ?? Protocol.Unsupported;
}

/** Requests can be read where the protocol is not under TLS. */
export function isHttpProtocol(protocol: Protocol): boolean {
  return (
    protocol === Protocol.Http ||
    protocol === Protocol.Http2 ||
    protocol === Protocol.Grpc ||
    protocol === Protocol.GrpcWeb ||
    protocol === Protocol.HttpProxy
  );
}

export const decodePort: Decoder<Port> = record<Port>({ number: count, protocol: text, name: text, targetPort: count });

export const decodePortSelector: Decoder<PortSelector> = record<PortSelector>({ number: count });

export function validatePortNumber(number: number, path: string, report: Report): void {
  if (number < 1 || number > 65535) {
    report({ path, message: number === 0 ? "a port number is needed" : `${number} is not between 1 and 65535` });
  }
}

export function validatePortName(name: string, path: string, report: Report): void {
  if (isDnsLabel(name)) return;
  report({ path, message: `"${name}" cannot be the name of a port`, fix: "letters, digits and -, at most 63" });
}

/** The protocols that a Gateway server or a ServiceEntry port may name. */
const namedProtocols = ["HTTP", "HTTP2", "GRPC", "GRPC-Web", "HTTPS", "TLS", "TCP", "MONGO", "REDIS", "MYSQL"] as const;

export function validateProtocol(protocol: string, path: string, report: Report): void {
  if (parseProtocol(protocol) === Protocol.Unsupported) {
    report({
      path,
      message: protocol === "" ? "a protocol is needed" : `unknown protocol "${protocol}"`,
      fix: `one of ${namedProtocols.join(", ")}`,
    });
  }
}
