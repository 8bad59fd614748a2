// HOT: per request. Authority to virtual host in Envoy's order: exact, longest suffix (`*.example.com`), longest prefix
// (`example.*`), then `*`. Exact lookup is one map access; wildcards are one map access per length that occurs.
import type { VirtualHost, VirtualHostIndex } from "../config/http.ts";

export interface IndexedHosts {
  readonly index: VirtualHostIndex;
  /** Domains that two virtual hosts claim, and domains that are not one. */
  readonly problems: readonly string[];
}

export function indexVirtualHosts(virtualHosts: readonly VirtualHost[]): IndexedHosts {
  const exact = new Map<string, VirtualHost>();
  const suffixes = new Map<number, Map<string, VirtualHost>>();
  const prefixes = new Map<number, Map<string, VirtualHost>>();
  const problems: string[] = [];
  let anyHost: VirtualHost | null = null;

  const claim = (map: Map<string, VirtualHost>, key: string, domain: string, host: VirtualHost): void => {
    const owner = map.get(key);
    if (owner === undefined) map.set(key, host);
    else problems.push(`domain "${domain}" is in virtual hosts ${owner.name} and ${host.name}`);
  };

  for (const host of virtualHosts) {
    for (const domain of host.domains) {
      const lower = domain.toLowerCase();
      if (lower === "*") {
        if (anyHost !== null) problems.push(`domain "*" is in virtual hosts ${anyHost.name} and ${host.name}`);
        anyHost ??= host;
      } else if (lower.startsWith("*") && !lower.includes("*", 1)) {
        claim(byLength(suffixes, lower.length - 1), lower.slice(1), domain, host);
      } else if (lower.endsWith("*") && lower.indexOf("*") === lower.length - 1) {
        claim(byLength(prefixes, lower.length - 1), lower.slice(0, -1), domain, host);
      } else if (lower === "" || lower.includes("*")) {
        problems.push(`"${domain}" in virtual host ${host.name} is not a domain`);
      } else {
        claim(exact, lower, domain, host);
      }
    }
  }

  const suffixTables = longestFirst(suffixes);
  const prefixTables = longestFirst(prefixes);
  const find = (authority: string): VirtualHost | null => {
    const direct = exact.get(authority);
    if (direct !== undefined) return direct;
    for (let i = 0; i < suffixTables.length; i++) {
      const table = suffixTables[i] as LengthTable;
      // The star stands for at least one character.
      if (table.length >= authority.length) continue;
      const found = table.hosts.get(authority.slice(authority.length - table.length));
      if (found !== undefined) return found;
    }
    for (let i = 0; i < prefixTables.length; i++) {
      const table = prefixTables[i] as LengthTable;
      if (table.length >= authority.length) continue;
      const found = table.hosts.get(authority.slice(0, table.length));
      if (found !== undefined) return found;
    }
    return anyHost;
  };
  return { index: { find }, problems };
}

interface LengthTable {
  readonly length: number;
  readonly hosts: ReadonlyMap<string, VirtualHost>;
}

function byLength(tables: Map<number, Map<string, VirtualHost>>, length: number): Map<string, VirtualHost> {
  let table = tables.get(length);
  if (table === undefined) {
    table = new Map();
    tables.set(length, table);
  }
  return table;
}

function longestFirst(tables: ReadonlyMap<number, ReadonlyMap<string, VirtualHost>>): LengthTable[] {
  return [...tables].map(([length, hosts]) => ({ length, hosts })).sort((a, b) => b.length - a.length);
}
