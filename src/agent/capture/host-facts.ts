// What the pod's network and resolver configuration mean for capture.
import { isIP } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";
import { parseResolvConf } from "../dns/resolver-settings.ts";
import type { CaptureOptions, HostFacts } from "./options.ts";

export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** IPv6 is captured where the pod has an address that others can reach. */
export function hostFacts(options: CaptureOptions, interfaces: Interfaces, resolvConf: () => string): HostFacts {
  const addresses = Object.values(interfaces).flatMap((list) => list ?? []);
  const ipv6 = addresses.some(
    (address) => address.family === "IPv6" && !address.internal && !/^fe[89ab]/i.test(address.address),
  );
  if (!options.redirectDns || options.captureAllDns) return { ipv6, dnsServersV4: [], dnsServersV6: [] };
  const servers = parseResolvConf(resolvConf()).nameServers;
  return {
    ipv6,
    dnsServersV4: servers.filter((server) => isIP(server) === 4),
    dnsServersV6: servers.filter((server) => isIP(server) === 6),
  };
}
