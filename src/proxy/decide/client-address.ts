// HOT: per request. Who the client of a request is, behind the proxies that are trusted to say so. As Envoy's
// ConnectionManagerUtility::mutateRequestHeaders is documented (x-forwarded-for).
import { isIP } from "node:net";
import type { ClientAddressConfig } from "../config/http.ts";

/** What is asked of the request's headers, by names in lower case. */
interface HeaderValues {
  get(name: string): string | undefined;
}

interface ClientAddress {
  readonly ip: string;
  /** Whether the address may make the request an internal one. */
  readonly isTrusted: boolean;
}

/** At an edge: with hops of trusted proxies before us, the client is that many entries from the right. */
export function clientAtEdge(forwardedFor: string | undefined, sourceIp: string, trustedHops: number): string {
  if (forwardedFor === undefined || trustedHops === 0) return sourceIp;
  const addresses = forwardedFor.split(",");
  const ip = (addresses[addresses.length - trustedHops] ?? "").trim();
  return isIP(ip) === 0 ? sourceIp : ip;
}

/** Inside: as the proxy before us wrote it. A number is the status that refuses the request. */
export function clientInside(
  headers: HeaderValues,
  sourceIp: string,
  { detection, xffTrustedHops }: ClientAddressConfig,
): ClientAddress | number {
  for (const detect of detection) {
    const detected = detect((name) => headers.get(name));
    if (detected !== null) return detected;
  }
  const forwardedFor = detection.length > 0 ? undefined : headers.get("x-forwarded-for");
  if (forwardedFor === undefined) return { ip: sourceIp, isTrusted: true };
  const ip = lastAddress(forwardedFor, xffTrustedHops);
  // Whatever is not an address was made up by somebody.
  if (isIP(ip) === 0) return { ip: sourceIp, isTrusted: false };
  return { ip, isTrusted: !forwardedFor.includes(",") };
}

function lastAddress(forwardedFor: string, trustedHops: number): string {
  if (trustedHops === 0) {
    const comma = forwardedFor.lastIndexOf(",");
    return forwardedFor.slice(comma + 1).trim();
  }
  const addresses = forwardedFor.split(",");
  return (addresses[addresses.length - 1 - trustedHops] ?? addresses[0] ?? "").trim();
}
