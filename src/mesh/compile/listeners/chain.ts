// Small parts of every listener: filter chains, their matches, and the connection limit per event.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import type { TransportSocket } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  type Filter,
  type FilterChain,
  type FilterChainMatchSchema,
  FilterChainSchema,
  type ListenerFilter,
} from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { milliseconds } from "../envoy-values.ts";
import { httpInspector, tlsInspector } from "../filters/listener-filters.ts";
import { tcpProxy } from "../filters/network-filters.ts";
import type { ListenerTelemetry } from "../filters/telemetry.ts";
import { resourceMetadata } from "../metadata.ts";
import { blackHoleCluster } from "../names.ts";

export type ChainMatch = Exclude<MessageInitShape<typeof FilterChainMatchSchema>, { $typeName: string }>;
export type ListenerInit = Exclude<MessageInitShape<typeof ListenerSchema>, { $typeName: string }>;

export interface ChainSettings {
  readonly name?: string;
  readonly match?: ChainMatch | undefined;
  readonly filters: Filter[];
  readonly tls?: TransportSocket | undefined;
  readonly origins?: readonly Origin[];
  /** Why connections end up here, where the chain does not show it. */
  readonly note?: string | undefined;
  readonly policies?: ReadonlyMap<string, Origin>;
}

export function filterChain(settings: ChainSettings): FilterChain {
  const { name = "", match, filters, tls, origins = [], note, policies } = settings;
  return create(FilterChainSchema, {
    name,
    filters,
    ...(match !== undefined && { filterChainMatch: match }),
    ...(tls !== undefined && { transportSocket: tls }),
    metadata: resourceMetadata({ origins, note, ...(policies && { policies }) }),
  });
}

export interface ClusterChainSettings extends Omit<ChainSettings, "filters" | "tls" | "policies"> {
  readonly name: string;
  readonly cluster: string;
  /** Filters before the last one. */
  readonly before?: readonly Filter[];
}

/** Sends every connection to one cluster, past some filters. */
export function clusterChain(settings: ClusterChainSettings, telemetry: ListenerTelemetry): FilterChain {
  const { cluster, before = [], ...chain } = settings;
  return filterChain({
    ...chain,
    filters: [
      ...before,
      ...telemetry.tcpStats,
      tcpProxy({ statPrefix: cluster, destinations: [{ cluster, weight: 1 }], accessLogs: telemetry.logs }),
    ],
  });
}

/** Connections to the port of a virtual listener itself, which would be handed back to it for ever. */
export function ownPort(port: number): Omit<ClusterChainSettings, "name"> {
  const note = `port ${port} is the proxy's own, and leads back to it`;
  return { cluster: blackHoleCluster, match: { destinationPort: port }, note };
}

/** Application protocols that the HTTP inspector reports. */
export const plaintextHttp: ChainMatch = {
  transportProtocol: "raw_buffer",
  applicationProtocols: ["http/1.0", "http/1.1", "h2c"],
};

/** Inspectors that the matches of a listener's chains need, for listeners of one port. */
export function inspectors(chains: readonly FilterChain[]): ListenerFilter[] {
  const matches = chains.map(({ filterChainMatch }) => filterChainMatch);
  const looksAtHttp = matches.some((match) => match?.applicationProtocols.includes("http/1.1"));
  const looksAtTls = looksAtHttp || matches.some((match) => (match?.serverNames.length ?? 0) > 0);
  return [...(looksAtTls ? [tlsInspector()] : []), ...(looksAtHttp ? [httpInspector()] : [])];
}

/** Fields that mesh configuration and telemetry decide. */
export function listenerDefaults(snapshot: MeshSnapshot, telemetry: ListenerTelemetry): ListenerInit {
  return {
    listenerFiltersTimeout: milliseconds(snapshot.meshConfig.protocolDetectionTimeout),
    continueOnListenerFiltersTimeout: true,
    maxConnectionsToAcceptPerSocketEvent: 1,
    accessLog: [...telemetry.logs.listener],
  };
}

/** The mesh's own trust domain, then its aliases. */
export function trustDomains(snapshot: MeshSnapshot): string[] {
  return [snapshot.meshConfig.trustDomain, ...snapshot.meshConfig.trustDomainAliases];
}
