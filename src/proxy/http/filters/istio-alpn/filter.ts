// istio.alpn: the protocols that a request offers in its TLS handshake with a mesh peer, by the request's own version.
// The filter has no hook: the router asks `alpnFor` (alpn.ts) when it chooses a connection.
import type { Any } from "@bufbuild/protobuf/wkt";
import { defineHttpFilter, type HttpFilterType } from "../../filter.ts";

export const istioAlpn: HttpFilterType = defineHttpFilter<Record<string, never>>({
  type: "istio_alpn",
  messages: [{ typeName: "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", parse: (_any: Any) => ({}) }],
  configure: () => null,
});
