// `outrigger proxy-status POD`: what the control plane generated for a proxy beside what the proxy has in force.
import { isDeepStrictEqual } from "node:util";
import {
  type DynamicResource,
  type DynamicResources,
  list,
  object,
  readConfigDump,
  text,
  withoutType,
} from "./proxy-config/config-dump.ts";
import { camelCaseFields } from "./proxy-config/field-names.ts";

export interface Difference {
  readonly type: "Clusters" | "Listeners" | "Routes";
  /** The control plane has it and the proxy does not. */
  readonly missing: readonly string[];
  /** The proxy has it and the control plane does not. */
  readonly extra: readonly string[];
  readonly differing: readonly string[];
}

/** Compares istiod's `/debug/config_dump` with the proxy's `/config_dump`. */
export function compareConfiguration(generated: unknown, loaded: unknown): Difference[] {
  const wanted = readGenerated(generated);
  const actual = readConfigDump(loaded).dynamic;
  return [
    compare("Clusters", wanted.clusters, actual.clusters),
    compare("Listeners", wanted.listeners, actual.listeners),
    compare("Routes", wanted.routes, actual.routes),
  ];
}

export function isMatch({ missing, extra, differing }: Difference): boolean {
  return missing.length + extra.length + differing.length === 0;
}

/** `Clusters Match`, or the names that differ. */
export function renderDifferences(differences: readonly Difference[]): string {
  return differences
    .map((difference) => {
      if (isMatch(difference)) return `${difference.type} Match`;
      const lines = [
        ...difference.missing.map((name) => `  only in istiod: ${name}`),
        ...difference.extra.map((name) => `  only in the proxy: ${name}`),
        ...difference.differing.map((name) => `  not the same: ${name}`),
      ];
      return [`${difference.type} Don't Match`, ...lines].join("\n");
    })
    .join("\n");
}

// Istio's own istiod answers with an Envoy dump, ours with lists by type.
function readGenerated(value: unknown): DynamicResources {
  const answer = object(value);
  if (answer["configs"] !== undefined) return readConfigDump(answer).dynamic;
  return {
    clusters: generatedOf(answer["cds"]),
    listeners: generatedOf(answer["lds"]),
    // Routes are asked for by name; one that no listener names is never sent.
    routes: generatedOf(list(answer["rds"]).filter((entry) => text(entry["sentVersion"]) !== "")),
  };
}

function generatedOf(entries: unknown): DynamicResource[] {
  return list(entries).map((entry) => ({
    version: text(entry["version"]),
    resource: object(camelCaseFields(entry["resource"])),
  }));
}

function compare(
  type: Difference["type"],
  wanted: readonly DynamicResource[],
  actual: readonly DynamicResource[],
): Difference {
  const wantedByName = byName(wanted);
  const actualByName = byName(actual);
  const names = [...wantedByName.keys()];
  return {
    type,
    missing: names.filter((name) => !actualByName.has(name)).sort(),
    extra: [...actualByName.keys()].filter((name) => !wantedByName.has(name)).sort(),
    differing: names
      .filter((name) => {
        const loaded = actualByName.get(name);
        return loaded !== undefined && !isSame(wantedByName.get(name) ?? loaded, loaded);
      })
      .sort(),
  };
}

function byName(resources: readonly DynamicResource[]): Map<string, DynamicResource> {
  return new Map(resources.map((entry) => [text(entry.resource["name"]), entry]));
}

// Equal versions are equal content; from Istio, whose dump has none, the content itself is compared.
function isSame(wanted: DynamicResource, actual: DynamicResource): boolean {
  if (wanted.version !== "" && wanted.version === actual.version) return true;
  return isDeepStrictEqual(withoutType(wanted.resource), withoutType(actual.resource));
}
