// What codecs of HTTP/1 count, in plain numbers, for all connections that share them, by the meaning that Envoy gives to
// its statistics: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/stats#http-1-codec-statistics

export interface Http1CodecCounters {
  droppedHeadersWithUnderscores: number;
  requestsRejectedWithUnderscores: number;
  /** Messages that break the rules of HTTP/1. */
  protocolErrors: number;
}

export function http1CodecCounters(): Http1CodecCounters {
  return { droppedHeadersWithUnderscores: 0, requestsRejectedWithUnderscores: 0, protocolErrors: 0 };
}
