// What every kind of tracer does: begins spans from what the request brings, tells upstreams, and hands finished spans to
// its collector.
import type { Headers } from "#wire/http/headers.ts";
import type { Stats } from "../../stats/stats.ts";
import type { EventLoop } from "../../transport/event-loop.ts";
import type { ClusterManager } from "../../upstream/cluster-manager.ts";
import type { ReportNames } from "../report-buffer.ts";
import type { Span } from "./span.ts";

export interface TracerEnvironment {
  readonly loop: EventLoop;
  readonly clusters: ClusterManager;
  readonly stats: Stats;
  /** What the bootstrap calls this proxy. */
  readonly node: { readonly id: string; readonly cluster: string; readonly zone?: string };
  readonly hostEnvironment: Readonly<Record<string, string | undefined>>;
}

export interface RequestStart {
  /** What the sampling says, where the request brings no decision. */
  readonly traced: boolean;
  readonly isClient: boolean;
  readonly host: string;
  readonly startMs: number;
}

export interface Tracer {
  /** Null: what the request brings can't be believed, so it gets no span. */
  start(headers: Headers, request: RequestStart): Span | null;
  /** Writes the span into the headers of a request that is sent in it. */
  send(headers: Headers, span: Span): void;
  /** A finished span that is sampled. */
  report(span: Span): void;
  /** Sends finished spans that wait; resolves when none is left or on its way. */
  emptied(): Promise<void>;
}

/** Envoy's `flush_interval_ms`. */
export const spanIntervalMs = 5000;

/** `prefix` as `tracing.zipkin.`. */
export function spanNames(prefix: string): ReportNames {
  return {
    sent: `${prefix}spans_sent`,
    failed: `${prefix}reports_failed`,
    dropped: `${prefix}spans_dropped`,
    timerFlushed: `${prefix}timer_flushed`,
  };
}
