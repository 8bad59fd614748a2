// istio.stats: reports each finished request to the metrics recorder, which knows labels and histograms.
import { PluginConfigSchema } from "#wire/gen/istio/stats-filter_pb.ts";
import { defineHttpFilter, type HttpFilterType, settingsFrom, sharedFilter } from "../../filter.ts";

interface IstioStatsSettings {
  /** True: a request without service metadata is not reported under its Host header, which anyone may set. */
  readonly disableHostHeaderFallback: boolean;
}

export const istioStats: HttpFilterType = defineHttpFilter<IstioStatsSettings>({
  type: "istio_stats",
  messages: [settingsFrom(PluginConfigSchema, ({ disableHostHeaderFallback }) => ({ disableHostHeaderFallback }))],
  configure: (_settings, { environment: { observer } }) =>
    sharedFilter({ onComplete: (stream) => observer.onRequestComplete(stream) }),
});
