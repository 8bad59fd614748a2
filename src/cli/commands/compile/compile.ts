// What one proxy would get, as JSON values in Envoy's shape.
import type { JsonValue } from "@bufbuild/protobuf";
import { compileProxy } from "#mesh/compile/compile.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { TypedExtensionConfigSchema } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { envoyJson } from "../../render/envoy-json.ts";

export const sections = ["listeners", "routes", "clusters", "endpoints", "extensions"] as const;
export type Section = (typeof sections)[number];

export type CompiledJson = Partial<Record<Section, JsonValue[]>>;

/** Equal snapshots and proxies give equal values in the same order. */
export function compileToJson(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  only: readonly Section[] = sections,
): CompiledJson {
  const { listeners, routes, clusters, endpoints, extensions } = compileProxy(snapshot, proxy);
  const render: Record<Section, () => JsonValue[]> = {
    listeners: () => [...listeners.values()].map((listener) => envoyJson(ListenerSchema, listener)),
    routes: () => [...routes.values()].map((route) => envoyJson(RouteConfigurationSchema, route)),
    clusters: () => [...clusters.values()].map((cluster) => envoyJson(ClusterSchema, cluster)),
    endpoints: () => [...endpoints.values()].map((assignment) => envoyJson(ClusterLoadAssignmentSchema, assignment)),
    extensions: () => [...extensions.values()].map((extension) => envoyJson(TypedExtensionConfigSchema, extension)),
  };
  // Few proxies have extensions: the section is there when there are any, or when it is asked for.
  const shown = only.filter((section) => section !== "extensions" || extensions.size > 0 || only !== sections);
  return Object.fromEntries(shown.map((section) => [section, render[section]()]));
}
