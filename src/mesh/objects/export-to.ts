// Who sees a resource: `*` everybody, `.` its own namespace, `~` nobody, or namespaces by name.

/** Tells whether a resource of `owner` is visible from `namespace`; `exportTo` has its default already. */
export function isVisible(exportTo: readonly string[], owner: string, namespace: string): boolean {
  for (const entry of exportTo) {
    if (entry === "*" || entry === namespace) return true;
    if (entry === "." && owner === namespace) return true;
  }
  return false;
}

/** How widely: only to its own namespace, to namespaces by name, or to all. */
export function visibility(exportTo: readonly string[], owner: string): "private" | "named" | "public" {
  if (exportTo.includes("*")) return "public";
  return exportTo.every((entry) => entry === "." || entry === owner || entry === "~") ? "private" : "named";
}
