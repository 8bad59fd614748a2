// Host names as Istio compares them: exact, `*` or a leading wildcard (`*.example.com`, `*example.com`), in lower case.

/** A host without dots belongs to the namespace of the resource that names it; everything else stands as written. */
export function expandHost(host: string, namespace: string, domain: string): string {
  const lower = host.toLowerCase();
  if (lower === "" || lower.includes(".") || lower.includes("*") || lower.includes(":")) return lower;
  return `${lower}.${namespace}.svc.${domain}`;
}

export function isWildcard(host: string): boolean {
  return host.startsWith("*");
}

/** Tells whether every name that `host` stands for is one that `pattern` stands for. */
export function isSubsetOf(host: string, pattern: string): boolean {
  if (!isWildcard(pattern)) return host === pattern;
  const suffix = pattern.slice(1);
  if (isWildcard(host)) return host.length >= pattern.length && host.endsWith(suffix);
  return host.length > suffix.length && host.endsWith(suffix);
}

/** Tells whether any name fits both. */
export function hostsOverlap(a: string, b: string): boolean {
  return isSubsetOf(a, b) || isSubsetOf(b, a);
}

/** The narrower of two hosts that overlap; undefined when they don't. */
export function intersectHosts(a: string, b: string): string | undefined {
  if (isSubsetOf(a, b)) return a;
  return isSubsetOf(b, a) ? b : undefined;
}

/** Orders hosts from the most specific: exact names, then longer wildcards, `*` last; equals by name. */
export function bySpecificity(a: string, b: string): number {
  const wildA = isWildcard(a);
  const wildB = isWildcard(b);
  if (wildA !== wildB) return wildA ? 1 : -1;
  if (wildA && a.length !== b.length) return b.length - a.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Values by host pattern; the most specific pattern that covers a host answers. */
export class HostIndex<Value> {
  readonly #exact: ReadonlyMap<string, Value>;
  readonly #wildcards: readonly (readonly [string, Value])[];

  constructor(entries: Iterable<readonly [host: string, value: Value]>) {
    const exact = new Map<string, Value>();
    const wildcards = new Map<string, Value>();
    for (const [host, value] of entries) {
      const target = isWildcard(host) ? wildcards : exact;
      if (!target.has(host)) target.set(host, value);
    }
    this.#exact = exact;
    this.#wildcards = [...wildcards].sort((a, b) => bySpecificity(a[0], b[0]));
  }

  find(host: string): Value | undefined {
    const exact = this.#exact.get(host);
    if (exact !== undefined) return exact;
    return this.#wildcards.find(([pattern]) => isSubsetOf(host, pattern))?.[1];
  }
}
