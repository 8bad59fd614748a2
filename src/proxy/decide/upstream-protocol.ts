// HOT: per request. Which protocol a request is sent on with, and what its TLS handshake offers. Between two Outrigger
// sidecars HTTP/1 requests travel multiplexed: `istio-h2` is offered beside `istio-http/1.1`, and only a proxy that
// understands the first in that company picks it (transport/downstream-tls.ts). Others pick what they know.
import type { ClusterConfig } from "../config/cluster.ts";
import type { UpstreamTlsConfig } from "../config/tls.ts";

export interface ProtocolWish {
  /** "alpn": the handshake says. */
  readonly protocol: "http1" | "http2" | "alpn";
  /** In place of what the cluster's TLS settings list; empty: as they list. */
  readonly alpn: readonly string[];
  /** Distinguishes pools. */
  readonly key: string;
}

/** Also what bytes without HTTP in them wish. */
export const http1: ProtocolWish = { protocol: "http1", alpn: [], key: "1" };
const http2: ProtocolWish = { protocol: "http2", alpn: [], key: "2" };
const negotiated: ProtocolWish = { protocol: "alpn", alpn: ["h2", "http/1.1"], key: "a" };
const meshHttp1: ProtocolWish = { protocol: "http1", alpn: ["istio-http/1.1", "istio", "http/1.1"], key: "m1" };
const meshHttp2: ProtocolWish = { protocol: "http2", alpn: ["istio-h2", "istio", "h2"], key: "m2" };
const meshMultiplexed: ProtocolWish = {
  protocol: "alpn",
  alpn: ["istio-h2", "istio-http/1.1", "istio", "http/1.1"],
  key: "m",
};

/** What of a request decides its protocol. */
export interface ProtocolSubject {
  /** Its client chose HTTP/2 itself: no HTTP/1 request that another sidecar multiplexes. */
  readonly isHttp2Request: boolean;
  /** An Upgrade or CONNECT: it needs a connection of its own where the upstream speaks HTTP/1. */
  readonly isTunnelRequest: boolean;
}

/** `overridesAlpn`: istio.alpn is in the filter chain. */
export function protocolFor(cluster: ClusterConfig, subject: ProtocolSubject, overridesAlpn: boolean): ProtocolWish {
  const { upstreamProtocol } = cluster;
  if (upstreamProtocol === "http2" || (upstreamProtocol === "downstream" && subject.isHttp2Request)) {
    return overridesAlpn && cluster.alpnOverride ? meshHttp2 : http2;
  }
  if (upstreamProtocol === "alpn") return negotiated;
  if (!overridesAlpn || !cluster.alpnOverride) return http1;
  return subject.isTunnelRequest ? meshHttp1 : meshMultiplexed;
}

const http1Names: ReadonlySet<string> = new Set(["http/1.1", "http/1.0", "istio", "istio-http/1.1", "istio-http/1.0"]);
const http2Names: ReadonlySet<string> = new Set(["h2", "istio-h2", "istio"]);

/** What a handshake offers in ALPN. */
export function offeredAlpn(wish: ProtocolWish, { alpnProtocols }: UpstreamTlsConfig): readonly string[] {
  if (wish.alpn.length > 0) return wish.alpn;
  const names = wish.protocol === "http2" ? http2Names : http1Names;
  const offered = alpnProtocols.filter((name) => names.has(name));
  // Envoy names the protocol that a cluster is bound to where its TLS settings name none.
  return offered.length === 0 && wish.protocol === "http2" ? ["h2"] : offered;
}
