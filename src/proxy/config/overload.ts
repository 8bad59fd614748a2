// What protects the proxy itself: Envoy's overload manager as configured, or as it is without a configuration.

/** `heap`, `memory` and `event_loop_delay` are ours; the others are Envoy's. */
export type MonitorConfig = { readonly name: string } & (
  | { readonly type: "heap" }
  | { readonly type: "memory" }
  | { readonly type: "event_loop_delay"; readonly maxMs: number }
  | { readonly type: "fixed_heap"; readonly maxBytes: number }
  /** 0: the limit is the cgroup's own. */
  | { readonly type: "cgroup_memory"; readonly maxBytes: number }
  /** Of all event loops together. */
  | { readonly type: "downstream_connections"; readonly max: number }
);

/** Gives 1 from `saturation` on, and a share between the two; a threshold is a trigger with both alike. */
export interface TriggerConfig {
  /** The monitor's name. */
  readonly monitor: string;
  readonly scaling: number;
  readonly saturation: number;
}

export type OverloadActionName =
  | "stop_accepting_requests"
  | "disable_http_keepalive"
  | "reject_incoming_connections"
  | "reduce_timeouts"
  | "shrink_heap";

export interface ActionConfig {
  readonly name: OverloadActionName;
  readonly triggers: readonly TriggerConfig[];
}

/** How far down an idle timeout goes when its action is saturated: to a time, or to a share of itself. */
export interface TimerScale {
  readonly minMs: number;
  readonly minShare: number;
}

export interface OverloadConfig {
  readonly refreshMs: number;
  readonly monitors: readonly MonitorConfig[];
  readonly actions: readonly ActionConfig[];
  /** Of `reduce_timeouts`; null leaves that timeout alone. */
  readonly connectionIdle: TimerScale | null;
  readonly streamIdle: TimerScale | null;
}

const heapMonitor = "outrigger.resource_monitors.heap";
const memoryMonitor = "outrigger.resource_monitors.memory";
const eventLoopMonitor = "outrigger.resource_monitors.event_loop_delay";

/**
 * Without a configuration. Memory: V8 collects the whole heap before it lets it grow past the middle between what lives
 * and its limit, so 92 % in use means that 84 % lives, and a proxy that goes on ends in seconds. Event loop: a request
 * needs several turns, so with a delay of 0.3 s in each of them its client waits for more than a second.
 */
export const defaultOverload: OverloadConfig = {
  refreshMs: 250,
  monitors: [
    { name: heapMonitor, type: "heap" },
    { name: memoryMonitor, type: "memory" },
    { name: eventLoopMonitor, type: "event_loop_delay", maxMs: 300 },
  ],
  actions: [
    { name: "shrink_heap", triggers: [threshold(memoryMonitor, 0.9)] },
    {
      name: "reduce_timeouts",
      triggers: [scaled(heapMonitor, 0.8, 0.92), scaled(memoryMonitor, 0.85, 0.95)],
    },
    {
      name: "disable_http_keepalive",
      triggers: [threshold(heapMonitor, 0.88), threshold(memoryMonitor, 0.92)],
    },
    {
      name: "stop_accepting_requests",
      triggers: [threshold(heapMonitor, 0.92), threshold(memoryMonitor, 0.95), threshold(eventLoopMonitor, 1)],
    },
  ],
  connectionIdle: { minMs: 2000, minShare: 0 },
  streamIdle: null,
};

export function threshold(monitor: string, value: number): TriggerConfig {
  return { monitor, scaling: value, saturation: value };
}

function scaled(monitor: string, scaling: number, saturation: number): TriggerConfig {
  return { monitor, scaling, saturation };
}
