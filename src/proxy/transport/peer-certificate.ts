// Reads and verifies what a TLS peer presented. OpenSSL has verified the chain against the trusted roots; here the
// result is looked at, the validity is looked at again (a resumed session skips it), and the names are matched by type.
// Names with control bytes or quoting tricks are refused, not repaired.
import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { StringMatcher } from "../config/matcher.ts";
import type { PeerCertificate } from "./connection-info.ts";
import { type SocketFailure, tlsFailure } from "./socket-error.ts";

export interface Verification {
  readonly peer: PeerCertificate | null;
  readonly failure: SocketFailure | null;
}

export interface VerificationRule {
  /** False accepts any certificate, or none. */
  readonly verifyChain: boolean;
  readonly requireCertificate: boolean;
  /** One of them must match one name; an empty list accepts every name. */
  readonly matchers: readonly StringMatcher[];
  /** Match URI names only (clients), or every name (servers). */
  readonly uriOnly: boolean;
  readonly now: number;
}

/** Judges the peer after the handshake. */
export function verifyPeer(socket: TLSSocket, rule: VerificationRule): Verification {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    return {
      peer: null,
      failure: rule.requireCertificate
        ? tlsFailure("NO_PEER_CERTIFICATE", "PEER_DID_NOT_RETURN_A_CERTIFICATE", "the peer presented no certificate")
        : null,
    };
  }
  const names = parseSubjectAltName(certificate.subjectAltName);
  if (names === null) return refused("BAD_SAN", "the peer's certificate has a malformed subject alternative name");
  const peer = describePeer(certificate, names, rule.verifyChain);
  if (!rule.verifyChain) return { peer, failure: null };
  const distrust = chainError(socket);
  if (distrust !== null) {
    return refused("UNTRUSTED_PEER", `the peer's certificate is not trusted: ${distrust} (${describeNames(peer)})`);
  }
  if (rule.now > Date.parse(certificate.validTo) || rule.now < Date.parse(certificate.validFrom)) {
    return refused(
      "EXPIRED_PEER",
      `the peer's certificate is valid from ${certificate.validFrom} to ${certificate.validTo}`,
    );
  }
  if (rule.matchers.length > 0) {
    const candidates = rule.uriOnly ? names.uris : [...names.uris, ...names.dns, ...names.ips];
    if (!candidates.some((name) => rule.matchers.some((matcher) => matcher.matches(name)))) {
      const wanted = rule.matchers.slice(0, 4).map((matcher) => matcher.description);
      const more = rule.matchers.length > 4 ? ` or ${rule.matchers.length - 4} more` : "";
      return refused("SAN_MISMATCH", `the peer is ${describeNames(peer)}, wanted is ${wanted.join(" or ")}${more}`);
    }
  }
  return { peer, failure: null };
}

/**
 * OpenSSL's verdict on the chain, or null when it is good. `authorized` says the same for clients; a server socket that
 * no tls.Server owns has it only in its handle. An unknown handle counts as distrust.
 */
function chainError(socket: TLSSocket): string | null {
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle !== "object" || handle === null || !("verifyError" in handle)) return "no verdict";
  if (typeof handle.verifyError !== "function") return "no verdict";
  const error: unknown = handle.verifyError();
  if (error === null || error === undefined) return null;
  return typeof error === "object" && "code" in error ? String(error.code) : String(error);
}

function refused(code: string, words: string): Verification {
  return { peer: null, failure: tlsFailure(code, "CERTIFICATE_VERIFY_FAILED", words) };
}

function describeNames(peer: PeerCertificate): string {
  return peer.uriSan ?? peer.dnsSans[0] ?? (peer.subject === "" ? "nameless" : peer.subject);
}

interface SubjectAltNames {
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  readonly ips: readonly string[];
}

/**
 * Splits the text that node:crypto makes of the names. It quotes (JSON) every name that could be misread; such a name
 * has no business in a mesh, so null refuses the certificate.
 */
function parseSubjectAltName(text: string | undefined): SubjectAltNames | null {
  const uris: string[] = [];
  const dns: string[] = [];
  const ips: string[] = [];
  if (text === undefined || text === "") return { uris, dns, ips };
  if (text.includes('"')) return null;
  for (const item of text.split(", ")) {
    const colon = item.indexOf(":");
    const value = item.slice(colon + 1);
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code < 32 || code > 126) return null;
    }
    if (item.startsWith("URI:")) uris.push(value);
    else if (item.startsWith("DNS:")) dns.push(value.toLowerCase());
    else if (item.startsWith("IP Address:")) ips.push(value);
  }
  return { uris, dns, ips };
}

function describePeer(certificate: X509Certificate, names: SubjectAltNames, isVerified: boolean): PeerCertificate {
  return {
    isVerified,
    uriSan: names.uris[0],
    uriSans: names.uris,
    dnsSans: names.dns,
    notAfterMs: Date.parse(certificate.validTo),
    subject: rfc2253(certificate.subject),
    hash: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    pem: () => encodeURIComponent(certificate.toString()),
  };
}

/** node:crypto prints one attribute per line in certificate order; RFC 2253 is the reverse, with commas. */
function rfc2253(subject: string | undefined): string {
  if (subject === undefined || subject === "") return "";
  return subject.split("\n").reverse().join(",");
}
