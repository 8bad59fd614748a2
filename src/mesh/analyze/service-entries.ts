// IST0177: ServiceEntries that speak of one port of a host as of two protocols.
import { type Issue, Severity } from "#base/issue.ts";
import type { ServiceEntrySpec } from "../kinds/service-entry/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { type AnalysisContext, issueOf } from "./context.ts";

interface Claim {
  readonly entry: MeshObject<ServiceEntrySpec>;
  readonly protocol: string;
  readonly path: string;
}

export function checkProtocolConflicts({ objects, snapshot }: AnalysisContext): Issue[] {
  const claims = new Map<string, Claim[]>();
  for (const entry of objects.all("ServiceEntry")) {
    for (const host of entry.spec.hosts) {
      for (const [index, { number, protocol }] of entry.spec.ports.entries()) {
        const claim = { entry, protocol: protocol.toUpperCase(), path: `spec.ports[${index}].protocol` };
        const key = `${host}:${number}`;
        const list = claims.get(key);
        if (list === undefined) claims.set(key, [claim]);
        else list.push(claim);
      }
    }
  }
  const { defaultServiceExportTo } = snapshot.meshConfig;
  const scope = ({ namespace, spec }: MeshObject<ServiceEntrySpec>): string[] =>
    (spec.exportTo.length > 0 ? spec.exportTo : defaultServiceExportTo).map((to) => (to === "." ? namespace : to));
  const reported = new Set<MeshObject<unknown>>();
  return [...claims].flatMap(([key, list]) =>
    list.flatMap(({ entry, protocol, path }) => {
      const others = list.filter(
        (other) => other.protocol !== protocol && other.entry !== entry && meet(scope(entry), scope(other.entry)),
      );
      if (others.length === 0 || reported.has(entry)) return [];
      reported.add(entry);
      const names = others.map((other) => `${other.entry.namespace}/${other.entry.name} (${other.protocol})`);
      const message = `${key} is ${protocol} here and something else in ${names.join(", ")}`;
      const fix = "one protocol for the port in all of them";
      return [issueOf(entry, { code: "IST0177", severity: Severity.Warning, path, message, fix })];
    }),
  );
}

function meet(a: readonly string[], b: readonly string[]): boolean {
  return a.includes("*") || b.includes("*") || a.some((namespace) => b.includes(namespace));
}
