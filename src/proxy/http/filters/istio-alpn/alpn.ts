// istio.alpn: the protocols that a request offers in its TLS handshake with a mesh peer, by the request's own version.
// HTTP/1.0 requests are sent on as HTTP/1.1. Clusters of a DestinationRule with its own TLS switch it off.
import type { Stream } from "../../stream.ts";

const http1: readonly string[] = ["istio-http/1.1", "istio", "http/1.1"];
const none: readonly string[] = [];

/** The override for this stream; empty when the filter is not in its chain. */
export function alpnFor(stream: Stream): readonly string[] {
  return stream.manager.overridesAlpn ? http1 : none;
}
