// What a module may take of the proxy's memory and time. Envoy has no such limits; a module that exceeds one is told so
// by a status, and one that does not come back is ended.

export interface WasmLimits {
  /** 128 MiB for each VM. */
  readonly maxMemoryPages: number;
  readonly maxTableEntries: number;
  /** A larger module is not loaded; Istio's own limit for downloads. */
  readonly maxModuleBytes: number;
  /** How long a call of a stream, a tick or an answer may hold the event loop. */
  readonly maxCallMs: number;
  /** The same for starting a VM and configuring a plugin. */
  readonly maxStartMs: number;
  readonly maxLogBytes: number;
  /** For each VM id. */
  readonly maxSharedDataBytes: number;
  /** For each queue. */
  readonly maxQueueBytes: number;
  readonly maxQueues: number;
  /** Over all VMs: metric names live as long as the proxy. */
  readonly maxMetrics: number;
  /** HTTP and gRPC calls in flight, for each plugin. */
  readonly maxCalls: number;
  readonly maxHttpCallBytes: number;
  readonly maxGrpcMessageBytes: number;
  /** Of a body that a plugin has asked to be kept; Envoy's default buffer limit of a connection. */
  readonly maxBodyBytes: number;
  readonly minTickMs: number;
  /** What plugins may set for one stream. */
  readonly maxStreamProperties: number;
}

export const wasmLimits: WasmLimits = {
  maxMemoryPages: 2048,
  maxTableEntries: 1 << 20,
  maxModuleBytes: 256 * 1024 * 1024,
  maxCallMs: 1000,
  maxStartMs: 10_000,
  maxLogBytes: 16 * 1024,
  maxSharedDataBytes: 32 * 1024 * 1024,
  maxQueueBytes: 8 * 1024 * 1024,
  maxQueues: 1024,
  maxMetrics: 10_000,
  maxCalls: 1000,
  maxHttpCallBytes: 1024 * 1024,
  maxGrpcMessageBytes: 4 * 1024 * 1024,
  maxBodyBytes: 1024 * 1024,
  minTickMs: 1,
  maxStreamProperties: 100,
};
