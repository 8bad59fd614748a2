// Envoy's attributes, and Istio's of peers, as expressions in metric rules read them. Gathered only for requests and
// connections whose rules have expressions.
import type { Headers } from "#wire/http/headers.ts";
import { flagBits } from "../config/flag-names.ts";
import type { MetricValues } from "../config/metric-rules.ts";
import type { RequestFacts, TcpFacts } from "../http/observer.ts";
import { type PeerMetadata, peerFields } from "./peer-metadata.ts";

/** Who is on the other side of each direction; null: not known. */
interface Peers {
  readonly downstream: PeerMetadata | null;
  readonly upstream: PeerMetadata | null;
  /** Our own workload. */
  readonly node: PeerMetadata;
}

export function requestValues(facts: RequestFacts, peers: Peers): MetricValues {
  const { path, headers, responseHeaders } = facts;
  const query = path.indexOf("?");
  return {
    ...connectionValues(facts, peers),
    request: {
      path,
      url_path: path.split("?", 1)[0],
      query: query < 0 ? "" : path.slice(query + 1),
      host: facts.authority,
      scheme: facts.scheme,
      method: facts.method,
      protocol: facts.protocol,
      headers: headerMap(headers),
      ...present("referer", headers.get("referer")),
      ...present("useragent", headers.get("user-agent")),
      ...present("id", headers.get("x-request-id")),
      size: BigInt(facts.requestBytes),
      time: BigInt(Math.round(facts.startTimeMs * 1000)) * 1000n,
    },
    response: {
      ...(facts.responseStatus !== 0 && { code: BigInt(facts.responseStatus) }),
      ...present("code_details", facts.responseDetails),
      ...present("grpc_status", facts.grpcStatus),
      flags: flagBits(facts.responseFlags),
      headers: responseHeaders === null ? new Map() : headerMap(responseHeaders),
      size: BigInt(facts.responseBytes),
    },
  };
}

/** What there is without HTTP. */
export function connectionValues(facts: RequestFacts | TcpFacts, { downstream, upstream, node }: Peers): MetricValues {
  const { connection, endpointConfig, clusterConfig } = facts;
  const { peer } = connection;
  return {
    source: { address: connection.sourceAddress, port: BigInt(connection.sourcePort) },
    destination: { address: connection.destinationAddress, port: BigInt(connection.destinationPort) },
    connection: {
      mtls: connection.isTls && peer !== null,
      requested_server_name: connection.serverName,
      tls_version: connection.tlsVersion,
      ...present("uri_san_peer_certificate", peer?.uriSan),
      ...present("subject_peer_certificate", peer?.subject),
      ...present("dns_san_peer_certificate", peer?.dnsSans[0]),
      ...present("uri_san_local_certificate", connection.localUriSan),
    },
    upstream: {
      ...present("address", endpointConfig?.key),
      ...present("uri_san_peer_certificate", facts.upstreamPeerUriSan),
      ...present("uri_san_local_certificate", facts.upstreamLocalUriSan),
    },
    xds: {
      ...present("cluster_name", clusterConfig?.name),
      ...("routeName" in facts && present("route_name", facts.routeName)),
      listener_name: connection.listenerName,
      filter_chain_name: connection.filterChainName,
    },
    filter_state: peers(downstream, upstream),
    // By themselves too, as older configuration names them.
    ...peers(downstream, upstream),
    node: peerFields(node),
  };
}

function peers(downstream: PeerMetadata | null, upstream: PeerMetadata | null): MetricValues {
  return {
    ...(downstream !== null && { downstream_peer: peerFields(downstream) }),
    ...(upstream !== null && { upstream_peer: peerFields(upstream) }),
  };
}

function present(name: string, value: string | undefined): MetricValues {
  return value === undefined || value === "" ? {} : { [name]: value };
}

/** By lower-case name. */
function headerMap(headers: Headers): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  headers.forEach((name, value) => {
    const before = map.get(name);
    map.set(name, before === undefined ? value : `${before},${value}`);
  });
  return map;
}
