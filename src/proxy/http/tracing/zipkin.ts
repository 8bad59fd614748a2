// Zipkin: B3 headers, and spans as JSON to the collector's `/api/v2/spans`.
// https://zipkin.io/zipkin-api
import { Headers } from "#wire/http/headers.ts";
import type { ZipkinConfig } from "../../config/tracing.ts";
import { callHttp } from "../../upstream/http-call.ts";
import { ReportBuffer } from "../report-buffer.ts";
import { newId, Span } from "./span.ts";
import { b3Context, sendB3, sendW3c, w3cContext } from "./trace-context.ts";
import { type RequestStart, spanIntervalMs, spanNames, type Tracer, type TracerEnvironment } from "./tracer.ts";

const prefix = "tracing.zipkin.";
/** Collectors answer 202 and nothing. */
const maxResponseBytes = 64 * 1024;

export class ZipkinTracer implements Tracer {
  readonly #config: ZipkinConfig;
  readonly #environment: TracerEnvironment;
  readonly #buffer: ReportBuffer<Span>;

  constructor(config: ZipkinConfig, environment: TracerEnvironment) {
    this.#config = config;
    this.#environment = environment;
    const { loop, stats } = environment;
    this.#buffer = new ReportBuffer(loop, stats, spanNames(prefix), spanIntervalMs, (spans, done) =>
      this.#export(spans, done),
    );
  }

  start(headers: Headers, { traced, isClient, host, startMs }: RequestStart): Span | null {
    const { has128BitIds, sharesSpans, speaksW3c } = this.#config;
    const b3 = b3Context(headers);
    const found = b3.context ?? (speaksW3c ? w3cContext(headers) : null);
    if (found === "invalid") return null;
    const shared = { isClient, name: host, startMs, traceState: "" };
    if (found === null) {
      const sampled = b3.sampled ?? traced;
      const spanId = newId(8);
      // The first span of a trace of short ids has the trace's.
      const traceId = has128BitIds ? newId(8) + spanId : spanId;
      return new Span({ ...shared, traceId, spanId, parentId: "", sampled, isShared: false });
    }
    const sampled = found.sampled ?? b3.sampled ?? traced;
    const isShared = sharesSpans && !isClient;
    return new Span({
      ...shared,
      traceId: found.traceId,
      spanId: isShared ? found.spanId : newId(8),
      parentId: isShared ? found.parentId : found.spanId,
      sampled,
      isShared,
    });
  }

  send(headers: Headers, span: Span): void {
    sendB3(headers, span);
    if (this.#config.speaksW3c) sendW3c(headers, span);
  }

  report(span: Span): void {
    this.#buffer.add(span);
  }

  emptied(): Promise<void> {
    return this.#buffer.emptied();
  }

  #export(spans: readonly Span[], done: (isAccepted: boolean) => void): void {
    const { cluster, host, path, timeoutMs, headers: configured } = this.#config.service;
    const headers = new Headers();
    headers.add("content-type", "application/json");
    for (const { name, value } of configured) headers.set(name, value);
    const local = this.#localEndpoint();
    const body = Buffer.from(JSON.stringify(spans.map((span) => zipkinSpan(span, local))));
    callHttp(
      this.#environment,
      { cluster, method: "POST", scheme: "http", authority: host, path, headers, body, timeoutMs, maxResponseBytes },
      { onCallDone: ({ status }) => done(status >= 200 && status < 300), onCallFailed: () => done(false) },
    );
  }

  #localEndpoint(): Readonly<Record<string, string>> {
    const { id, cluster } = this.#environment.node;
    const ip = id.split("~")[1] ?? "";
    return { serviceName: cluster, ...(ip !== "" && { [ip.includes(":") ? "ipv6" : "ipv4"]: ip }) };
  }
}

function zipkinSpan(span: Span, localEndpoint: Readonly<Record<string, string>>): object {
  return {
    traceId: span.traceId,
    id: span.spanId,
    ...(span.parentId !== "" && { parentId: span.parentId }),
    name: span.name,
    kind: span.isClient ? "CLIENT" : "SERVER",
    timestamp: Math.round(span.startMs * 1000),
    // Zipkin has no spans without a duration.
    duration: Math.max(1, Math.round((span.endMs - span.startMs) * 1000)),
    localEndpoint,
    tags: Object.fromEntries(span.tags),
    ...(span.events.length > 0 && {
      annotations: span.events.map(({ name, atMs }) => ({ timestamp: Math.round(atMs * 1000), value: name })),
    }),
    ...(span.isShared && { shared: true }),
  };
}
