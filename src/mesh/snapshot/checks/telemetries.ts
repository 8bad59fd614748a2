// Telemetries against mesh configuration: providers that nobody named.
import { Severity } from "#base/issue.ts";
import type { TelemetrySpec } from "../../kinds/telemetry/spec.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { nearest } from "../../objects/suggest.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

/** There without being named. */
const builtIn: readonly string[] = ["prometheus", "stackdriver", "envoy"];

/** Kinds of providers that logs and metrics go to. */
const inForce: Readonly<Record<"accessLogging" | "metrics", string>> = {
  accessLogging: "envoyFileAccessLog",
  metrics: "prometheus",
};

export function checkTelemetries({ objects, meshConfig }: CheckContext): Finding[] {
  const providers = providersByName(meshConfig.rest["extensionProviders"]);
  return objects
    .all("Telemetry")
    .flatMap((telemetry) => [
      ...checkProviders(telemetry, "accessLogging", providers),
      ...checkProviders(telemetry, "metrics", providers),
    ]);
}

function checkProviders(
  telemetry: MeshObject<TelemetrySpec>,
  field: "accessLogging" | "metrics",
  providers: ReadonlyMap<string, readonly string[]>,
): Finding[] {
  return telemetry.spec[field].flatMap((entry, index) =>
    entry.providers.flatMap(({ name }, at) => {
      const path = `spec.${field}[${index}].providers[${at}].name`;
      const kinds = providers.get(name);
      const wanted = inForce[field];
      if (kinds?.includes(wanted) || (kinds === undefined && name === (field === "metrics" ? "prometheus" : "envoy"))) {
        return [];
      }
      if (kinds === undefined && !builtIn.includes(name)) {
        const suggestion = nearest(name, [...providers.keys(), ...builtIn]);
        const message = `mesh configuration has no provider ${name}`;
        const fix = suggestion === undefined ? "add it to extensionProviders" : `did you mean "${suggestion}"?`;
        return [finding(telemetry, { code: "OUT0006", severity: Severity.Warning, path, message, fix }, "partly")];
      }
      const message = `the provider ${name} is accepted and not in force yet: only ${wanted} is written to`;
      return [finding(telemetry, { code: "OUT0003", severity: Severity.Warning, path, message }, "partly")];
    }),
  );
}

function providersByName(value: unknown): ReadonlyMap<string, readonly string[]> {
  const items = Array.isArray(value) ? value : [];
  return new Map(
    items.flatMap((item: unknown) => {
      if (typeof item !== "object" || item === null || !("name" in item) || typeof item.name !== "string") return [];
      return [[item.name, Object.keys(item)]];
    }),
  );
}
