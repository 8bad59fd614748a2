// Principals of policies under trust domain aliases: what is written for one of the mesh's trust domains holds for all.

/** The placeholder that policies may use for whatever the mesh's own trust domain is. */
const localTrustDomain = "cluster.local";

/**
 * Expands principals as `td/ns/foo/sa/bar` to every trust domain of the mesh, when `td` is one of them.
 * The first of `trustDomains` is the mesh's own, the others are aliases.
 */
export function expandTrustDomains(principals: readonly string[], trustDomains: readonly string[]): string[] {
  const [own, ...aliases] = trustDomains;
  if (own === undefined) return [...principals];
  const expanded = new Set<string>();
  for (const principal of principals) {
    const slash = principal.indexOf("/");
    const domain = slash === -1 ? "" : principal.slice(0, slash);
    const isKnown =
      domain !== "" &&
      domain !== "*" &&
      (domain === localTrustDomain || trustDomains.some((td) => matches(domain, td)));
    if (!isKnown) {
      expanded.add(principal);
      continue;
    }
    for (const td of [own, ...aliases]) {
      // A pattern as `*-td` stays as it is where it already matches, so that it is not listed twice.
      expanded.add((matches(domain, td) ? domain : td) + principal.slice(slash));
    }
  }
  return [...expanded];
}

function matches(pattern: string, trustDomain: string): boolean {
  if (pattern.startsWith("*")) return trustDomain.endsWith(pattern.slice(1));
  if (pattern.endsWith("*")) return trustDomain.startsWith(pattern.slice(0, -1));
  return pattern === trustDomain;
}
