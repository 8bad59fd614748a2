// What is said about the providers of mesh configuration: those without effect, fields of theirs that have none, and
// defaults that nobody has added.
import { type Issue, type ObjectRef, Severity } from "#base/issue.ts";
import { child, type Path } from "../../objects/path.ts";
import type { Report } from "../../objects/report.ts";
import { nearest } from "../../objects/suggest.ts";
import type { MeshConfig } from "./spec.ts";
import { validateProvider } from "./validate.ts";

/** Providers that AuthorizationPolicy and Telemetry can name with effect; others have none. */
export function reportProviders(value: unknown, path: Path, report: Report): void {
  const earlier = new Set<string>();
  for (const [i, provider] of list(value).entries()) {
    if (typeof provider !== "object" || provider === null) continue;
    const at = child(path, i);
    validateProvider(provider, at, earlier, report);
    const kinds = Object.keys(provider).filter((key) => key !== "name");
    if (kinds.length === 0 || !kinds.every((kind) => inForce.has(kind))) {
      notInForce(at, `provider ${kinds.join(", ") || "without a kind"}`, report);
      continue;
    }
    for (const kind of kinds) reportFields(fieldsOf(provider)[kind], child(at, kind), report);
  }
}

const inForce: ReadonlySet<string> = new Set([
  "envoyExtAuthzHttp",
  "envoyExtAuthzGrpc",
  "envoyFileAccessLog",
  "envoyHttpAls",
  "envoyOtelAls",
  "envoyTcpAls",
  "opentelemetry",
  "prometheus",
  "zipkin",
]);

function reportFields(value: unknown, path: Path, report: Report): void {
  const fields = fieldsOf(value);
  if (fields["dynatraceSampler"] !== undefined) {
    notInForce(child(path, "dynatraceSampler"), "dynatraceSampler", report, "every request is sampled");
  }
  if (fieldsOf(fields["resourceDetectors"])["dynatrace"] !== undefined) {
    notInForce(child(child(path, "resourceDetectors"), "dynatrace"), "the resource detector dynatrace", report);
  }
}

/** Headers that take their value from a variable of the control plane that is not there. */
export function unsetVariables(
  { rest }: Pick<MeshConfig, "rest">,
  environment: Readonly<Record<string, string | undefined>>,
  object: ObjectRef = { kind: "ConfigMap", namespace: "istio-system", name: "istio" },
): Issue[] {
  return list(rest["extensionProviders"]).flatMap((provider, i) =>
    Object.entries(fieldsOf(provider)).flatMap(([kind, value]) => {
      const fields = fieldsOf(value);
      const lists: readonly (readonly [path: string, headers: unknown])[] = [
        ["headers", fields["headers"]],
        ["http.headers", fieldsOf(fields["http"])["headers"]],
        ["grpc.initialMetadata", fieldsOf(fields["grpc"])["initialMetadata"]],
      ];
      return lists.flatMap(([at, headers]) =>
        list(headers).flatMap((header, k): Issue[] => {
          const name = fieldsOf(header)["envName"];
          if (typeof name !== "string" || environment[name] !== undefined) return [];
          const path = `extensionProviders[${i}].${kind}.${at}[${k}].envName`;
          const message = `the control plane has no variable ${name}: the header is sent empty`;
          const fix = "set it in the environment of istiod";
          return [{ code: "OUT0003", severity: Severity.Warning, path, message, fix, object }];
        }),
      );
    }),
  );
}

/** There without being added. */
const builtIn: readonly string[] = ["prometheus", "stackdriver", "envoy"];

/** `providers` is `extensionProviders`. */
export function reportDefaultProviders(value: unknown, providers: unknown, report: Report): void {
  const known = [...list(providers).map((provider) => String(fieldsOf(provider)["name"])), ...builtIn];
  for (const [signal, names] of Object.entries(fieldsOf(value))) {
    for (const [i, name] of list(names).entries()) {
      if (typeof name === "string" && known.includes(name)) continue;
      const suggestion = nearest(String(name), known);
      report({
        path: child(child(child(undefined, "defaultProviders"), signal), i),
        severity: Severity.Warning,
        code: "OUT0006",
        message: `mesh configuration has no provider ${String(name)}`,
        fix: suggestion === undefined ? "add it to extensionProviders" : `did you mean "${suggestion}"?`,
      });
    }
  }
}

/** Of `defaultConfig.tracing`: tracers that nothing is sent to. */
export function reportTracers(value: unknown, report: Report): void {
  const fields = fieldsOf(value);
  for (const name of ["datadog", "lightstep", "openCensusAgent", "stackdriver", "tlsSettings"]) {
    if (fields[name] === undefined) continue;
    notInForce(child(child(child(undefined, "defaultConfig"), "tracing"), name), name, report);
  }
}

function notInForce(path: Path, what: string, report: Report, instead = ""): void {
  const message = `${what} is accepted and not in force yet${instead === "" ? "" : `: ${instead}`}`;
  report({ path, severity: Severity.Info, code: "OUT0003", message });
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}
