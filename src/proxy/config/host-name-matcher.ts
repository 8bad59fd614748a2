// The name that a certificate must have where the host says it: `auto_san_validation`.
import { isIP } from "node:net";
import { coversHost } from "#wire/tls/host-name.ts";
import type { SanMatcher } from "./tls.ts";

export function hostNameMatcher(host: string): SanMatcher {
  const isAddress = isIP(host) !== 0;
  return {
    type: isAddress ? "ip" : "dns",
    oid: "",
    matches: isAddress ? (address) => address === host : (name) => host !== "" && coversHost(name, host),
    description: `host "${host}"`,
  };
}
