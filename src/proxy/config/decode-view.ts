// All resources of one proxy at once, for what looks at a proxy from outside.
import type { Issue } from "#base/issue.ts";
import type { Cluster } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { TypedExtensionConfig } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import type { ClusterLoadAssignment } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import type { Listener } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import type { ProxyView } from "../decide/view.ts";
import { decodeCluster } from "./decode-cluster.ts";
import { decodeEndpoints } from "./decode-endpoints.ts";
import { decodeExtension } from "./decode-extension.ts";
import { decodeListener } from "./decode-listener.ts";
import { decodeRoute } from "./decode-route.ts";
import type { LocalNode } from "./local-node.ts";
import type { Decoded } from "./problems.ts";

export interface Resources {
  readonly listeners: Iterable<Listener>;
  readonly routes: Iterable<RouteConfiguration>;
  readonly clusters: Iterable<Cluster>;
  readonly endpoints: Iterable<ClusterLoadAssignment>;
  readonly extensions: Iterable<TypedExtensionConfig>;
}

/** Decodes all resources of one proxy; those with errors are left out and told in the issues. */
export function decodeView(
  resources: Resources,
  local: LocalNode | null = null,
): { readonly view: ProxyView; readonly issues: readonly Issue[] } {
  const issues: Issue[] = [];
  const decodeAll = <M, T>(messages: Iterable<M>, decode: (message: M) => Decoded<T>, nameOf: (value: T) => string) => {
    const byName = new Map<string, T>();
    for (const message of messages) {
      const decoded = decode(message);
      issues.push(...decoded.issues);
      if (decoded.value !== null) byName.set(nameOf(decoded.value), decoded.value);
    }
    return byName;
  };
  const view: ProxyView = {
    listeners: decodeAll(resources.listeners, decodeListener, (it) => it.name),
    routes: decodeAll(resources.routes, decodeRoute, (it) => it.name),
    clusters: decodeAll(resources.clusters, decodeCluster, (it) => it.name),
    endpoints: decodeAll(resources.endpoints, decodeEndpoints, (it) => it.clusterName),
    extensions: decodeAll(resources.extensions, decodeExtension, (it) => it.name),
    local,
  };
  return { view, issues };
}
