// Which objects of the user a compiled resource was made from, by the provenance in its metadata. Read once, when the
// resource is encoded.
import { isMessage, type Message } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import { objectKey } from "#mesh/objects/mesh-object.ts";
import { type Cluster, ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type { Metadata } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { VirtualHost } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { decodeProvenance, provenanceKey } from "#wire/xds/provenance.ts";

/** Kinds that say where traffic can go, not what a user wants done with it: nobody asks for their state. */
const registryKinds: ReadonlySet<string> = new Set(["Service", "Pod", "EndpointSlice", "Node"]);

const noOrigins: readonly string[] = [];

/** `VirtualService/default/reviews`, each once. */
export function originsOf(message: Message): readonly string[] {
  if (!isMessage(message, RouteConfigurationSchema)) return originsIn(metadataIn(message));
  const keys = new Set(message.virtualHosts.flatMap(originsOfHost));
  return keys.size === 0 ? noOrigins : [...keys];
}

const ofHosts = new WeakMap<VirtualHost, readonly string[]>();

/** Many route configurations share a virtual host. */
function originsOfHost(host: VirtualHost): readonly string[] {
  let origins = ofHosts.get(host);
  if (origins === undefined) {
    origins = originsIn(metadataOfHost(host));
    ofHosts.set(host, origins);
  }
  return origins;
}

function metadataOfHost({ metadata, routes }: VirtualHost): (Metadata | undefined)[] {
  return [metadata, ...routes.map((route) => route.metadata)];
}

function originsIn(all: Iterable<Metadata | undefined>): readonly string[] {
  const keys = new Set<string>();
  for (const metadata of all) {
    if (metadata?.filterMetadata[provenanceKey] === undefined) continue;
    const { origins, policies } = decodeProvenance(metadata.filterMetadata);
    for (const origin of origins) add(keys, origin);
    for (const origin of policies.values()) add(keys, origin);
  }
  return keys.size === 0 ? noOrigins : [...keys];
}

function add(keys: Set<string>, origin: Origin): void {
  if (registryKinds.has(origin.kind)) return;
  keys.add(objectKey(origin));
}

/** The metadata of a listener, route configuration, cluster or load assignment, and of its parts. */
export function* metadataIn(message: Message): Generator<Metadata | undefined> {
  switch (message.$typeName) {
    case ClusterSchema.typeName:
      yield (message as Cluster).metadata;
      return;
    case ListenerSchema.typeName: {
      const listener = message as Listener;
      yield listener.metadata;
      for (const chain of listener.filterChains) yield chain.metadata;
      yield listener.defaultFilterChain?.metadata;
      return;
    }
    case RouteConfigurationSchema.typeName:
      for (const host of (message as RouteConfiguration).virtualHosts) yield* metadataOfHost(host);
      return;
    case ClusterLoadAssignmentSchema.typeName:
      for (const locality of (message as ClusterLoadAssignment).endpoints) {
        for (const endpoint of locality.lbEndpoints) yield endpoint.metadata;
      }
  }
}
