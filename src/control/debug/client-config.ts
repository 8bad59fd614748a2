// Envoy's messages about a client of xDS: its state by type (service.status.v3) and its configuration (admin.v3), as
// istioctl reads them.
import { create, type DescMessage, fromBinary, type JsonObject, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import {
  ClustersConfigDumpSchema,
  EndpointsConfigDumpSchema,
  ListenersConfigDumpSchema,
  RoutesConfigDumpSchema,
} from "#wire/gen/envoy/admin/v3/config_dump_shared_pb.ts";
import { ClientConfigSchema, ConfigStatus } from "#wire/gen/envoy/service/status/v3/csds_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { anyBytes, type ResourcesByName } from "../push/encoded-resource.ts";
import type { DebugResource } from "../xds/debug-requests.ts";
import type { TypeState } from "../xds/type-state.ts";

/** In Istio's order. */
const shownTypes = [typeUrl.listener, typeUrl.route, typeUrl.endpoint, typeUrl.cluster, typeUrl.extensionConfig];

export function encodeClientConfig(
  nodeId: string,
  metadata: JsonObject,
  types: ReadonlyMap<string, TypeState>,
): DebugResource {
  return resourceOf(
    nodeId,
    ClientConfigSchema,
    create(ClientConfigSchema, {
      node: { id: nodeId, metadata },
      genericXdsConfigs: shownTypes.map((url) => ({ typeUrl: url, configStatus: statusOf(types.get(url)) })),
    }),
  );
}

function statusOf(state: TypeState | undefined): ConfigStatus {
  if (state === undefined) return ConfigStatus.NOT_SENT;
  if (state.rejected.size > 0) return ConfigStatus.ERROR;
  if (!state.responded) return ConfigStatus.NOT_SENT;
  return state.outstanding !== undefined || state.waiting ? ConfigStatus.STALE : ConfigStatus.SYNCED;
}

/** Clusters, listeners, endpoints and routes. Secrets are shown to nobody. */
export function encodeConfigDump(byType: ReadonlyMap<string, ResourcesByName>): DebugResource[] {
  const all = (url: string): { name: string; version: string; any: Any }[] =>
    [...(byType.get(url)?.values() ?? [])].map(({ name, version, any }) => ({
      name,
      version,
      any: fromBinary(AnySchema, anyBytes(any)),
    }));
  const clusters = create(ClustersConfigDumpSchema, {
    dynamicActiveClusters: all(typeUrl.cluster).map(({ version, any }) => ({ versionInfo: version, cluster: any })),
  });
  const listeners = create(ListenersConfigDumpSchema, {
    dynamicListeners: all(typeUrl.listener).map(({ name, version, any }) => ({
      name,
      activeState: { versionInfo: version, listener: any },
    })),
  });
  const endpoints = create(EndpointsConfigDumpSchema, {
    dynamicEndpointConfigs: all(typeUrl.endpoint).map(({ version, any }) => ({
      versionInfo: version,
      endpointConfig: any,
    })),
  });
  const routes = create(RoutesConfigDumpSchema, {
    dynamicRouteConfigs: all(typeUrl.route).map(({ version, any }) => ({ versionInfo: version, routeConfig: any })),
  });
  return [
    resourceOf("", ClustersConfigDumpSchema, clusters),
    resourceOf("", ListenersConfigDumpSchema, listeners),
    resourceOf("", EndpointsConfigDumpSchema, endpoints),
    resourceOf("", RoutesConfigDumpSchema, routes),
  ];
}

function resourceOf<Desc extends DescMessage>(name: string, schema: Desc, message: MessageShape<Desc>): DebugResource {
  return { name, typeUrl: `type.googleapis.com/${schema.typeName}`, value: toBinary(schema, message) };
}
