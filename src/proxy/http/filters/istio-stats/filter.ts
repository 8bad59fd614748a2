// istio.stats: reports each finished request to the metrics recorder, which knows labels and histograms.
import { type HttpFilter, type HttpFilterType, sharedFilter } from "../../filter.ts";

export const istioStats: HttpFilterType<"istio_stats"> = {
  type: "istio_stats",
  configure: (_config, environment) => {
    const { observer } = environment;
    const filter: HttpFilter = { onComplete: (stream) => observer.onRequestComplete(stream) };
    return sharedFilter(filter);
  },
};
