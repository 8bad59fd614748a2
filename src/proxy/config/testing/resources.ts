// For tests: Envoy resources written as YAML with proto or JSON field names.
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { parse } from "yaml";
import { type Cluster, ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { type RBAC, RBACSchema } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { anyRegistry } from "../../xds/any-registry.ts";
import type { ClusterConfig, EndpointSet } from "../cluster.ts";
import { decodeCluster } from "../decode-cluster.ts";
import { decodeEndpoints } from "../decode-endpoints.ts";
import { decodeListener } from "../decode-listener.ts";
import { decodeRoute } from "../decode-route.ts";
import type { RouteConfig } from "../http.ts";
import type { ListenerConfig } from "../listener.ts";
import { decodeRbac } from "../parse/rbac.ts";
import { type Decoded, nackText, Problems } from "../problems.ts";
import type { RbacRules } from "../rbac.ts";

const options = { registry: anyRegistry() };
const json = (yaml: string): JsonValue => parse(yaml) as JsonValue;

export const listenerOf = (yaml: string): Listener => fromJson(ListenerSchema, json(yaml), options);
export const clusterOf = (yaml: string): Cluster => fromJson(ClusterSchema, json(yaml), options);
export const routeOf = (yaml: string): RouteConfiguration => fromJson(RouteConfigurationSchema, json(yaml), options);
export const endpointsOf = (yaml: string): ClusterLoadAssignment =>
  fromJson(ClusterLoadAssignmentSchema, json(yaml), options);
export const rbacOf = (yaml: string): RBAC => fromJson(RBACSchema, json(yaml), options);

export const listenerConfig = (yaml: string): ListenerConfig => valueOf(decodeListener(listenerOf(yaml)));
export const clusterConfig = (yaml: string): ClusterConfig => valueOf(decodeCluster(clusterOf(yaml)));
export const routeConfig = (yaml: string): RouteConfig => valueOf(decodeRoute(routeOf(yaml)));
export const endpointSet = (yaml: string): EndpointSet => valueOf(decodeEndpoints(endpointsOf(yaml)));

export function rbacRules(yaml: string): RbacRules {
  const problems = new Problems("rbac", "test");
  return valueOf(problems.done(decodeRbac(rbacOf(yaml), new Map(), "rules", problems)));
}

/** The refusal of a resource; empty when it is accepted. */
export function refusalOf(decoded: Decoded<unknown>): string {
  return nackText(decoded.issues);
}

function valueOf<T>(decoded: Decoded<T>): T {
  if (decoded.value === null) throw new Error(nackText(decoded.issues));
  return decoded.value;
}

/** The filters of a chain that forwards bytes to one cluster. */
export const tcpTo = (cluster: string): string => `
  - name: tcp
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: tcp
      cluster: "${cluster}"
`;

/** The filters of a chain that asks for its routes over RDS. */
export const httpWithRoutes = (route: string): string => `
  - name: http
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: http
      rds: { route_config_name: "${route}", config_source: { ads: {} } }
      http_filters:
      - name: router
        typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`;
