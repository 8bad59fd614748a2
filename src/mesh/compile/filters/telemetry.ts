// What a listener logs, counts and traces: the mesh's defaults, changed by the Telemetries that apply to the workload.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import type { HttpFilter } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { PluginConfigSchema } from "#wire/gen/istio/stats-filter_pb.ts";
import {
  type EffectiveLog,
  type EffectiveMetrics,
  effectiveLogs,
  effectiveMetrics,
  type MetricChange,
} from "../../kinds/telemetry/resolve.ts";
import type { TelemetrySpec } from "../../kinds/telemetry/spec.ts";
import { type EffectiveTracing, effectiveTracing } from "../../kinds/telemetry/tracing.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { milliseconds } from "../envoy-values.ts";
import { once } from "../shared-work.ts";
import { type AccessLogs, accessLogs, filteredBy, noAccessLogs } from "./access-log.ts";
import { collectorLookup } from "./collector.ts";
import { httpFilter, type ListenerClass } from "./http-filters.ts";
import { serviceLogs } from "./log-service.ts";
import { networkFilter } from "./network-filters.ts";
import { defaultProviders, telemetryProvider } from "./telemetry-providers.ts";
import { compileTracing, type ListenerTracing, mayTrace, tracingIdentity } from "./tracing.ts";

export interface ListenerTelemetry {
  /** Within a snapshot, listeners with equal keys log and count alike. */
  readonly key: string;
  readonly logs: AccessLogs;
  /** `istio.stats`, or nothing where nothing is counted. */
  readonly httpStats: readonly HttpFilter[];
  readonly tcpStats: readonly Filter[];
  /** Of HTTP only; undefined where no spans are made. */
  readonly tracing: ListenerTracing | undefined;
  /** The Telemetries. */
  readonly origins: readonly Origin[];
}

export function listenerTelemetry(snapshot: MeshSnapshot, proxy: ProxyNode, place: ListenerClass): ListenerTelemetry {
  const levels = snapshot.telemetry(proxy);
  const key = `telemetry ${place} ${levels.map(({ namespace, name }) => `${namespace}/${name}`).join()}`;
  const { shared, tracing } = once(snapshot, key, () => sharedTelemetry(snapshot, levels, place, key));
  // Spans say whose they are; where there are none, all proxies share what is made here.
  if (!mayTrace(snapshot, proxy, tracing)) return shared;
  const own = `${key} ${tracingIdentity(snapshot, proxy)}`;
  return once(snapshot, own, () => {
    const compiled = compileTracing(snapshot, proxy, tracing);
    return compiled === undefined ? shared : { ...shared, key: own, tracing: compiled };
  });
}

function sharedTelemetry(
  snapshot: MeshSnapshot,
  levels: readonly MeshObject<TelemetrySpec>[],
  place: ListenerClass,
  key: string,
): { readonly shared: ListenerTelemetry; readonly tracing: EffectiveTracing | undefined } {
  const side = place === "sidecar-inbound" ? "SERVER" : "CLIENT";
  const specs = levels.map(({ spec }) => spec);
  const metrics = effectiveMetrics(specs, side);
  const counts = countsForPrometheus(snapshot, metrics);
  const config = statsConfig(place, metrics);
  const shared: ListenerTelemetry = {
    key,
    logs: logsOf(snapshot, effectiveLogs(specs, side, defaultProviders(snapshot.meshConfig, "accessLogging"))),
    httpStats: counts ? [httpFilter("istio.stats", PluginConfigSchema, config)] : [],
    tcpStats: counts
      ? [networkFilter("istio.stats", PluginConfigSchema, { ...config, disableHostHeaderFallback: false })]
      : [],
    tracing: undefined,
    origins: levels.map(({ origin }) => origin),
  };
  const tracing = effectiveTracing(specs, side, defaultProviders(snapshot.meshConfig, "tracing"));
  return { shared, tracing };
}

function logsOf(snapshot: MeshSnapshot, effective: ReturnType<typeof effectiveLogs>): AccessLogs {
  const { meshConfig } = snapshot;
  const defaults = defaultProviders(meshConfig, "accessLogging");
  const names = defaults.length > 0 ? defaults : [""];
  const wanted: readonly EffectiveLog[] = effective ?? names.map((provider) => ({ provider, filter: "" }));
  const all = wanted.flatMap(({ provider: name, filter }) => {
    const provider = telemetryProvider(meshConfig, name);
    if (provider?.kind === "file") return [filteredBy(filter, accessLogs(provider.settings))];
    if (provider?.kind !== "service") return [];
    const logs = serviceLogs(provider.provider, collectorLookup(snapshot));
    return logs === undefined ? [] : [filteredBy(filter, logs)];
  });
  if (all.length === 0) return noAccessLogs;
  return {
    filter: all.flatMap(({ filter }) => filter),
    listener: meshConfig.disableEnvoyListenerLog ? [] : all.flatMap(({ listener }) => listener),
  };
}

function countsForPrometheus(snapshot: MeshSnapshot, { providers }: EffectiveMetrics): boolean {
  const { meshConfig } = snapshot;
  const defaults = defaultProviders(meshConfig, "metrics");
  const names = providers.length > 0 ? providers : defaults.length > 0 ? defaults : ["prometheus"];
  return names.some((name) => telemetryProvider(meshConfig, name)?.kind === "prometheus");
}

type StatsConfig = Exclude<MessageInitShape<typeof PluginConfigSchema>, { $typeName: string }>;

function statsConfig(place: ListenerClass, { changes, reportingInterval }: EffectiveMetrics): StatsConfig {
  return {
    // A gateway reports under its own name, not by the Host header that anyone may set.
    ...(place === "gateway" && { disableHostHeaderFallback: true }),
    ...(reportingInterval !== undefined && { tcpReportingDuration: milliseconds(reportingInterval) }),
    metrics: changes.map(metricConfig),
  };
}

function metricConfig({ metric, disabled, tags }: MetricChange): NonNullable<StatsConfig["metrics"]>[number] {
  return {
    name: metric,
    drop: disabled,
    tagsToRemove: tags.filter(([, { operation }]) => operation === "REMOVE").map(([tag]) => tag),
    dimensions: Object.fromEntries(
      tags.filter(([, { operation }]) => operation === "UPSERT").map(([tag, { value }]) => [tag, value]),
    ),
  };
}
