// Asks for the addresses of a host name: the system's resolver, so that hosts files count, and the name servers for how long
// the answer holds.
import { promises as dns } from "node:dns";
import { isIPv6 } from "node:net";

interface HostAnswer {
  /** At least one. */
  readonly addresses: readonly string[];
  /** Undefined: nobody says, as for a name of a hosts file. */
  readonly ttlMs: number | undefined;
}

/** Rejects when the name has no address, or nobody answers. */
export type ResolveHost = (name: string) => Promise<HostAnswer>;

export const systemHosts: ResolveHost = async (name) => {
  const addresses = (await dns.lookup(name, { all: true })).map(({ address }) => address);
  return { addresses, ttlMs: await ttlOf(name, addresses[0] ?? "") };
};

async function ttlOf(name: string, address: string): Promise<number | undefined> {
  try {
    const records = await (isIPv6(address) ? dns.resolve6(name, { ttl: true }) : dns.resolve4(name, { ttl: true }));
    return records.length === 0 ? undefined : 1000 * Math.min(...records.map(({ ttl }) => ttl));
  } catch {
    return undefined; // known from a hosts file only
  }
}
