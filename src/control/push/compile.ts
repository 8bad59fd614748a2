// The compiler as the push pipeline needs it, and its results as bytes.

import { toBinary } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import type { AppliedPatches } from "#mesh/compile/compile.ts";
import type { PullSecretName } from "#mesh/compile/extensions.ts";
import { withPullSecret } from "#mesh/compile/filters/extensions.ts";
import type { CompiledSecret } from "#mesh/compile/tls/secrets.ts";
import { objectKey } from "#mesh/objects/mesh-object.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { Cluster } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { type TypedExtensionConfig, TypedExtensionConfigSchema } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import type { ClusterLoadAssignment } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import type { Listener } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { encodeNameTable, type NameTable, nameTableType } from "#wire/xds/name-table.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { ProxyResources, ResourceEncoder, ResourcesByName, SecretLookup } from "./encoded-resource.ts";

/** What a proxy should have, as messages by name. */
export interface CompiledMessages {
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteConfiguration>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly endpoints: ReadonlyMap<string, ClusterLoadAssignment>;
  /** What filters take by themselves. */
  readonly extensions: ReadonlyMap<string, TypedExtensionConfig>;
  readonly extensionOrigins: ReadonlyMap<string, readonly Origin[]>;
  /** Secrets that pull the images of extensions, by their names. */
  readonly pullSecrets?: ReadonlyMap<string, PullSecretName>;
  /** Absent where EnvoyFilters patch nothing. */
  readonly patches?: AppliedPatches;
  /** For proxies that capture DNS. */
  readonly names?: NameTable;
}

export interface CompiledRouting
  extends Pick<CompiledMessages, "listeners" | "routes" | "extensions" | "extensionOrigins" | "pullSecrets"> {
  readonly patches?: Pick<AppliedPatches, "routing">;
  /** The listeners are the outbound ones only. */
  readonly inboundStays?: boolean;
}

/** Clusters and endpoints are those of the services that were asked for. */
export interface CompiledServices extends CompiledRouting, Pick<CompiledMessages, "clusters" | "endpoints"> {}

export interface MeshCompiler {
  compile(snapshot: MeshSnapshot, node: ProxyNode): CompiledMessages;
  /** Only listeners and routes; undefined for a proxy that is always compiled as a whole. */
  compileRouting(snapshot: MeshSnapshot, node: ProxyNode): CompiledRouting | undefined;
  /** Only what services of these hosts are in; undefined for a proxy that is always compiled as a whole. */
  compileServices(snapshot: MeshSnapshot, node: ProxyNode, hostnames: Iterable<string>): CompiledServices | undefined;
  /** Only the endpoints of these clusters, which the proxy is known to have. */
  compileEndpoints(
    snapshot: MeshSnapshot,
    node: ProxyNode,
    clusterNames: Iterable<string>,
  ): ReadonlyMap<string, ClusterLoadAssignment>;
  /** Undefined when there is no secret of that name for the proxy. */
  compileSecret(snapshot: MeshSnapshot, node: ProxyNode, name: string): CompiledSecret | undefined;
}

export function encodeCompiled(
  encoder: ResourceEncoder,
  snapshotVersion: string,
  compiled: CompiledMessages,
  secret: SecretLookup,
  pullSecret: PullSecretLookup,
): ProxyResources {
  return {
    snapshotVersion,
    secret,
    ...(compiled.patches !== undefined && { patches: compiled.patches }),
    byType: new Map<string, ResourcesByName>([
      [typeUrl.cluster, encoder.encodeAll(typeUrl.cluster, ClusterSchema, compiled.clusters)],
      [typeUrl.endpoint, encoder.encodeAll(typeUrl.endpoint, ClusterLoadAssignmentSchema, compiled.endpoints)],
      [typeUrl.listener, encoder.encodeAll(typeUrl.listener, ListenerSchema, compiled.listeners)],
      [typeUrl.route, encoder.encodeAll(typeUrl.route, RouteConfigurationSchema, compiled.routes)],
      ...extensionsOf(encoder, compiled, pullSecret),
      ...(compiled.names === undefined ? [] : [nameTableOf(encoder, compiled.names)]),
    ]),
  };
}

/** The content of such a Secret for one proxy; undefined: it may not have it, or there is none. */
export type PullSecretLookup = (name: PullSecretName) => string | undefined;

/** Nothing for most proxies. Their messages have no place for who wrote them. */
function extensionsOf(
  encoder: ResourceEncoder,
  {
    extensions,
    extensionOrigins,
    pullSecrets,
  }: Pick<CompiledMessages, "extensions" | "extensionOrigins" | "pullSecrets">,
  pullSecret: PullSecretLookup,
): [string, ResourcesByName][] {
  if (extensions.size === 0) return [];
  const sources = new Map(
    [...extensions].map(([name, compiled]) => {
      const wanted = pullSecrets?.get(name);
      const message = withSecret(compiled, wanted && pullSecret(wanted));
      return [
        name,
        {
          message,
          bytes: () => toBinary(TypedExtensionConfigSchema, message),
          origins: () => [...new Set((extensionOrigins.get(name) ?? []).map(objectKey))],
        },
      ];
    }),
  );
  return [[typeUrl.extensionConfig, encoder.encodeSources(typeUrl.extensionConfig, sources)]];
}

const withSecrets = new WeakMap<TypedExtensionConfig, Map<string, TypedExtensionConfig>>();

/** One message for all who get the same. */
function withSecret(message: TypedExtensionConfig, secret: string | undefined): TypedExtensionConfig {
  if (secret === undefined) return message;
  let made = withSecrets.get(message);
  if (made === undefined || !made.has(secret)) {
    made = new Map([[secret, withPullSecret(message, secret)]]);
    withSecrets.set(message, made);
  }
  return made.get(secret) ?? message;
}

/** The whole table is one resource, as Istio sends it to agents without delta NDS. */
function nameTableOf(encoder: ResourceEncoder, names: NameTable): [string, ResourcesByName] {
  const resource = encoder.encodeSource(nameTableType, "", {
    message: names,
    bytes: () => encodeNameTable(names),
    origins: () => [],
  });
  return [nameTableType, new Map([["", resource]])];
}

const noPatches: ReadonlySet<string> = new Set();

/** The same resources with listeners and routes compiled anew. */
export function replaceRouting(
  encoder: ResourceEncoder,
  previous: ProxyResources,
  snapshotVersion: string,
  compiled: CompiledRouting,
  pullSecret: PullSecretLookup,
): ProxyResources {
  const { listeners, routes, patches, inboundStays = false } = compiled;
  const encoded = encoder.encodeAll(typeUrl.listener, ListenerSchema, listeners);
  const before = previous.byType.get(typeUrl.listener);
  const byType = new Map(previous.byType);
  byType.delete(typeUrl.extensionConfig);
  for (const [type, resources] of extensionsOf(encoder, compiled, pullSecret)) byType.set(type, resources);
  return {
    ...previous,
    snapshotVersion,
    ...(patches !== undefined && { patches: { clusters: noPatches, ...previous.patches, ...patches } }),
    byType: byType
      .set(typeUrl.listener, inboundStays ? encoder.withOwnOf(encoded, before) : encoded)
      .set(typeUrl.route, encoder.encodeAll(typeUrl.route, RouteConfigurationSchema, routes)),
  };
}

/** The same resources with what services of these hosts are in compiled anew. */
export function replaceServices(
  encoder: ResourceEncoder,
  previous: ProxyResources,
  snapshotVersion: string,
  services: {
    readonly hostnames: ReadonlySet<string>;
    readonly compiled: CompiledServices;
    readonly pullSecret: PullSecretLookup;
  },
): ProxyResources {
  const { hostnames, compiled, pullSecret } = services;
  const { byType, ...routed } = replaceRouting(encoder, previous, snapshotVersion, compiled, pullSecret);
  const clusters = encoder.encodeAll(typeUrl.cluster, ClusterSchema, compiled.clusters);
  const endpoints = encoder.encodeAll(typeUrl.endpoint, ClusterLoadAssignmentSchema, compiled.endpoints);
  const exchange = (type: string, replaced: ResourcesByName): ResourcesByName =>
    encoder.exchange(previous.byType.get(type) ?? new Map(), hostnames, replaced);
  return {
    ...routed,
    byType: new Map(byType)
      .set(typeUrl.cluster, exchange(typeUrl.cluster, clusters))
      .set(typeUrl.endpoint, exchange(typeUrl.endpoint, endpoints)),
  };
}

/** The same resources with the endpoints of some clusters compiled anew; the same object when none of them differs. */
export function replaceEndpoints(
  encoder: ResourceEncoder,
  previous: ProxyResources,
  snapshotVersion: string,
  assignments: ReadonlyMap<string, ClusterLoadAssignment>,
): ProxyResources {
  const before = previous.byType.get(typeUrl.endpoint) ?? new Map();
  const replaced = encoder.encodeAll(typeUrl.endpoint, ClusterLoadAssignmentSchema, assignments);
  const endpoints = encoder.replace(before, replaced);
  if (endpoints === before) return previous;
  return { ...previous, snapshotVersion, byType: new Map(previous.byType).set(typeUrl.endpoint, endpoints) };
}
