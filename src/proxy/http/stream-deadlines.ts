// The time limits that the connection manager sets to a stream: looked at by the sweep of its connection, so that no
// stream needs a timer of its own.
import type { HttpConnectionManagerConfig } from "../config/http.ts";
import { maxStreamDuration, requestTimeout, streamIdleTimeout } from "./local-replies.ts";
import type { Stream } from "./stream.ts";

const defaultHeadTimeoutMs = 15_000;

/**
 * How long a head, or the preface of HTTP/2, may take from its first byte to its last. Half-sent ones hold a socket, so
 * the bound stands even where the configuration sets none.
 */
export function headTimeoutMs({ requestHeadersTimeoutMs }: HttpConnectionManagerConfig): number {
  return requestHeadersTimeoutMs > 0 ? requestHeadersTimeoutMs : defaultHeadTimeoutMs;
}

export function enforceDeadlines(stream: Stream, now: number): void {
  const { requestTimeoutMs } = stream.manager.config;
  const { maxDurationMs } = stream;
  const idleTimeoutMs = stream.manager.environment.shedding.streamIdleMs(stream.idleTimeoutMs);
  const age = now - stream.startTimeMs;
  if (maxDurationMs > 0 && age >= maxDurationMs) {
    stream.sendLocalReply(maxStreamDuration, `the stream took longer than ${maxDurationMs} ms`, []);
  } else if (requestTimeoutMs > 0 && !stream.requestEnded && !stream.responseStarted && age >= requestTimeoutMs) {
    stream.sendLocalReply(requestTimeout, `no complete request within ${requestTimeoutMs} ms`, []);
  } else if (idleTimeoutMs > 0 && now - stream.lastActivity >= idleTimeoutMs) {
    stream.sendLocalReply(streamIdleTimeout, `no byte moved for ${idleTimeoutMs} ms`, []);
  }
}
