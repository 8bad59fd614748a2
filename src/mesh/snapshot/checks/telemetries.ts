// Telemetries against mesh configuration: providers that nobody named, or that are no service of the mesh.
import { Severity } from "#base/issue.ts";
import { nearest } from "../../objects/suggest.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

/** There without being named. */
const builtIn: readonly string[] = ["prometheus", "stackdriver", "envoy"];

/** Kinds of providers that are written to. */
const inForce: Readonly<Record<Signal, readonly string[]>> = {
  accessLogging: ["envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls"],
  metrics: ["prometheus"],
  tracing: ["opentelemetry", "zipkin"],
};

/** The name of mesh configuration's own provider, which nobody has to add. */
const own: Readonly<Record<Signal, string>> = { accessLogging: "envoy", metrics: "prometheus", tracing: "" };

type Signal = "accessLogging" | "metrics" | "tracing";

export function checkTelemetries(context: CheckContext): Finding[] {
  const providers = providersByName(context.meshConfig.rest["extensionProviders"]);
  return context.objects.all("Telemetry").flatMap((telemetry) =>
    (["accessLogging", "metrics", "tracing"] as const).flatMap((signal) =>
      telemetry.spec[signal].flatMap((entry, index) =>
        entry.providers.flatMap(({ name }, at) => {
          const problem = providerProblem(name, signal, providers, context);
          if (problem === undefined) return [];
          const path = `spec.${signal}[${index}].providers[${at}].name`;
          return [finding(telemetry, { severity: Severity.Warning, path, ...problem }, "partly")];
        }),
      ),
    ),
  );
}

interface ProviderProblem {
  readonly code: string;
  readonly message: string;
  readonly fix?: string;
}

function providerProblem(
  name: string,
  signal: Signal,
  providers: ReadonlyMap<string, Provider>,
  { services }: CheckContext,
): ProviderProblem | undefined {
  const provider = providers.get(name);
  if (provider === undefined && name === own[signal]) return undefined;
  if (provider === undefined && !builtIn.includes(name)) {
    const suggestion = nearest(name, [...providers.keys(), ...builtIn]);
    const fix = suggestion === undefined ? "add it to extensionProviders" : `did you mean "${suggestion}"?`;
    return { code: "OUT0006", message: `mesh configuration has no provider ${name}`, fix };
  }
  const kind = inForce[signal].find((wanted) => provider?.[wanted] !== undefined);
  if (kind === undefined) {
    const message = `the provider ${name} is accepted and not in force yet: only ${inForce[signal].join(" and ")} is written to`;
    return { code: "OUT0003", message };
  }
  const settings: unknown = provider?.[kind];
  if (typeof settings !== "object" || settings === null || !("service" in settings)) return undefined;
  const host = String(settings.service).replace(/^.*\//, "").toLowerCase();
  if (services.byHostname.has(host)) return undefined;
  const message = `the provider ${name} is the service ${host}, which does not exist: nothing is sent`;
  return { code: "IST0101", message };
}

type Provider = Readonly<Record<string, unknown>>;

function providersByName(value: unknown): ReadonlyMap<string, Provider> {
  const items = Array.isArray(value) ? value : [];
  return new Map(
    items.flatMap((item: unknown): [string, Provider][] => {
      if (typeof item !== "object" || item === null || !("name" in item) || typeof item.name !== "string") return [];
      return [[item.name, { ...item }]];
    }),
  );
}
