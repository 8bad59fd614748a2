// HOT: per request. The time limits of a request: the route's, over them what the request's own headers say. Only
// trusted clients may say it: from others the connection manager has taken these headers off. Envoy's
// `x-envoy-upstream-rq-timeout-ms`, `x-envoy-upstream-rq-per-try-timeout-ms`, `x-envoy-upstream-stream-duration-ms` and
// gRPC's `grpc-timeout`.
import { FIRST_ENVOY_CONTROL, X_ENVOY_EXPECTED_RQ_TIMEOUT_MS } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { ForwardAction } from "../../../config/http.ts";
import type { Stream } from "../../stream.ts";

/** All in milliseconds; 0 is no limit. */
export interface RequestTimeouts {
  readonly routeMs: number;
  readonly perTryMs: number;
  readonly perTryIdleMs: number;
  /** Whole life of the stream, where the route or a gRPC client says it. */
  readonly streamMs: number;
  /** Of one attempt, from its connection to its end; null: what the cluster says. */
  readonly attemptMs: number | null;
  /** True when `streamMs` is what a gRPC client asked for. */
  readonly isGrpcDeadline: boolean;
}

export function requestTimeouts(stream: Stream, action: ForwardAction): RequestTimeouts {
  const { headers } = stream;
  let routeMs = action.timeoutMs;
  let attemptMs: number | null = null;
  let perTryMs = action.retry?.perTryTimeoutMs ?? 0;
  if (headers.hasFromId(FIRST_ENVOY_CONTROL)) {
    routeMs = takeNumber(headers, "x-envoy-upstream-rq-timeout-ms") ?? routeMs;
    perTryMs = takeNumber(headers, "x-envoy-upstream-rq-per-try-timeout-ms") ?? perTryMs;
    attemptMs = takeNumber(headers, "x-envoy-upstream-stream-duration-ms") ?? null;
  }
  // A try can't take longer than the request.
  if (routeMs > 0 && perTryMs >= routeMs) perTryMs = 0;
  const grpcMs = action.grpcTimeout === null || !stream.isGrpc ? null : grpcDeadlineMs(headers, action.grpcTimeout);
  return {
    routeMs,
    perTryMs,
    perTryIdleMs: action.retry?.perTryIdleTimeoutMs ?? 0,
    attemptMs,
    streamMs: grpcMs ?? action.maxStreamDurationMs ?? 0,
    isGrpcDeadline: grpcMs !== null,
  };
}

/** Tells the upstream how long an answer is waited for. */
export function tellExpectedTimeout(headers: Headers, { routeMs, perTryMs }: RequestTimeouts): void {
  const expectedMs = perTryMs > 0 ? perTryMs : routeMs;
  if (expectedMs > 0) headers.setId(X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, String(Math.round(expectedMs)));
  else headers.removeId(X_ENVOY_EXPECTED_RQ_TIMEOUT_MS);
}

function takeNumber(headers: Headers, name: string): number | undefined {
  const value = headers.get(name);
  if (value === undefined) return undefined;
  headers.remove(name);
  return /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 };

/** What `grpc-timeout` asks for, within the route's bound; null: nothing, or nonsense. */
function grpcDeadlineMs(headers: Headers, limit: NonNullable<ForwardAction["grpcTimeout"]>): number | null {
  const value = headers.get("grpc-timeout");
  const match = value === undefined ? null : /^(\d{1,8})([HMSmun])$/.exec(value);
  if (match === null) return null;
  const asked = Number(match[1]) * (unitMs[match[2] ?? ""] ?? 0);
  // Taken off so that the client sees the proxy's answer rather than its own; never down to no limit.
  const shortened = limit.offsetMs > 0 && asked > limit.offsetMs ? asked - limit.offsetMs : asked;
  const bounded = limit.maxMs > 0 ? Math.min(limit.maxMs, shortened) : shortened;
  return Math.max(1, Math.ceil(bounded));
}
