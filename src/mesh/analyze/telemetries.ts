// IST0157, IST0159 and, of Telemetry, IST0002: providers that nobody named, several for one pod, providers that are no more.
import { type Issue, Severity } from "#base/issue.ts";
import { type AnalysisContext, at, issueOf, recordsOf } from "./context.ts";
import { overlappingSelectors } from "./overlapping-selectors.ts";

export function checkTelemetryProviders({ objects, snapshot }: AnalysisContext): Issue[] {
  const defaults = at(snapshot.meshConfig.rest["defaultProviders"], "accessLogging");
  if (Array.isArray(defaults) && defaults.length > 0) return [];
  return objects.all("Telemetry").flatMap((telemetry) =>
    telemetry.spec.accessLogging.flatMap(({ providers, disabled }, index) => {
      if (providers.length > 0 || disabled === true) return [];
      const message = "no provider is named here, and mesh configuration has no defaultProviders.accessLogging";
      const path = `spec.accessLogging[${index}].providers`;
      const problem = { code: "IST0157", severity: Severity.Warning, path, message, fix: "name one, as envoy" };
      return [issueOf(telemetry, problem)];
    }),
  );
}

export function checkTelemetrySelectors({ objects }: AnalysisContext): Issue[] {
  const selecting = objects
    .all("Telemetry")
    .map((object) => ({ object, labels: object.spec.selector?.matchLabels ?? {}, path: "spec.selector" }));
  return overlappingSelectors(selecting, objects, "IST0159");
}

export function checkLightstep({ objects, snapshot }: AnalysisContext): Issue[] {
  const gone = new Set(
    recordsOf(snapshot.meshConfig.rest["extensionProviders"])
      .filter((provider) => "lightstep" in provider)
      .map(({ name }) => name),
  );
  return objects.all("Telemetry").flatMap((telemetry) =>
    telemetry.spec.tracing.flatMap(({ providers }, index) =>
      providers.flatMap(({ name }, at) => {
        if (!gone.has(name)) return [];
        const message = `the provider ${name} is of kind lightstep, which is deprecated`;
        const path = `spec.tracing[${index}].providers[${at}].name`;
        const fix = "a provider of kind opentelemetry";
        return [issueOf(telemetry, { code: "IST0002", severity: Severity.Warning, path, message, fix })];
      }),
    ),
  );
}
