// resolv.conf(5), as far as a DNS proxy needs it.
import { isIP } from "node:net";

export interface ResolverSettings {
  readonly nameServers: readonly string[];
  readonly searchDomains: readonly string[];
}

export function parseResolvConf(text: string): ResolverSettings {
  const nameServers: string[] = [];
  let searchDomains: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    // A zone belongs to the interface of whoever asks.
    const address = values[0]?.replace(/%.*$/, "") ?? "";
    if (keyword === "nameserver" && isIP(address) !== 0) nameServers.push(address);
    // The last of several lines counts.
    if (keyword === "search") searchDomains = values.map((domain) => domain.toLowerCase().replace(/\.$/, ""));
  }
  return { nameServers, searchDomains };
}
