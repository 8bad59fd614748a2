// Istio's TCP metadata exchange (ALPN `istio-peer-exchange`). The protocol is not offered in ALPN here, so peers do not
// begin it, and the filter has nothing to do.
import { MetadataExchangeSchema } from "#wire/gen/istio/metadata-exchange_pb.ts";
import { defineNetworkFilter, type NetworkFilterType, settingsFrom } from "../../filter.ts";

export const metadataExchange: NetworkFilterType = defineNetworkFilter<Record<never, never>>({
  type: "metadata_exchange",
  messages: [settingsFrom(MetadataExchangeSchema, () => ({}))],
});
