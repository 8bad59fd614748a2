// HOT: per request. Which host a dynamic forward proxy is asked for: what a Host header or a server name says, in the one
// form by which caches, endpoints and explain know it.
import { isIPv6 } from "node:net";
import type { ClusterConfig } from "../config/cluster.ts";

export interface DynamicHost {
  /** `api.example.com:443` or `[fd00::1]:80`. */
  readonly key: string;
  /** A name in lower case without its dot at the end, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** The port of a host that names none. */
function defaultPort(isSecured: boolean): number {
  return isSecured ? 443 : 80;
}

/** Reads `host` or `host:port`; null where that is no host. */
export function dynamicHost(authority: string, portOtherwise: number): DynamicHost | null {
  const match = form.exec(authority);
  if (match === null) return null;
  const [, inBrackets, plain = "", digits] = match;
  const port = digits === undefined ? portOtherwise : Number(digits);
  if (port < 1 || port > 65_535) return null;
  if (inBrackets !== undefined) {
    return isIPv6(inBrackets) ? { key: `[${inBrackets.toLowerCase()}]:${port}`, host: inBrackets, port } : null;
  }
  const name = plain.toLowerCase();
  const host = name.endsWith(".") ? name.slice(0, -1) : name;
  return host === "" || host.length > longestName ? null : { key: `${host}:${port}`, host, port };
}

/** RFC 1035 2.3.4, as text. */
const longestName = 253;

/** What a resolver could be asked for. Underscores stand in names though they should not. */
const form = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/;

/** The host that a request with this authority goes to in a cluster of that kind. */
export function forwardedHost(cluster: ClusterConfig, authority: string): DynamicHost | null {
  const transport = cluster.transports.find(({ match }) => Object.keys(match).length === 0);
  return dynamicHost(authority, defaultPort(transport?.tls != null));
}
