// A set of address blocks, made once at configuration time.
import { cidrMap } from "#base/net/cidr-map.ts";
import type { CidrSet } from "./matcher.ts";

/** Takes blocks as `10.0.0.0/8`. */
export function cidrSet(ranges: readonly string[]): CidrSet {
  const map = cidrMap(
    ranges,
    (range) => [range],
    () => true,
  );
  return { ranges, contains: (address) => map.find(address) === true };
}
