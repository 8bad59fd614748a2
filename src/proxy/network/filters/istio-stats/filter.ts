// istio.stats on TCP: connections through the TCP proxy are reported to the metrics recorder.
import { PluginConfigSchema } from "#wire/gen/istio/stats-filter_pb.ts";
import { CONTINUE, defineNetworkFilter, type NetworkFilterType, settingsFrom, sharedFilter } from "../../filter.ts";

export const istioStats: NetworkFilterType = defineNetworkFilter<Record<never, never>>({
  type: "istio_stats",
  messages: [settingsFrom(PluginConfigSchema, () => ({}))],
  configure: () =>
    sharedFilter({
      onNewConnection: (connection) => {
        connection.reportsMetrics = true;
        return CONTINUE;
      },
    }),
});
