// What the Telemetries of a workload say together about traces: field by field, the most specific one that says something.
import type { CustomTag, TelemetrySpec, Tracing } from "./spec.ts";

export interface EffectiveTracing {
  /** Undefined: nobody names one, and the mesh has no default. */
  readonly provider: string | undefined;
  readonly disabled: boolean;
  /** Of requests, in percent; undefined: as the proxy's configuration says. */
  readonly randomSamplingPercentage: number | undefined;
  readonly customTags: Readonly<Record<string, CustomTag>>;
  readonly useRequestIdForTraceSampling: boolean;
  readonly enableIstioTags: boolean;
  readonly disableContextPropagation: boolean;
}

/** Undefined when neither a Telemetry nor the mesh's default providers say anything. */
export function effectiveTracing(
  levels: readonly Pick<TelemetrySpec, "tracing">[],
  side: "CLIENT" | "SERVER",
  defaults: readonly string[],
): EffectiveTracing | undefined {
  const all = levels.flatMap(({ tracing }) => tracing);
  if (all.length === 0 && defaults.length === 0) return undefined;
  const own = all.filter(({ match }) => {
    const mode = match?.mode ?? "CLIENT_AND_SERVER";
    return mode === "CLIENT_AND_SERVER" || mode === side;
  });
  const last = <Field extends keyof Tracing>(field: Field): Tracing[Field] | undefined =>
    own.findLast((tracing) => tracing[field] !== undefined)?.[field];
  return {
    provider: own.findLast(({ providers }) => providers.length > 0)?.providers[0]?.name ?? defaults[0],
    disabled: last("disableSpanReporting") ?? false,
    randomSamplingPercentage: last("randomSamplingPercentage"),
    customTags: own.findLast(({ customTags }) => Object.keys(customTags).length > 0)?.customTags ?? {},
    useRequestIdForTraceSampling: last("useRequestIdForTraceSampling") ?? true,
    enableIstioTags: last("enableIstioTags") ?? true,
    disableContextPropagation: last("disableContextPropagation") ?? false,
  };
}
