// Statistics of the HTTP codecs by Envoy's names: `http1.*` and `http2.*` for clients, `cluster.<name>.http2.*` for servers.
import { type Http1CodecCounters, http1CodecCounters } from "#wire/http1/codec-counters.ts";
import { type Http2CodecCounters, http2CodecCounters } from "#wire/http2/codec-counters.ts";
import type { StatValue } from "./stats.ts";

export interface CodecCounters {
  readonly http1: Http1CodecCounters;
  readonly http2: Http2CodecCounters;
}

export function codecCounters(): CodecCounters {
  return { http1: http1CodecCounters(), http2: http2CodecCounters() };
}

const http1Names = {
  droppedHeadersWithUnderscores: "dropped_headers_with_underscores",
  requestsRejectedWithUnderscores: "requests_rejected_with_underscores_in_headers",
  protocolErrors: "protocol_error",
} as const satisfies Record<keyof Http1CodecCounters, string>;

const http2Names = {
  droppedHeadersWithUnderscores: "dropped_headers_with_underscores",
  requestsRejectedWithUnderscores: "requests_rejected_with_underscores_in_headers",
  goawaySent: "goaway_sent",
  goawayGracefulSent: "goaway_graceful_sent",
  headerOverflow: "header_overflow",
  headersWithoutStream: "headers_cb_no_stream",
  inboundEmptyFramesFlood: "inbound_empty_frames_flood",
  inboundPriorityFramesFlood: "inbound_priority_frames_flood",
  inboundWindowUpdateFramesFlood: "inbound_window_update_frames_flood",
  outboundControlFlood: "outbound_control_flood",
  outboundFlood: "outbound_flood",
  keepaliveTimeout: "keepalive_timeout",
  messagingErrors: "rx_messaging_error",
  resetsReceived: "rx_reset",
  resetsSent: "tx_reset",
  refusedStreams: "stream_refused_errors",
  trailers: "trailers",
  flushTimeouts: "tx_flush_timeout",
  streamsActive: "streams_active",
  pendingSendBytes: "pending_send_bytes",
} as const satisfies Record<keyof Http2CodecCounters, string>;

const gauges: ReadonlySet<string> = new Set([http2Names.streamsActive, http2Names.pendingSendBytes]);

export function codecStats(prefix: string, { http1, http2 }: CodecCounters): StatValue[] {
  return [
    ...Object.entries(http1Names).map(([key, name]) =>
      stat(`${prefix}http1.`, name, http1[key as keyof Http1CodecCounters]),
    ),
    ...Object.entries(http2Names).map(([key, name]) =>
      stat(`${prefix}http2.`, name, http2[key as keyof Http2CodecCounters]),
    ),
  ];
}

function stat(prefix: string, name: string, value: number): StatValue {
  return { name: prefix + name, kind: gauges.has(name) ? "gauge" : "counter", value };
}
