// HOT: per request. Istio's standard metrics. The label set of a request is found by identity: by cluster, then by
// endpoint or by what the peer says of itself, then by certificate and response class; only a new combination builds
// strings.

import type { PeerFields, PeerSide } from "../config/access-log.ts";
import type { ClusterConfig, EndpointConfig } from "../config/cluster.ts";
import { TrafficDirection } from "../config/listener.ts";
import { type MetricRules, type StandardMetric, standardMetrics } from "../config/metric-rules.ts";
import type { RequestFacts, TcpFacts, TrafficObserver } from "../http/observer.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import { CustomMetrics, type MetricAmounts } from "./custom-metrics.ts";
import { serviceOfAuthority, serviceOfCluster } from "./destination-service.ts";
import { type Label, type LabelFacts, renderLabels, standardLabels } from "./labels.ts";
import { connectionValues, requestValues } from "./metric-values.ts";
import { metadataOfEndpoint, type PeerMetadata, PeerMetadataCache, peerFields } from "./peer-metadata.ts";
import { CounterColumn, type HistogramBounds, HistogramColumn, LabelRows, standardBounds } from "./series-table.ts";

/** Bound on label sets of HTTP and of TCP, and on those that a Host header made. */
const maxRows = 10_000;
const maxHostRows = 1000;

/** Rows of one pair of peers and one cluster. */
interface Scope {
  readonly localPrincipal: string | undefined;
  /** By response code, for plain HTTP answers without flags from clusters with service metadata. */
  readonly plain: Map<number, number>;
  readonly other: Map<string, number>;
}

type ByPrincipal = Map<string, Scope>;
type ByPeer = WeakMap<object, ByPrincipal>;
type ByEndpoint = WeakMap<object, ByPeer>;

/** What has been reported of an open TCP connection. */
interface TcpProgress {
  /** At the start: bytes stay with one series whatever ends the connection. */
  readonly responseFlags: string;
  sentBytes: number;
  receivedBytes: number;
}

/** The part of the facts that says who talks to whom. */
interface Parties {
  readonly connection: ConnectionInfo;
  readonly clusterConfig: ClusterConfig | null;
  readonly endpointConfig: EndpointConfig | null;
  readonly upstreamPeerUriSan: string | undefined;
  readonly upstreamLocalUriSan: string | undefined;
}

/** Stands for an absent cluster, endpoint or peer. */
const nothing: object = {};

export class StandardObserver implements TrafficObserver {
  readonly #local: PeerMetadata;
  readonly #peers = new PeerMetadataCache();
  readonly #http: LabelRows = new LabelRows(maxRows);
  #hostRows = 0;
  readonly #requests = new CounterColumn();
  readonly #durations: HistogramColumn;
  readonly #requestBytes: HistogramColumn;
  readonly #responseBytes: HistogramColumn;
  readonly #requestMessages = new CounterColumn();
  readonly #responseMessages = new CounterColumn();
  readonly #tcp: LabelRows = new LabelRows(maxRows);
  readonly #asServer = new WeakMap<object, ByEndpoint>();
  readonly #asClient = new WeakMap<object, ByEndpoint>();
  readonly #open = new WeakMap<TcpFacts, TcpProgress>();
  readonly #custom: CustomMetrics;
  readonly #columns: Readonly<Record<StandardMetric, CounterColumn | HistogramColumn>>;

  /** `local` describes our own workload. */
  constructor(local: PeerMetadata, bounds: HistogramBounds = standardBounds) {
    this.#local = local;
    this.#custom = new CustomMetrics(bounds);
    this.#durations = new HistogramColumn(bounds("request_duration_milliseconds"));
    this.#requestBytes = new HistogramColumn(bounds("request_bytes"));
    this.#responseBytes = new HistogramColumn(bounds("response_bytes"));
    this.#columns = {
      requests_total: this.#requests,
      request_duration_milliseconds: this.#durations,
      request_bytes: this.#requestBytes,
      response_bytes: this.#responseBytes,
      request_messages_total: this.#requestMessages,
      response_messages_total: this.#responseMessages,
      tcp_connections_opened_total: new CounterColumn(),
      tcp_connections_closed_total: new CounterColumn(),
      tcp_sent_bytes_total: new CounterColumn(),
      tcp_received_bytes_total: new CounterColumn(),
    };
  }

  onRequestComplete(facts: RequestFacts, rules: MetricRules): void {
    if (rules.changes !== null || rules.isServerGateway) {
      this.#reportChanged(facts, rules);
      return;
    }
    const row = this.#requestRow(facts, rules.usesHostHeader);
    if (row < 0) return;
    this.#requests.add(row, 1);
    this.#durations.observe(row, facts.durationMs);
    this.#requestBytes.observe(row, facts.requestBytes);
    this.#responseBytes.observe(row, facts.responseBytes);
    if (!facts.isGrpc) return;
    this.#requestMessages.add(row, facts.requestMessages);
    this.#responseMessages.add(row, facts.responseMessages);
  }

  peerOf(facts: RequestFacts, side: PeerSide): PeerFields | null {
    const peer =
      side === "downstream"
        ? this.#peers.get(facts.downstreamPeerMetadata)
        : (this.#peers.get(facts.upstreamPeerMetadata) ?? metadataOfEndpoint(facts.endpointConfig?.workload ?? ""));
    return peer === null ? null : peerFields(peer);
  }

  /** Metrics whose labels are changed have rows of their own; the others stay with the standard ones. */
  #reportChanged(facts: RequestFacts, rules: MetricRules): void {
    const downstream = this.#peers.get(facts.downstreamPeerMetadata);
    const upstream =
      this.#peers.get(facts.upstreamPeerMetadata) ?? metadataOfEndpoint(facts.endpointConfig?.workload ?? "");
    const hasService = facts.clusterConfig !== null && facts.clusterConfig.services.length > 0;
    const authority = hasService || !rules.usesHostHeader ? undefined : facts.authority;
    const labels = standardLabels(
      rules.isServerGateway
        ? { ...this.#httpLabels(facts, upstream, authority), ...gatewayParties(facts, downstream, upstream) }
        : this.#httpLabels(facts, isServer(facts) ? downstream : upstream, authority),
    );
    const messages: MetricAmounts = [
      ["request_messages_total", facts.requestMessages],
      ["response_messages_total", facts.responseMessages],
    ];
    const amounts: MetricAmounts = [
      ["requests_total", 1],
      ["request_duration_milliseconds", facts.durationMs],
      ["request_bytes", facts.requestBytes],
      ["response_bytes", facts.responseBytes],
      ...(facts.isGrpc ? messages : []),
    ];
    const values = requestValues(facts, { downstream, upstream, node: this.#local });
    this.#addStandard(this.#http, labels, this.#custom.report(rules, amounts, labels, values));
    this.#custom.reportDefined(rules, labels, values);
  }

  #addStandard(rows: LabelRows, labels: readonly Label[], amounts: MetricAmounts): void {
    if (amounts.length === 0) return;
    const row = rows.row(renderLabels(labels));
    if (row < 0) return;
    for (const [metric, amount] of amounts) {
      const column = this.#columns[metric];
      if (column instanceof CounterColumn) column.add(row, amount);
      else column.observe(row, amount);
    }
  }

  onTcpOpened(facts: TcpFacts): void {
    const { responseFlags } = facts;
    this.#open.set(facts, { responseFlags, sentBytes: 0, receivedBytes: 0 });
    this.#reportTcp(facts, responseFlags, [["tcp_connections_opened_total", 1]]);
  }

  onTcpProgress(facts: TcpFacts): void {
    const progress = this.#open.get(facts);
    if (progress === undefined) return;
    this.#reportTcp(facts, progress.responseFlags, [
      ["tcp_sent_bytes_total", facts.sentBytes - progress.sentBytes],
      ["tcp_received_bytes_total", facts.receivedBytes - progress.receivedBytes],
    ]);
    progress.sentBytes = facts.sentBytes;
    progress.receivedBytes = facts.receivedBytes;
  }

  onTcpClosed(facts: TcpFacts): void {
    if (!this.#open.has(facts)) return;
    this.onTcpProgress(facts);
    this.#open.delete(facts);
    this.#reportTcp(facts, facts.responseFlags, [["tcp_connections_closed_total", 1]], true);
  }

  #reportTcp(facts: TcpFacts, responseFlags: string, amounts: MetricAmounts, isOver = false): void {
    const rules = facts.metricRules;
    const labels = standardLabels({
      ...this.#labels(facts, null, undefined),
      protocol: "tcp",
      responseCode: null,
      grpcStatus: undefined,
      responseFlags,
    });
    let rest = amounts;
    if (rules.changes !== null) {
      const upstream = metadataOfEndpoint(facts.endpointConfig?.workload ?? "");
      const values = connectionValues(facts, { downstream: null, upstream, node: this.#local });
      rest = this.#custom.report(rules, amounts, labels, values);
      if (isOver) this.#custom.reportDefined(rules, labels, values);
    }
    this.#addStandard(this.#tcp, labels, rest);
  }

  /** The istio_* families in Prometheus' text format. */
  expose(): string {
    return standardMetrics
      .map((metric) => {
        const rows = metric.startsWith("tcp_") ? this.#tcp : this.#http;
        return this.#custom.expose(metric, this.#columns[metric].expose(`istio_${metric}`, rows));
      })
      .concat(this.#custom.exposeDefined())
      .join("");
  }

  #requestRow(facts: RequestFacts, usesHostHeader: boolean): number {
    const peer = this.#peers.get(isServer(facts) ? facts.downstreamPeerMetadata : facts.upstreamPeerMetadata);
    const scope = this.#scope(facts, peer);
    const hasService = facts.clusterConfig !== null && facts.clusterConfig.services.length > 0;
    if (hasService && facts.responseFlags === "" && !facts.isGrpc) {
      let row = scope.plain.get(facts.responseStatus);
      if (row === undefined) {
        row = this.#http.row(renderLabels(standardLabels(this.#httpLabels(facts, peer, undefined))));
        scope.plain.set(facts.responseStatus, row);
      }
      return row;
    }
    const { responseStatus, isGrpc, grpcStatus, responseFlags } = facts;
    const host = hasService || !usesHostHeader ? "" : facts.authority;
    const key = `${responseStatus} ${isGrpc} ${grpcStatus ?? ""} ${responseFlags} ${host}`;
    let row = scope.other.get(key);
    if (row === undefined) {
      row = this.#otherRow(facts, peer, !hasService && usesHostHeader);
      if (scope.other.size < maxHostRows) scope.other.set(key, row);
    }
    return row;
  }

  /** Labels by Host header are bounded on their own, so that strangers' hosts leave room for everything else. */
  #otherRow(facts: RequestFacts, peer: PeerMetadata | null, mayUseHost: boolean): number {
    const byHost = mayUseHost && this.#hostRows < maxHostRows;
    const before = this.#http.size;
    const row = this.#http.row(
      renderLabels(standardLabels(this.#httpLabels(facts, peer, byHost ? facts.authority : undefined))),
    );
    if (byHost && this.#http.size > before) this.#hostRows++;
    return row;
  }

  #scope(facts: Parties, peer: PeerMetadata | null): Scope {
    const server = isServer(facts);
    const byCluster = server ? this.#asServer : this.#asClient;
    const byEndpoint = inner(byCluster, facts.clusterConfig ?? nothing, newByEndpoint);
    // On the server side the endpoint is the application beside us: always the same workload.
    const byPeer = inner(byEndpoint, server ? nothing : (facts.endpointConfig ?? nothing), newByPeer);
    const byPrincipal = inner(byPeer, peer ?? nothing, newByPrincipal);
    const principal = peerPrincipal(facts) ?? "";
    const localPrincipal = ownPrincipal(facts);
    let scope = byPrincipal.get(principal);
    if (scope === undefined || scope.localPrincipal !== localPrincipal) {
      scope = { localPrincipal, plain: new Map(), other: new Map() };
      if (byPrincipal.size >= maxHostRows) byPrincipal.clear();
      byPrincipal.set(principal, scope);
    }
    return scope;
  }

  #httpLabels(facts: RequestFacts, peer: PeerMetadata | null, authority: string | undefined): LabelFacts {
    return {
      ...this.#labels(facts, peer, authority),
      protocol: facts.isGrpc ? "grpc" : "http",
      responseCode: facts.responseStatus,
      grpcStatus: facts.isGrpc ? (facts.grpcStatus ?? "2") : undefined,
      responseFlags: facts.responseFlags,
    };
  }

  #labels(
    facts: Parties,
    peer: PeerMetadata | null,
    authority: string | undefined,
  ): Omit<LabelFacts, "protocol" | "responseCode" | "grpcStatus" | "responseFlags"> {
    const server = isServer(facts);
    const remote = peer ?? (server ? null : metadataOfEndpoint(facts.endpointConfig?.workload ?? ""));
    const own = ownPrincipal(facts);
    const other = peerPrincipal(facts);
    return {
      reporter: server ? "destination" : "source",
      source: server ? remote : this.#local,
      destination: server ? this.#local : remote,
      sourcePrincipal: server ? other : own,
      destinationPrincipal: server ? own : other,
      service: serviceOfCluster(facts.clusterConfig) ?? serviceOfAuthority(facts.clusterConfig, authority),
      isMutualTls: facts.connection.peer !== null,
    };
  }
}

/** Who talks to whom at a gateway that reports for its servers. */
function gatewayParties(
  facts: RequestFacts,
  downstream: PeerMetadata | null,
  upstream: PeerMetadata | null,
): Pick<LabelFacts, "reporter" | "source" | "destination" | "sourcePrincipal" | "destinationPrincipal"> {
  return {
    reporter: "waypoint",
    source: downstream,
    destination: upstream,
    sourcePrincipal: facts.connection.peer?.uriSan,
    destinationPrincipal: facts.upstreamPeerUriSan,
  };
}

function isServer(facts: Parties): boolean {
  return facts.connection.direction === TrafficDirection.Inbound;
}

function peerPrincipal(facts: Parties): string | undefined {
  return isServer(facts) ? facts.connection.peer?.uriSan : facts.upstreamPeerUriSan;
}

function ownPrincipal(facts: Parties): string | undefined {
  if (!isServer(facts)) return facts.upstreamLocalUriSan;
  return facts.connection.isTls ? facts.connection.localUriSan : undefined;
}

function inner<V>(map: WeakMap<object, V>, key: object, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

const newByEndpoint = (): ByEndpoint => new WeakMap();
const newByPeer = (): ByPeer => new WeakMap();
const newByPrincipal = (): ByPrincipal => new Map();
