// What metrics need to know of requests and TCP connections. `observe/` implements it; the data path calls it once per
// request, and for TCP once at the start, at intervals, and at the end.
import type { Headers } from "#wire/http/headers.ts";
import type { PeerFields, PeerSide } from "../config/access-log.ts";
import type { ClusterConfig, EndpointConfig } from "../config/cluster.ts";
import type { MetricRules } from "../config/metric-rules.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";

/** A finished request. The object is only valid during the call. */
export interface RequestFacts {
  readonly connection: ConnectionInfo;
  readonly clusterConfig: ClusterConfig | null;
  readonly endpointConfig: EndpointConfig | null;
  readonly method: string;
  readonly authority: string;
  readonly scheme: string;
  readonly protocol: string;
  readonly path: string;
  readonly headers: Headers;
  readonly responseHeaders: Headers | null;
  readonly responseDetails: string;
  readonly startTimeMs: number;
  readonly routeName: string;
  /** 0 when no response was sent. */
  readonly responseStatus: number;
  /** Envoy's flags joined by commas; empty for none. */
  readonly responseFlags: string;
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly isGrpc: boolean;
  /** Messages of a gRPC call; 0 when they are not counted. */
  readonly requestMessages: number;
  readonly responseMessages: number;
  readonly grpcStatus: string | undefined;
  /** The client's `x-envoy-peer-metadata` and its id; undefined when it sent none. */
  readonly downstreamPeerMetadata: string | undefined;
  readonly downstreamPeerMetadataId: string | undefined;
  /** The server's, from the response. */
  readonly upstreamPeerMetadata: string | undefined;
  readonly upstreamPeerMetadataId: string | undefined;
  /** URI SANs on the connection to the endpoint, verified; undefined on plaintext. */
  readonly upstreamPeerUriSan: string | undefined;
  readonly upstreamLocalUriSan: string | undefined;
}

/** A TCP connection through tcp_proxy. The object lives as long as the connection; `onTcpClosed` is its last event. */
export interface TcpFacts {
  readonly connection: ConnectionInfo;
  readonly clusterConfig: ClusterConfig | null;
  readonly endpointConfig: EndpointConfig | null;
  /** From the client so far, and to the client so far. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly responseFlags: string;
  readonly upstreamPeerUriSan: string | undefined;
  readonly upstreamLocalUriSan: string | undefined;
  /** As the chain's istio.stats has them. */
  readonly metricRules: MetricRules;
}

export interface TrafficObserver {
  /** Who is on a side of a request; null where nobody said it. */
  peerOf(facts: RequestFacts, side: PeerSide): PeerFields | null;
  onRequestComplete(facts: RequestFacts, rules: MetricRules): void;
  onTcpOpened(facts: TcpFacts): void;
  /** Every few seconds while bytes flow, so that long connections are seen. */
  onTcpProgress(facts: TcpFacts): void;
  onTcpClosed(facts: TcpFacts): void;
}
