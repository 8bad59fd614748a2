// Clusters that a gateway in mode AUTO_PASSTHROUGH leads to by server name: `outbound_.80_.v1_.reviews...`, which is the
// SNI of mutual TLS between sidecars. The connection goes on as it came, so the cluster has no TLS of its own.
import { create } from "@bufbuild/protobuf";
import { type Cluster, ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { isTlsServer } from "../../kinds/gateway/resolve.ts";
import { isSubsetOf } from "../../objects/host.ts";
import type { Service } from "../../snapshot/service.ts";
import type { GatewayScope, GatewayServer } from "../../snapshot/snapshot.ts";
import { withMutualTls } from "../endpoints/load-assignment.ts";
import { mutualTlsSni, outboundClusterName, parseOutboundClusterName, statDelimiter } from "../names.ts";
import { isUdp } from "../protocol.ts";

function isAutoPassthrough({ server }: GatewayServer): boolean {
  return isTlsServer(server) && server.tls?.mode === "AUTO_PASSTHROUGH";
}

/** Names of the outbound clusters that a server in this mode leads to, of every port and subset of its hosts. */
export function sniDestinations(scope: GatewayScope, server: GatewayServer): string[] {
  return scope.services
    .filter((service) => !service.meshExternal && service.externalName === "" && isServed(service, server))
    .flatMap((service) => {
      const subsets = (scope.destinationRule(service)?.subsets ?? []).map(({ name }) => name);
      return service.ports
        .filter(({ protocol }) => !isUdp(protocol))
        .flatMap(({ number }) =>
          ["", ...subsets].map((subset) => outboundClusterName(number, subset, service.hostname)),
        );
    });
}

function isServed({ hostname }: Service, { hosts }: GatewayServer): boolean {
  return hosts.some((host) => isSubsetOf(hostname, host));
}

/** The name of the cluster without TLS beside an outbound one, which is also the SNI that leads to it. */
export function sniClusterName(outbound: string): string {
  const key = parseOutboundClusterName(outbound);
  return key === undefined ? outbound : mutualTlsSni(key.port, key.subset, key.host);
}

/**
 * The clusters beside the outbound ones, with those of their endpoints that take mutual TLS: whether a connection is mutual TLS
 * the gateway cannot see, and its SNI alone must not lead a client to what asks for no certificate.
 */
export function sniClusters(scope: GatewayScope, outbound: readonly Cluster[]): Cluster[] {
  const servers = scope.listeners.flatMap((listener) => listener.servers.filter(isAutoPassthrough));
  if (servers.length === 0) return [];
  const wanted = new Set(servers.flatMap((server) => sniDestinations(scope, server)));
  return outbound
    .filter(({ name }) => wanted.has(name))
    .map((cluster) => {
      const { transportSocket: _tls, loadAssignment, edsClusterConfig, ...plain } = cluster;
      const name = sniClusterName(cluster.name);
      return create(ClusterSchema, {
        ...plain,
        name,
        altStatName: `${name}${statDelimiter}`,
        ...(edsClusterConfig !== undefined && { edsClusterConfig: { ...edsClusterConfig, serviceName: name } }),
        ...(loadAssignment !== undefined && { loadAssignment: withMutualTls(loadAssignment) }),
        transportSocketMatches: [],
        typedExtensionProtocolOptions: {},
        filters: [],
      });
    });
}
