// HOT: per request, where tracing is on. The spans of one connection manager: begun when the route is known, told to the
// upstream, and reported when the request is over, with Envoy's tags.
import { X_ENVOY_DECORATOR_OPERATION, X_REQUEST_ID } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { AccessLogEntry } from "../../config/access-log.ts";
import type { TracerConfig, TracingConfig } from "../../config/tracing.ts";
import type { Counter } from "../../stats/stats.ts";
import { accessLogEntry } from "../access-log-entry.ts";
import type { HttpEnvironment } from "../environment.ts";
import type { Stream } from "../stream.ts";
import { CLIENT_FORCED, NOT_TRACEABLE, SAMPLED, SERVICE_FORCED, traceReason } from "./sampling.ts";
import { newId, Span } from "./span.ts";
import type { Tracer } from "./tracer.ts";

/** Envoy's TrafficDirection. */
const OUTBOUND = 2;

export class ManagerTracing {
  readonly #config: TracingConfig;
  readonly #environment: HttpEnvironment;
  readonly #tracer: Tracer;
  /** By reason. */
  readonly #reasons: readonly Counter[];
  readonly #healthChecks: Counter;

  constructor(config: TracingConfig, tracer: TracerConfig, statPrefix: string, environment: HttpEnvironment) {
    this.#config = config;
    this.#environment = environment;
    this.#tracer = environment.tracers.get(tracer);
    const counter = (name: string): Counter => environment.stats.counter(`http.${statPrefix}.tracing.${name}`);
    const reasons: Counter[] = [];
    reasons[NOT_TRACEABLE] = counter("not_traceable");
    reasons[SAMPLED] = counter("random_sampling");
    reasons[CLIENT_FORCED] = counter("client_enabled");
    reasons[SERVICE_FORCED] = counter("service_forced");
    this.#reasons = reasons;
    this.#healthChecks = counter("health_check");
  }

  get spawnsUpstreamSpan(): boolean {
    return this.#config.spawnsUpstreamSpan;
  }

  /** Decides about the request and begins its span. The route is known. */
  begin(stream: Stream): void {
    const { headers, connection } = stream;
    const { loop } = this.#environment;
    const isEgress = connection.direction === OUTBOUND;
    const reason = traceReason(this.#config, headers, { share: (share) => stream.share(share), random: loop.random });
    this.#reasons[reason]!.value++;
    const span = this.#tracer.start(headers, {
      traced: reason !== NOT_TRACEABLE,
      // A proxy that is a hop of its own serves, and its attempts are clients.
      isClient: isEgress && !this.#config.spawnsUpstreamSpan,
      host: stream.authority,
      startMs: stream.startTimeMs,
    });
    stream.span = span;
    if (span === null) return;
    const operation = stream.decision?.route.decorator ?? "";
    if (operation !== "") span.name = operation;
    if (isEgress) {
      // The server's proxy calls its span as this one does.
      if (operation !== "") headers.setId(X_ENVOY_DECORATOR_OPERATION, operation);
      return;
    }
    const told = headers.getId(X_ENVOY_DECORATOR_OPERATION);
    if (told === undefined) return;
    if (told !== "") span.name = told;
    headers.removeId(X_ENVOY_DECORATOR_OPERATION);
  }

  /** Tells the upstream of the request's span. */
  send(stream: Stream, span: Span): void {
    if (this.#config.propagates) this.#tracer.send(stream.headers, span);
  }

  /** Begins the span of an attempt, and tells the upstream of it. */
  beginAttempt(stream: Stream, parent: Span): Span {
    const { upstreamOperation } = this.#config;
    const span = new Span({
      traceId: parent.traceId,
      spanId: newId(8),
      parentId: parent.spanId,
      sampled: parent.sampled,
      traceState: parent.traceState,
      isClient: true,
      name:
        upstreamOperation === null
          ? `router ${stream.clusterConfig?.name ?? ""} egress`
          : upstreamOperation(accessLogEntry(stream)),
      startMs: this.#environment.loop.now,
      isShared: false,
    });
    if (stream.attemptCount > 1) span.tags.set("retry.count", String(stream.attemptCount - 1));
    this.send(stream, span);
    return span;
  }

  endAttempt(stream: Stream, span: Span): void {
    if (!span.sampled) return;
    const entry = accessLogEntry(stream);
    const { tags } = span;
    tags.set("http.protocol", stream.protocol);
    if (entry.upstreamHost !== undefined) {
      tags.set("upstream_address", entry.upstreamHost);
      tags.set("peer.address", entry.upstreamHost);
    }
    this.#finish(stream, span, entry);
  }

  /** The request is over. */
  end(stream: Stream, span: Span): void {
    if (stream.isHealthCheck) {
      this.#healthChecks.value++;
      return;
    }
    if (!span.sampled) return;
    const entry = accessLogEntry(stream);
    const { headers, connection } = stream;
    const { node } = this.#environment;
    const { tags } = span;
    const { operation, maxPathTagLength } = this.#config;
    if (operation !== null) span.name = operation(entry);
    tags.set("node_id", node.id);
    tags.set("zone", node.zone ?? "");
    const id = headers.getId(X_REQUEST_ID);
    if (id !== undefined) tags.set("guid:x-request-id", id);
    tags.set("http.url", `${stream.scheme}://${stream.authority}${originalPath(stream).slice(0, maxPathTagLength)}`);
    tags.set("http.method", stream.method);
    tags.set("downstream_cluster", headers.get("x-envoy-downstream-service-cluster") || "-");
    tags.set("user_agent", headers.get("user-agent") || "-");
    tags.set("http.protocol", stream.protocol);
    tags.set("peer.address", connection.directSourceIp);
    const client = headers.get("x-client-trace-id");
    if (client !== undefined) tags.set("guid:x-client-trace-id", client);
    if (stream.isGrpc) addGrpcTags(stream, tags);
    tags.set("request_size", String(stream.requestBytes));
    tags.set("response_size", String(stream.responseBytes));
    if (entry.upstreamHost !== undefined) tags.set("upstream_address", entry.upstreamHost);
    if (this.#config.verbose) addEvents(span, entry);
    this.#finish(stream, span, entry);
  }

  #finish(stream: Stream, span: Span, entry: AccessLogEntry): void {
    const { tags } = span;
    tags.set("component", "proxy");
    const cluster = stream.clusterConfig;
    if (cluster !== null) {
      tags.set("upstream_cluster", cluster.name);
      tags.set("upstream_cluster.name", cluster.name);
    }
    // An attempt that was not the last one has an answer of its own.
    const status = span.status || stream.responseStatus;
    tags.set("http.status_code", String(status));
    tags.set("response_flags", stream.responseFlags || "-");
    if (status === 0 || status >= 500) tags.set("error", "true");
    for (const { name, read } of this.#config.customTags) {
      const value = read(entry);
      if (value !== undefined && value !== "") tags.set(name, value);
    }
    span.status = status;
    span.endMs = this.#environment.loop.now;
    this.#tracer.report(span);
  }

  /** The names of spans travel back from the server's proxy, where routes say them. */
  onResponseHead(stream: Stream, span: Span, headers: Headers): void {
    if (stream.connection.direction !== OUTBOUND) return;
    const told = headers.getId(X_ENVOY_DECORATOR_OPERATION);
    if (told === undefined) return;
    if (told !== "") span.name = told;
    headers.removeId(X_ENVOY_DECORATOR_OPERATION);
  }
}

/** As the client wrote it, unless a rewrite says otherwise. */
function originalPath({ headers, originalPath: received, path }: Stream): string {
  return headers.get("x-envoy-original-path") ?? (received.startsWith("/") ? received : path);
}

function addGrpcTags(
  { path, authority, headers, grpcStatus, responseTrailers }: Stream,
  tags: Map<string, string>,
): void {
  tags.set("grpc.path", path);
  tags.set("grpc.authority", authority);
  tags.set("grpc.content_type", headers.get("content-type") ?? "");
  const timeout = headers.get("grpc-timeout");
  if (timeout !== undefined) tags.set("grpc.timeout", timeout);
  if (grpcStatus === undefined) return;
  tags.set("grpc.status_code", grpcStatus);
  tags.set("grpc.message", responseTrailers?.get("grpc-message") ?? "");
  // Of the server's making: not what its client did.
  if (serverErrors.has(grpcStatus)) tags.set("error", "true");
}

/** Unknown, deadline exceeded, unimplemented, internal, unavailable, data loss. */
const serverErrors: ReadonlySet<string> = new Set(["2", "4", "12", "13", "14", "15"]);

const events = [
  ["last_downstream_rx_byte_received", "requestEnd"],
  ["first_upstream_tx_byte_sent", "upstreamStart"],
  ["last_upstream_tx_byte_sent", "upstreamRequestEnd"],
  ["first_upstream_rx_byte_received", "upstreamHead"],
  ["last_upstream_rx_byte_received", "upstreamEnd"],
  ["first_downstream_tx_byte_sent", "responseStart"],
  ["last_downstream_tx_byte_sent", "responseEnd"],
] as const;

function addEvents(span: Span, entry: AccessLogEntry): void {
  for (const [name, moment] of events) {
    const atMs = entry.moment?.(moment);
    if (atMs !== undefined) span.events.push({ name, atMs });
  }
}
