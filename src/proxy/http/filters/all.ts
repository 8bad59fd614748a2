// Which folder serves which filter type. The router ends every chain and is part of the stream; fault and CORS and gRPC
// statistics are accepted in configurations and do nothing yet.
import type { HttpFilterConfig } from "../../config/http.ts";
import type { HttpEnvironment } from "../environment.ts";
import type { HttpFilterFactory } from "../filter.ts";
import { istioStats } from "./istio-stats/filter.ts";
import { peerMetadata } from "./peer-metadata/filter.ts";
import { rbac } from "./rbac/filter.ts";

/** Makes a filter from its settings; null for the router and for types without a hook. */
export function configureFilter(config: HttpFilterConfig, environment: HttpEnvironment): HttpFilterFactory | null {
  switch (config.type) {
    case "rbac":
      return rbac.configure(config, environment);
    case "istio_stats":
      return istioStats.configure(config, environment);
    case "peer_metadata":
      return peerMetadata.configure(config, environment);
    default:
      return null;
  }
}
