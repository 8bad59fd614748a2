// What few access log formats ask of a connection, looked up only when they do.
import type { LogDetail } from "../config/access-log.ts";
import type { ConnectionInfo } from "./connection-info.ts";

export function connectionDetail(info: ConnectionInfo, what: LogDetail): string | number | undefined {
  const { peer } = info;
  switch (what) {
    case "connectionId":
      return info.id || undefined;
    case "filterChain":
      return info.filterChainName || undefined;
    case "tlsVersion":
      return info.tlsVersion || undefined;
    case "peerDnsSan":
      return peer?.dnsSans.join(",") || undefined;
    case "peerFingerprint":
      return peer?.hash;
    case "peerNotAfterMs":
      return peer?.notAfterMs;
    case "peerPem":
      return peer?.pem();
    case "peerSubject":
      return peer?.subject || undefined;
    default:
      return undefined;
  }
}
