// `proxyProtocol` of a DestinationRule: connections begin with a PROXY header, and then whatever they would begin with.
import { create } from "@bufbuild/protobuf";
import type { Cluster_TransportSocketMatch } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { type TransportSocket, TransportSocketSchema } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { ProxyProtocolConfig_Version } from "#wire/gen/envoy/config/core/v3/proxy_protocol_pb.ts";
import { ProxyProtocolUpstreamTransportSchema } from "#wire/gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.ts";
import type { ProxyProtocol } from "../../objects/fields/traffic-policy.ts";
import { pack } from "../envoy-values.ts";
import { plaintext } from "../tls/upstream.ts";

/** What connections of a cluster begin with: for all endpoints alike, or by what an endpoint says of itself. */
export interface UpstreamTransport {
  readonly transportSocket?: TransportSocket;
  readonly transportSocketMatches?: Cluster_TransportSocketMatch[];
}

export function behindProxyProtocol(
  transport: UpstreamTransport,
  settings: ProxyProtocol | undefined,
): UpstreamTransport {
  if (settings === undefined) return transport;
  const version = settings.version === "V2" ? ProxyProtocolConfig_Version.V2 : ProxyProtocolConfig_Version.V1;
  const wrap = (socket: TransportSocket): TransportSocket =>
    create(TransportSocketSchema, {
      name: "envoy.transport_sockets.upstream_proxy_protocol",
      configType: {
        case: "typedConfig",
        value: pack(ProxyProtocolUpstreamTransportSchema, { config: { version }, transportSocket: socket }),
      },
    });
  const { transportSocketMatches } = transport;
  if (transportSocketMatches === undefined) {
    return { transportSocket: wrap(transport.transportSocket ?? plaintext) };
  }
  return {
    transportSocketMatches: transportSocketMatches.map((match) => ({
      ...match,
      transportSocket: wrap(match.transportSocket ?? plaintext),
    })),
  };
}
