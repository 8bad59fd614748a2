// istio.alpn: the protocols that a request offers in its TLS handshake with a mesh peer, by the request's own version.
// The filter has no hook: the router asks `alpnFor` (alpn.ts) when it chooses a connection.
import { FilterConfigSchema } from "#wire/gen/istio/alpn-filter_pb.ts";
import { defineHttpFilter, type HttpFilterType, settingsFrom } from "../../filter.ts";

export const istioAlpn: HttpFilterType = defineHttpFilter<Record<string, never>>({
  type: "istio_alpn",
  messages: [settingsFrom(FilterConfigSchema, () => ({}))],
  configure: () => null,
});
