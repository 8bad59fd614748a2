// All that one proxy knows, decoded: what the live proxy holds and what explain compiles offline.
import type { ClusterConfig, EndpointSet } from "../config/cluster.ts";
import type { ExtensionConfig } from "../config/extension.ts";
import type { RouteConfig } from "../config/http.ts";
import type { ListenerConfig } from "../config/listener.ts";
import type { LocalNode } from "../config/local-node.ts";

export interface ProxyView {
  readonly listeners: ReadonlyMap<string, ListenerConfig>;
  readonly routes: ReadonlyMap<string, RouteConfig>;
  readonly clusters: ReadonlyMap<string, ClusterConfig>;
  /** By the name that EDS goes by. */
  readonly endpoints: ReadonlyMap<string, EndpointSet>;
  /** Settings of filters that came by themselves. */
  readonly extensions: ReadonlyMap<string, ExtensionConfig>;
  /** Whose peers count for zone aware routing, under their cluster's name among the endpoints; null: zones do not count. */
  readonly local: LocalNode | null;
}

/** The endpoints of a cluster, wherever they come from. */
export function endpointsOf(view: ProxyView, cluster: ClusterConfig): EndpointSet | null {
  if (cluster.type === "eds") return view.endpoints.get(cluster.edsServiceName || cluster.name) ?? null;
  return cluster.endpoints;
}
