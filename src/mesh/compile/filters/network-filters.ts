// Network filters: the TCP proxy and Istio's TCP metadata exchange.
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { type Filter, FilterSchema } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { TcpProxySchema } from "#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { MetadataExchangeSchema } from "#wire/gen/istio/metadata-exchange_pb.ts";
import { pack } from "../envoy-values.ts";
import type { AccessLogs } from "./access-log.ts";

export function networkFilter<Desc extends DescMessage>(
  name: string,
  schema: Desc,
  init: MessageInitShape<Desc>,
): Filter {
  return create(FilterSchema, { name, configType: { case: "typedConfig", value: pack(schema, init) } });
}

/** Tells peers over TCP who they are, on connections whose ALPN is `istio-peer-exchange`. */
export const metadataExchange: Filter = networkFilter("istio.metadata_exchange", MetadataExchangeSchema, {
  protocol: "istio-peer-exchange",
});

interface WeightedDestination {
  readonly cluster: string;
  readonly weight: number;
}

export interface TcpProxySettings {
  readonly statPrefix: string;
  readonly destinations: readonly WeightedDestination[];
  readonly accessLogs: AccessLogs;
  /** Undefined keeps Envoy's hour. */
  readonly idleTimeout?: Duration | undefined;
  /** Undefined sets no greatest age. */
  readonly maxDuration?: Duration | undefined;
  /** Consistent balancers go by the client's address. */
  readonly hashesSourceIp?: boolean;
  /** Bytes travel in a request to an HTTP proxy, which is told this destination. */
  readonly tunnel?: { readonly hostname: string; readonly usePost: boolean } | undefined;
}

/** Builds `envoy.filters.network.tcp_proxy` to one cluster, or to several by weight. */
export function tcpProxy(settings: TcpProxySettings): Filter {
  const [first, ...rest] = settings.destinations;
  return networkFilter("envoy.filters.network.tcp_proxy", TcpProxySchema, {
    statPrefix: settings.statPrefix,
    clusterSpecifier:
      rest.length === 0
        ? { case: "cluster", value: first?.cluster ?? "" }
        : {
            case: "weightedClusters",
            value: { clusters: settings.destinations.map(({ cluster, weight }) => ({ name: cluster, weight })) },
          },
    accessLog: [...settings.accessLogs.filter],
    ...(settings.idleTimeout !== undefined && { idleTimeout: settings.idleTimeout }),
    ...(settings.maxDuration !== undefined && { maxDownstreamConnectionDuration: settings.maxDuration }),
    ...(settings.hashesSourceIp && { hashPolicy: [{ policySpecifier: { case: "sourceIp", value: {} } }] }),
    ...(settings.tunnel !== undefined && { tunnelingConfig: settings.tunnel }),
  });
}
