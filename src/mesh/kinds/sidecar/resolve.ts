// Which Sidecar applies to a workload, and what its egress hosts import. Table in README.md.
import { type Labels, selects } from "../../objects/fields/selector.ts";
import { isSubsetOf } from "../../objects/host.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import type { EgressListenerSpec, SidecarSpec } from "./spec.ts";

type Sidecar = MeshObject<SidecarSpec>;

/** `root` and `own` are the Sidecars of the root namespace and of the workload's namespace, oldest first. */
export function selectSidecar(root: readonly Sidecar[], own: readonly Sidecar[], labels: Labels): Sidecar | undefined {
  return (
    own.find((sidecar) => !isNamespaceWide(sidecar) && selects(selectorOf(sidecar), labels)) ??
    own.find(isNamespaceWide) ??
    root.find(isNamespaceWide)
  );
}

function isNamespaceWide(sidecar: Sidecar): boolean {
  return Object.keys(selectorOf(sidecar)).length === 0;
}

function selectorOf(sidecar: Sidecar): Labels {
  return sidecar.spec.workloadSelector?.labels ?? {};
}

/** What an egress listener imports. */
export interface Imports {
  readonly include: readonly ImportedHost[];
  readonly exclude: readonly ImportedHost[];
}

interface ImportedHost {
  /** `*` or a namespace. */
  readonly namespace: string;
  readonly host: string;
}

/** Reads `namespace/dnsName` entries: `.` is the own namespace, `~/*` imports nothing, `~ns/host` excludes. */
export function importsOf(listener: EgressListenerSpec, ownNamespace: string): Imports {
  const include: ImportedHost[] = [];
  const exclude: ImportedHost[] = [];
  for (const entry of listener.hosts) {
    const slash = entry.indexOf("/");
    const namespace = entry.slice(0, Math.max(slash, 0));
    const host = entry.slice(slash + 1).toLowerCase();
    const named = (name: string): string => (name === "." ? ownNamespace : name === "" ? "*" : name);
    if (!namespace.startsWith("~")) include.push({ namespace: named(namespace), host });
    else if (namespace !== "~" || host !== "*") exclude.push({ namespace: named(namespace.slice(1)), host });
  }
  return { include, exclude };
}

export const importEverything: Imports = { include: [{ namespace: "*", host: "*" }], exclude: [] };

/** Tells whether something with this host in this namespace is imported; `fits` compares it with a pattern. */
export function isImported(
  imports: Imports,
  namespace: string,
  host: string,
  fits: (host: string, pattern: string) => boolean = isSubsetOf,
): boolean {
  const among = (entries: readonly ImportedHost[]): boolean =>
    entries.some((entry) => (entry.namespace === "*" || entry.namespace === namespace) && fits(host, entry.host));
  return (
    among(imports.include) &&
    !imports.exclude.some(
      (entry) => (entry.namespace === "*" || entry.namespace === namespace) && isSubsetOf(host, entry.host),
    )
  );
}
