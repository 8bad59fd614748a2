// Looks up the addresses behind STRICT_DNS and LOGICAL_DNS clusters with the system's resolver, so that hosts files
// and search domains apply as they do for the application.
import { lookup } from "node:dns";

/** Calls back with the addresses; an empty list means that the name has none or that the lookup failed. */
export type ResolveDns = (host: string, done: (addresses: readonly string[], error: string | null) => void) => void;

export const systemResolver: ResolveDns = (host, done) => {
  lookup(host, { all: true, order: "verbatim" }, (error, addresses) => {
    if (error !== null) done([], error.message);
    else
      done(
        addresses.map((entry) => entry.address),
        null,
      );
  });
};
