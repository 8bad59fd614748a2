// Which Telemetries apply to a workload, and what they say together. Levels in README.md.
import { isFor, type TargetedWorkload, targetsOf } from "../../objects/fields/policy-target.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import type { AccessLogging, Metrics, MetricsOverride, TagOverride, TelemetrySpec, WorkloadMode } from "./spec.ts";
import { standardMetrics } from "./spec.ts";

type Telemetry = MeshObject<TelemetrySpec>;

/** From the mesh's to the workload's own; `root` and `own` are oldest first, `own` empty in the root namespace. */
export function telemetryLevels(
  root: readonly Telemetry[],
  own: readonly Telemetry[],
  workload: TargetedWorkload,
): readonly Telemetry[] {
  const mesh = root.find(isNamespaceWide);
  const namespace = own.find(isNamespaceWide);
  const inNamespace = own.length > 0 ? own : root.filter((telemetry) => telemetry.namespace === workload.namespace);
  const isOwn = (telemetry: Telemetry): boolean => !isNamespaceWide(telemetry) && isFor(telemetry, workload);
  const ofClass = root.filter(({ spec }) => targetsOf(spec).length > 0);
  const matching = inNamespace.find(isOwn) ?? ofClass.find(isOwn);
  return [mesh, namespace, matching].filter((telemetry) => telemetry !== undefined);
}

function isNamespaceWide({ spec }: Pick<Telemetry, "spec">): boolean {
  return Object.keys(spec.selector?.matchLabels ?? {}).length === 0 && targetsOf(spec).length === 0;
}

/** One log of a side: the provider, or the mesh's own log for the empty name; what it is restricted to. */
export interface EffectiveLog {
  readonly provider: string;
  /** A CEL expression; empty logs everything. */
  readonly filter: string;
}

const meshLog: readonly string[] = [""];

/** The logs that are on for one side; undefined when no Telemetry says anything, and the mesh's defaults stay. */
export function effectiveLogs(
  levels: readonly Pick<TelemetrySpec, "accessLogging">[],
  side: "CLIENT" | "SERVER",
  defaults: readonly string[],
): readonly EffectiveLog[] | undefined {
  const speaking = levels.filter(({ accessLogging }) => accessLogging.length > 0);
  if (speaking.length === 0) return undefined;
  const fallback = defaults.length > 0 ? defaults : meshLog;
  const inScope = new Set(speaking.map(providersOf).findLast((names) => names.length > 0) ?? fallback);
  const logs = new Map<string, EffectiveLog>();
  let above = fallback;
  for (const level of speaking) {
    for (const entry of level.accessLogging) applyLogging(entry, { side, above, inScope, logs });
    const named = providersOf(level);
    if (named.length > 0) above = named;
  }
  return [...logs.values()];
}

interface LoggingState {
  readonly side: WorkloadMode;
  readonly above: readonly string[];
  readonly inScope: ReadonlySet<string>;
  readonly logs: Map<string, EffectiveLog>;
}

function applyLogging(entry: AccessLogging, { side, above, inScope, logs }: LoggingState): void {
  if (!isAbout(entry.match?.mode, side)) return;
  const names = entry.providers.length > 0 ? entry.providers.map(({ name }) => name) : above;
  for (const provider of names) {
    if (!inScope.has(provider)) continue;
    if (entry.disabled === true) logs.delete(provider);
    else logs.set(provider, { provider, filter: entry.filter?.expression ?? "" });
  }
}

function providersOf({ accessLogging }: Pick<TelemetrySpec, "accessLogging">): string[] {
  return accessLogging.flatMap(({ providers }) => providers.map(({ name }) => name));
}

function isAbout(mode: WorkloadMode | undefined, side: WorkloadMode): boolean {
  return mode === undefined || mode === "CLIENT_AND_SERVER" || mode === side;
}

/** What is changed on one metric. */
export interface MetricChange {
  /** Of the series, without `istio_`. */
  readonly metric: string;
  readonly disabled: boolean;
  /** By tag, in the order of their names. */
  readonly tags: readonly (readonly [tag: string, override: TagOverride])[];
}

export interface EffectiveMetrics {
  /** Empty means the mesh's default. */
  readonly providers: readonly string[];
  readonly changes: readonly MetricChange[];
  readonly reportingInterval: number | undefined;
}

export function effectiveMetrics(
  levels: readonly Pick<TelemetrySpec, "metrics">[],
  side: "CLIENT" | "SERVER",
): EffectiveMetrics {
  const all: Metrics[] = levels.flatMap(({ metrics }) => metrics);
  const changes = new Map<string, { disabled: boolean; readonly tags: Map<string, TagOverride> }>();
  for (const override of all.flatMap(({ overrides }) => overrides)) {
    if (!isAbout(override.match?.mode, side)) continue;
    for (const metric of metricsOf(override)) {
      const change = changes.get(metric) ?? { disabled: false, tags: new Map<string, TagOverride>() };
      changes.set(metric, change);
      if (override.disabled !== undefined) change.disabled = override.disabled;
      for (const [tag, tagOverride] of Object.entries(override.tagOverrides)) change.tags.set(tag, tagOverride);
    }
  }
  return {
    providers: all.findLast(({ providers }) => providers.length > 0)?.providers.map(({ name }) => name) ?? [],
    changes: [...changes]
      .filter(([, { disabled, tags }]) => disabled || tags.size > 0)
      .map(([metric, { disabled, tags }]) => ({
        metric,
        disabled,
        tags: [...tags].sort(([a], [b]) => (a < b ? -1 : 1)),
      })),
    reportingInterval: all.findLast(({ reportingInterval }) => reportingInterval !== undefined)?.reportingInterval,
  };
}

function metricsOf({ match }: MetricsOverride): readonly string[] {
  if (match?.customMetric !== undefined) return [match.customMetric];
  const one = standardMetrics[match?.metric ?? "ALL_METRICS"];
  return one === undefined ? Object.values(standardMetrics) : [one];
}
