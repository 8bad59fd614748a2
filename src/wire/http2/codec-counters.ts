// What codecs of HTTP/2 count, in plain numbers, for all connections that share them. The meaning of each is that of
// Envoy's statistic of the same name:
// https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/stats#http-2-codec-statistics

export interface Http2CodecCounters {
  droppedHeadersWithUnderscores: number;
  requestsRejectedWithUnderscores: number;
  goawaySent: number;
  goawayGracefulSent: number;
  /** Heads and trailers above the limits. */
  headerOverflow: number;
  /** Header blocks for streams that are gone. */
  headersWithoutStream: number;
  /** Connections ended for a flood of frames that say nothing, of PRIORITY, of WINDOW_UPDATE. */
  inboundEmptyFramesFlood: number;
  inboundPriorityFramesFlood: number;
  inboundWindowUpdateFramesFlood: number;
  /** Connections ended because too much that was caused by the peer waited for it: answers to control frames, heads. */
  outboundControlFlood: number;
  outboundFlood: number;
  /** Connections ended because a PING was not answered. */
  keepaliveTimeout: number;
  /** Malformed messages. */
  messagingErrors: number;
  resetsReceived: number;
  resetsSent: number;
  /** Streams of ours that the peer refused. */
  refusedStreams: number;
  trailers: number;
  /** Streams and connections ended because the peer took nothing for too long. */
  flushTimeouts: number;
  /** Now: streams that are open, and bytes that wait for a window or the socket. */
  streamsActive: number;
  pendingSendBytes: number;
}

export function http2CodecCounters(): Http2CodecCounters {
  return {
    droppedHeadersWithUnderscores: 0,
    requestsRejectedWithUnderscores: 0,
    goawaySent: 0,
    goawayGracefulSent: 0,
    headerOverflow: 0,
    headersWithoutStream: 0,
    inboundEmptyFramesFlood: 0,
    inboundPriorityFramesFlood: 0,
    inboundWindowUpdateFramesFlood: 0,
    outboundControlFlood: 0,
    outboundFlood: 0,
    keepaliveTimeout: 0,
    messagingErrors: 0,
    resetsReceived: 0,
    resetsSent: 0,
    refusedStreams: 0,
    trailers: 0,
    flushTimeouts: 0,
    streamsActive: 0,
    pendingSendBytes: 0,
  };
}
