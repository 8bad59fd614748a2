// Numbers of the proxy-wasm ABI, the same in versions 0.1.0, 0.2.0 and 0.2.1.
// Specification: https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1

/** `proxy_status_t`: what a host function answers. */
export const Status = {
  Ok: 0,
  NotFound: 1,
  BadArgument: 2,
  SerializationFailure: 3,
  ParseFailure: 4,
  InvalidMemoryAccess: 6,
  Empty: 7,
  CasMismatch: 8,
  InternalFailure: 10,
  /** What a gRPC call or an HTTP call that broke reports through `proxy_get_status`. */
  BrokenConnection: 11,
  Unimplemented: 12,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** `proxy_map_type_t`. */
export const MapType = {
  RequestHeaders: 0,
  RequestTrailers: 1,
  ResponseHeaders: 2,
  ResponseTrailers: 3,
  GrpcInitialMetadata: 4,
  GrpcTrailingMetadata: 5,
  HttpCallResponseHeaders: 6,
  HttpCallResponseTrailers: 7,
} as const;

/** `proxy_buffer_type_t`. */
export const BufferType = {
  RequestBody: 0,
  ResponseBody: 1,
  DownstreamData: 2,
  UpstreamData: 3,
  HttpCallResponseBody: 4,
  GrpcMessage: 5,
  VmConfiguration: 6,
  PluginConfiguration: 7,
  CallData: 8,
} as const;

/** `proxy_stream_type_t`. */
export const StreamType = { Request: 0, Response: 1, Downstream: 2, Upstream: 3 } as const;

/** `proxy_metric_type_t`. */
export const MetricType = { Counter: 0, Gauge: 1, Histogram: 2 } as const;

/** `proxy_peer_type_t`: who closed a connection. */
export const PeerType = { Unknown: 0, Local: 1, Remote: 2 } as const;

/** What header and trailer callbacks answer beyond continue and pause: Envoy's `FilterHeadersStatus`. */
export const HeadersStatus = {
  Continue: 0,
  StopIteration: 1,
  ContinueAndEndStream: 2,
  StopAllIterationAndBuffer: 3,
  StopAllIterationAndWatermark: 4,
} as const;

/** Envoy's `FilterDataStatus`. */
export const DataStatus = {
  Continue: 0,
  StopIterationAndBuffer: 1,
  StopIterationAndWatermark: 2,
  StopIterationNoBuffer: 3,
} as const;

export type AbiVersion = "0.1.0" | "0.2.0" | "0.2.1";

/** By the marker function that a module exports; the newest counts. */
export const abiMarkers: readonly (readonly [string, AbiVersion])[] = [
  ["proxy_abi_version_0_2_1", "0.2.1"],
  ["proxy_abi_version_0_2_0", "0.2.0"],
  ["proxy_abi_version_0_1_0", "0.1.0"],
];
