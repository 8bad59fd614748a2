// `overload_manager` of a bootstrap. What it has of Envoy's monitors and actions is the tables here.

import { DurationSchema } from "@bufbuild/protobuf/wkt";
import type {
  OverloadAction,
  OverloadManager,
  ResourceMonitor,
  ScaleTimersOverloadActionConfig_ScaleTimer as ScaleTimer,
  Trigger,
} from "#wire/gen/envoy/config/overload/v3/overload_pb.ts";
import {
  ScaleTimersOverloadActionConfigSchema,
  ScaleTimersOverloadActionConfig_TimerType as TimerType,
} from "#wire/gen/envoy/config/overload/v3/overload_pb.ts";
import { CgroupMemoryConfigSchema } from "#wire/gen/envoy/extensions/resource_monitors/cgroup_memory/v3/cgroup_memory_pb.ts";
import { DownstreamConnectionsConfigSchema } from "#wire/gen/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.ts";
import { FixedHeapConfigSchema } from "#wire/gen/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.ts";
import {
  type ActionConfig,
  defaultOverload,
  type MonitorConfig,
  type OverloadActionName,
  type OverloadConfig,
  type TimerScale,
  type TriggerConfig,
  threshold,
} from "./overload.ts";
import { milliseconds, typeName, unpack } from "./parse/values.ts";
import { type Decoded, Problems } from "./problems.ts";

/** Without the message: our defaults. With it, only what it says is in force. */
export function decodeOverload(manager: OverloadManager | undefined): Decoded<OverloadConfig> {
  const problems = new Problems("bootstrap", "overload_manager");
  if (manager === undefined) return problems.done(defaultOverload);
  const monitors = manager.resourceMonitors.flatMap(
    (monitor, i) => decodeMonitor(monitor, `resource_monitors[${i}]`, problems) ?? [],
  );
  const timers = new Map<string, TimerScale>();
  const names = new Set(manager.resourceMonitors.map(({ name }) => name));
  const actions = manager.actions.flatMap(
    (action, i) => decodeAction(action, names, timers, `actions[${i}]`, problems) ?? [],
  );
  if (manager.loadshedPoints.length > 0) problems.leftOut("loadshed_points", "a load shed point");
  if (manager.bufferFactoryConfig !== undefined) problems.leftOut("buffer_factory_config", "tracking of buffers");
  const refreshMs = milliseconds(manager.refreshInterval, 1000);
  if (refreshMs < 10) problems.invalid("refresh_interval", `${refreshMs} ms is less than 10 ms`);
  return problems.done({
    refreshMs,
    monitors,
    actions,
    connectionIdle: timers.get("connection") ?? null,
    streamIdle: timers.get("stream") ?? null,
  });
}

function decodeMonitor(monitor: ResourceMonitor, path: string, problems: Problems): MonitorConfig | null {
  const { name } = monitor;
  const any = monitor.configType.case === "typedConfig" ? monitor.configType.value : undefined;
  const at = `${path}.typed_config`;
  const positive = (value: bigint | number, field: string): number => {
    if (value <= 0) problems.invalid(`${at}.${field}`, "is not above 0");
    return Number(value);
  };
  switch (typeName(any)) {
    case "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig": {
      const maxBytes = unpack(any!, FixedHeapConfigSchema, at, problems)?.maxHeapSizeBytes ?? 0n;
      return { name, type: "fixed_heap", maxBytes: positive(maxBytes, "max_heap_size_bytes") };
    }
    case "envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig": {
      const maxBytes = unpack(any!, CgroupMemoryConfigSchema, at, problems)?.maxMemoryBytes ?? 0n;
      return { name, type: "cgroup_memory", maxBytes: Number(maxBytes) };
    }
    case "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig": {
      const max = unpack(any!, DownstreamConnectionsConfigSchema, at, problems)?.maxActiveDownstreamConnections ?? 0n;
      return { name, type: "downstream_connections", max: positive(max, "max_active_downstream_connections") };
    }
    // Ours: how long an event waits for its turn. A duration is the delay that counts as a pressure of 1.
    case "google.protobuf.Duration": {
      const maxMs = milliseconds(unpack(any!, DurationSchema, at, problems) ?? undefined, 0);
      return { name, type: "event_loop_delay", maxMs: positive(maxMs, "value") };
    }
    default:
      problems.unsupported(path, `the resource monitor ${name} (${typeName(any) || "without a typed_config"})`);
      return null;
  }
}

const actionPrefix = "envoy.overload_actions.";
const known: ReadonlySet<string> = new Set<OverloadActionName>([
  "stop_accepting_requests",
  "disable_http_keepalive",
  "reject_incoming_connections",
  "reduce_timeouts",
  "shrink_heap",
]);

function decodeAction(
  action: OverloadAction,
  monitors: ReadonlySet<string>,
  timers: Map<string, TimerScale>,
  path: string,
  problems: Problems,
): ActionConfig | null {
  const name = action.name.startsWith(actionPrefix) ? action.name.slice(actionPrefix.length) : "";
  if (name === "reset_high_memory_stream") {
    problems.leftOut(path, "reset_high_memory_stream");
    return null;
  }
  if (name === "stop_accepting_connections") {
    problems.replaced(path, "leaving connections in the kernel's queue", "new connections are closed at once");
    return decodeAction(
      { ...action, name: `${actionPrefix}reject_incoming_connections` },
      monitors,
      timers,
      path,
      problems,
    );
  }
  if (!known.has(name)) {
    problems.invalid(`${path}.name`, `"${action.name}" is not an overload action`);
    return null;
  }
  const triggers = action.triggers.flatMap(
    (trigger, i) => decodeTrigger(trigger, monitors, `${path}.triggers[${i}]`, problems) ?? [],
  );
  if (triggers.length === 0) problems.invalid(`${path}.triggers`, "has no trigger");
  if (name === "reduce_timeouts") decodeTimers(action, timers, path, problems);
  return { name: name as OverloadActionName, triggers };
}

function decodeTrigger(
  { name, triggerOneof }: Trigger,
  monitors: ReadonlySet<string>,
  path: string,
  problems: Problems,
): TriggerConfig | null {
  if (!monitors.has(name))
    problems.invalid(`${path}.name`, `"${name}" is not a resource monitor of this configuration`);
  const within = (value: number, field: string): void => {
    if (!(value >= 0 && value <= 1)) problems.invalid(`${path}.${field}`, `${value} is not from 0 to 1`);
  };
  if (triggerOneof.case === "threshold") {
    within(triggerOneof.value.value, "threshold.value");
    return threshold(name, triggerOneof.value.value);
  }
  if (triggerOneof.case === "scaled") {
    const { scalingThreshold: scaling, saturationThreshold: saturation } = triggerOneof.value;
    within(scaling, "scaled.scaling_threshold");
    within(saturation, "scaled.saturation_threshold");
    if (scaling >= saturation)
      problems.invalid(`${path}.scaled`, "scaling_threshold is not below saturation_threshold");
    return { monitor: name, scaling, saturation };
  }
  problems.invalid(path, "has neither threshold nor scaled");
  return null;
}

const timerKinds: Readonly<Record<number, string>> = {
  [TimerType.HTTP_DOWNSTREAM_CONNECTION_IDLE]: "connection",
  [TimerType.HTTP_DOWNSTREAM_STREAM_IDLE]: "stream",
};

function decodeTimers(
  { typedConfig }: OverloadAction,
  timers: Map<string, TimerScale>,
  path: string,
  problems: Problems,
): void {
  const at = `${path}.typed_config`;
  if (typeName(typedConfig) !== ScaleTimersOverloadActionConfigSchema.typeName) {
    problems.invalid(at, "reduce_timeouts needs a ScaleTimersOverloadActionConfig");
    return;
  }
  const config = unpack(typedConfig!, ScaleTimersOverloadActionConfigSchema, at, problems);
  for (const [i, factor] of (config?.timerScaleFactors ?? []).entries()) {
    const kind = timerKinds[factor.timer];
    const field = `${at}.timer_scale_factors[${i}]`;
    if (kind === undefined) problems.leftOut(`${field}.timer`, "a shorter timeout other than the HTTP idle timeouts");
    else timers.set(kind, timerScale(factor, field, problems));
  }
}

function timerScale({ overloadAdjust }: ScaleTimer, path: string, problems: Problems): TimerScale {
  if (overloadAdjust.case === "minTimeout") return { minMs: milliseconds(overloadAdjust.value, 0), minShare: 0 };
  if (overloadAdjust.case === "minScale") return { minMs: 0, minShare: overloadAdjust.value.value / 100 };
  problems.invalid(path, "has neither min_timeout nor min_scale");
  return { minMs: 0, minShare: 1 };
}
