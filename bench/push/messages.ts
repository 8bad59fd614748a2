// What the benchmark's processes say to each other over Node's IPC channel. Times are milliseconds of the machine's
// monotonic clock, which all processes share.
import type { MeshSize } from "./mesh.ts";

export type ControlPlaneCommand =
  /** On a port of its own choice when it is 0. */
  | { readonly do: "start"; readonly size: MeshSize; readonly port: number }
  /** One pod behind the service is replaced by another. */
  | { readonly do: "replace-endpoint"; readonly service: number }
  | { readonly do: "edit-route"; readonly service: number; readonly timeout: string }
  | { readonly do: "edit-lonely-route"; readonly timeout: string }
  | { readonly do: "add-service"; readonly service: number }
  | { readonly do: "usage" }
  /** The same after a garbage collection. */
  | { readonly do: "memory" };

export interface ControlPlaneAnswer {
  readonly port: number;
  readonly atMs: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
}

export type ProxiesCommand =
  | { readonly do: "connect"; readonly port: number; readonly size: MeshSize; readonly count: number }
  | { readonly do: "begin" }
  /** Waits until `expected` proxies have answered since `begin` and nothing has come for a while. */
  | { readonly do: "settle"; readonly expected: number; readonly quietMs: number; readonly timeoutMs: number }
  | { readonly do: "reconnect" }
  /** Begins to write down when some of the proxies answer for which service. */
  | { readonly do: "record" }
  /** How long after each change they answered for its service. */
  | { readonly do: "latencies"; readonly changes: readonly EndpointChange[] };

export interface EndpointChange {
  readonly service: number;
  readonly atMs: number;
}

export interface ProxiesAnswer {
  /** Of each proxy that answered since `begin`: when it sent its last ACK. */
  readonly lastAckMs: readonly number[];
  readonly responses: number;
  readonly resources: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
  /** Of `latencies`: 50th and 99th percentile. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
