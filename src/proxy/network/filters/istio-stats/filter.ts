// istio.stats on TCP: connections through the TCP proxy are reported to the metrics recorder.
import { PluginConfigSchema } from "#wire/gen/istio/stats-filter_pb.ts";
import type { MetricRules } from "../../../config/metric-rules.ts";
import { decodeMetricRules } from "../../../config/parse/metric-rules.ts";
import { CONTINUE, defineNetworkFilter, type NetworkFilterType, settingsFrom, sharedFilter } from "../../filter.ts";

export const istioStats: NetworkFilterType = defineNetworkFilter<MetricRules>({
  type: "istio_stats",
  messages: [
    settingsFrom(PluginConfigSchema, (message, { path, problems }) => decodeMetricRules(message, path, problems)),
  ],
  configure: (rules) =>
    sharedFilter({
      onNewConnection: (connection) => {
        connection.metricRules = rules;
        return CONTINUE;
      },
    }),
});
