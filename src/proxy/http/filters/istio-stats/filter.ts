// istio.stats: reports each finished request to the metrics recorder, which knows labels and histograms.
import { PluginConfigSchema } from "#wire/gen/istio/stats-filter_pb.ts";
import type { MetricRules } from "../../../config/metric-rules.ts";
import { decodeMetricRules } from "../../../config/parse/metric-rules.ts";
import { defineHttpFilter, type HttpFilterType, settingsFrom, sharedFilter } from "../../filter.ts";

export const istioStats: HttpFilterType = defineHttpFilter<MetricRules>({
  type: "istio_stats",
  messages: [
    settingsFrom(PluginConfigSchema, (message, { path, problems }) => decodeMetricRules(message, path, problems)),
  ],
  configure: (rules, { environment: { observer } }) =>
    sharedFilter({ onComplete: (stream) => observer.onRequestComplete(stream, rules) }),
});
