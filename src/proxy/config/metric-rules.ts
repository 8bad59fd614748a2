// What a configuration changes about Istio's standard metrics.

/** Istio's standard metrics, without `istio_`. */
export const standardMetrics = [
  "requests_total",
  "request_duration_milliseconds",
  "request_bytes",
  "response_bytes",
  "request_messages_total",
  "response_messages_total",
  "tcp_connections_opened_total",
  "tcp_connections_closed_total",
  "tcp_sent_bytes_total",
  "tcp_received_bytes_total",
] as const;

export type StandardMetric = (typeof standardMetrics)[number];

export interface MetricRules {
  /** A request without service metadata is reported under its Host header, which anyone may set. */
  readonly usesHostHeader: boolean;
  /** This proxy stands in front of its servers, and reports for them. */
  readonly isServerGateway: boolean;
  /** Between two reports of a TCP connection that lasts. */
  readonly tcpReportMs: number;
  /** By metric, own ones among them. Null: labels are the standard ones. */
  readonly changes: ReadonlyMap<string, readonly LabelChange[]> | null;
  /** Metrics beside the standard ones; with any of them `changes` is there. */
  readonly definitions: readonly MetricDefinition[];
}

/** A metric of the user's own, of requests and of connections that end. */
export interface MetricDefinition {
  /** Without `istio_`. */
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** What is added, set or observed; null: the expression finds no number. */
  readonly amount: (values: MetricValues) => number | null;
}

/** One change to the labels of a metric; several apply in order. */
export interface LabelChange {
  /** Null: always. */
  readonly applies: ((values: MetricValues) => boolean) | null;
  readonly drops: boolean;
  readonly removed: ReadonlySet<string>;
  /** Labels that are new, or have another value than usual. */
  readonly values: readonly { readonly label: string; readonly valueOf: (values: MetricValues) => string }[];
}

/** What expressions read: `request`, `response`, ... with their parts. */
export type MetricValues = Readonly<Record<string, unknown>>;

export const standardRules: MetricRules = {
  usesHostHeader: true,
  isServerGateway: false,
  tcpReportMs: 5000,
  changes: null,
  definitions: [],
};
