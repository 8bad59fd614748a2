// What few access log formats ask of a connection, looked up only when they do.
import { randomUUID, X509Certificate } from "node:crypto";
import type { LogDetail } from "../config/access-log.ts";
import { type ConnectionInfo, formatAddress, type PeerCertificate } from "./connection-info.ts";
import { rfc2253 } from "./peer-certificate.ts";

export function connectionDetail(info: ConnectionInfo, what: LogDetail): string | number | undefined {
  const { peer } = info;
  switch (what) {
    case "streamId":
      info.uuid ||= randomUUID();
      return info.uuid;
    case "directRemoteAddress":
      return formatAddress(info.directSourceIp, info.directSourcePort);
    case "mutualTls":
      return info.isTls && peer !== null ? 1 : 0;
    case "tlsCipher":
      return info.tlsCipher || undefined;
    case "peerFingerprintSha1":
      return certificateOf(peer)?.fingerprint.replaceAll(":", "").toLowerCase();
    case "peerIssuer":
      return rfc2253(certificateOf(peer)?.issuer) || undefined;
    case "peerNotBeforeMs":
      return certificateOf(peer)?.validFromDate.getTime();
    case "peerSerial":
      return certificateOf(peer)?.serialNumber.toLowerCase();
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

/** Read again for the few formats that want more of it than everybody needs. */
function certificateOf(peer: PeerCertificate | null): X509Certificate | undefined {
  return peer === null ? undefined : new X509Certificate(decodeURIComponent(peer.pem()));
}
