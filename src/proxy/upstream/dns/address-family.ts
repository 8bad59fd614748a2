// Which addresses of an answer are used, by the families that a cluster wants.
import { isIPv4, isIPv6 } from "node:net";
import type { DnsConfig } from "../../config/cluster.ts";

/** As resolvers are asked; 0: both. */
export function familyNumber(family: DnsConfig["family"]): 0 | 4 | 6 {
  return families[family];
}

const families: Readonly<Record<DnsConfig["family"], 0 | 4 | 6>> = {
  v4_only: 4,
  v6_only: 6,
  auto: 0,
  v4_preferred: 0,
  all: 0,
};

/** Of both families the preferred one, if it has any address. */
export function chosenAddresses(addresses: readonly string[], family: DnsConfig["family"]): readonly string[] {
  switch (family) {
    case "v4_only":
      return addresses.filter((it) => isIPv4(it));
    case "v6_only":
      return addresses.filter((it) => isIPv6(it));
    case "all":
      return addresses;
    case "auto":
    case "v4_preferred": {
      const preferred = addresses.filter((it) => isIPv6(it) === (family === "auto"));
      return preferred.length > 0 ? preferred : addresses;
    }
  }
}
