// Looks up the addresses behind STRICT_DNS and LOGICAL_DNS clusters with the system's resolver, so that hosts files
// and search domains apply as they do for the application. How long an answer holds only the name servers themselves say,
// and they are asked where the cluster wants to know.
import { lookup, resolve4, resolve6 } from "node:dns";
import { isIPv6 } from "node:net";

export interface DnsQuestion {
  readonly host: string;
  /** 0: both. */
  readonly family: 0 | 4 | 6;
  readonly wantsTtl: boolean;
}

export interface DnsAnswer {
  /** Empty without an error: the name has no address. */
  readonly addresses: readonly string[];
  /** Null: not asked for, or not known. */
  readonly ttlMs: number | null;
  /** In words; null: none. */
  readonly error: string | null;
}

export type ResolveDns = (question: DnsQuestion, done: (answer: DnsAnswer) => void) => void;

export const systemResolver: ResolveDns = ({ host, family, wantsTtl }, done) => {
  lookup(host, { all: true, family, order: "verbatim" }, (error, found) => {
    // A name that does not exist, or not in this family, is an answer.
    if (error !== null && error.code !== "ENOTFOUND" && error.code !== "ENODATA") {
      done({ addresses: [], ttlMs: null, error: error.message });
      return;
    }
    const addresses = error === null ? found.map((entry) => entry.address) : [];
    const first = addresses[0];
    if (!wantsTtl || first === undefined) done({ addresses, ttlMs: null, error: null });
    else askTtl(host, isIPv6(first), (ttlMs) => done({ addresses, ttlMs, error: null }));
  });
};

/** Names from a hosts file have no time to live. */
function askTtl(host: string, isV6: boolean, done: (ttlMs: number | null) => void): void {
  const ask = isV6 ? resolve6 : resolve4;
  ask(host, { ttl: true }, (error, records) => {
    if (error !== null || records.length === 0) done(null);
    else done(1000 * Math.min(...records.map((record) => record.ttl)));
  });
}
