// Reads and verifies what a TLS peer presented. OpenSSL has verified the chain against the trusted roots; here the
// result is looked at, the validity is looked at again (a resumed session skips it), and the names are matched by type.
// Names are read from the certificate's own bytes: those with control bytes are refused, not repaired.
import { createHash, type X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { addressText } from "#base/net/address-bytes.ts";
import { explainSvid } from "#wire/spiffe/svid.ts";
import { type Certificate, parseCertificate, type SubjectAltNames } from "#wire/x509/certificate.ts";
import { asksForCertificate, type PeerRequirements, type SanMatcher, verifiesChain } from "../config/tls.ts";
import type { PeerCertificate } from "./connection-info.ts";
import { type SocketFailure, tlsFailure } from "./socket-error.ts";

export interface Verification {
  readonly peer: PeerCertificate | null;
  readonly failure: SocketFailure | null;
}

/** Judges the peer after the handshake. `mustPresent`: no certificate is a failure. */
export function verifyPeer(
  socket: TLSSocket,
  requirements: PeerRequirements,
  mustPresent: boolean,
  now: number,
): Verification {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    const failure = tlsFailure(
      "NO_PEER_CERTIFICATE",
      "PEER_DID_NOT_RETURN_A_CERTIFICATE",
      "the peer presented no certificate",
    );
    return { peer: null, failure: mustPresent ? failure : null };
  }
  const parsed = parse(certificate);
  if (parsed === null) return refused("BAD_SAN", "the peer's certificate has a malformed subject alternative name");
  const names = parsed.subjectAltNames;
  const asked = asksForCertificate(requirements);
  const noSvid = asked ? explainSvid(parsed) : undefined;
  const distrust =
    noSvid !== undefined
      ? failure("BAD_SVID", `the peer's certificate ${noSvid} (${describeNames(certificate, names)})`)
      : asked
        ? whyDistrusted(socket, certificate, names, requirements, now)
        : null;
  const isVerified = asked && distrust === null;
  if (distrust !== null && !requirements.acceptsUntrusted) return { peer: null, failure: distrust };
  return { peer: describePeer(certificate, names, isVerified), failure: null };
}

function whyDistrusted(
  socket: TLSSocket,
  certificate: X509Certificate,
  names: SubjectAltNames,
  requirements: PeerRequirements,
  now: number,
): SocketFailure | null {
  if (verifiesChain(requirements)) {
    const error = chainError(socket);
    if (error !== null) {
      const who = describeNames(certificate, names);
      return failure("UNTRUSTED_PEER", `the peer's certificate is not trusted: ${error} (${who})`);
    }
    if (requirements.maxDepth !== null && intermediates(certificate) > requirements.maxDepth) {
      return failure("CHAIN_TOO_LONG", `the peer's chain is longer than ${requirements.maxDepth} certificates`);
    }
  }
  if (now > Date.parse(certificate.validTo) || now < Date.parse(certificate.validFrom)) {
    return failure(
      "EXPIRED_PEER",
      `the peer's certificate is valid from ${certificate.validFrom} to ${certificate.validTo}`,
    );
  }
  const { sanMatchers } = requirements;
  if (sanMatchers.length > 0 && !sanMatchers.some((matcher) => matchesSome(matcher, names))) {
    const wanted = sanMatchers.slice(0, 4).map((matcher) => matcher.description);
    const more = sanMatchers.length > 4 ? ` or ${sanMatchers.length - 4} more` : "";
    const who = describeNames(certificate, names);
    return failure("SAN_MISMATCH", `the peer is ${who}, wanted is ${wanted.join(" or ")}${more}`);
  }
  return isPinned(certificate, requirements)
    ? null
    : failure("NOT_PINNED", "the peer's certificate is none of those that are pinned");
}

/** Without pins every certificate is. */
function isPinned(certificate: X509Certificate, { certificateHashes, publicKeyHashes }: PeerRequirements): boolean {
  if (certificateHashes.length + publicKeyHashes.length === 0) return true;
  if (certificateHashes.includes(hashOf(certificate))) return true;
  if (publicKeyHashes.length === 0) return false;
  const key = certificate.publicKey.export({ type: "spki", format: "der" });
  return publicKeyHashes.includes(createHash("sha256").update(key).digest("base64"));
}

function matchesSome(matcher: SanMatcher, names: SubjectAltNames): boolean {
  switch (matcher.type) {
    case "uri":
      return names.uris.some(matcher.matches);
    case "dns":
      return names.dnsNames.some(matcher.matches);
    case "email":
      return names.emails.some(matcher.matches);
    case "ip":
      return names.ipAddresses.some((bytes) => matcher.matches(addressText(bytes)));
    case "other":
      return names.otherNames.some(({ oid, value }) => oid === matcher.oid && matcher.matches(value));
  }
}

/** Certificates between the peer's own and the root. */
function intermediates(certificate: X509Certificate): number {
  let count = -1;
  let at: X509Certificate | undefined = certificate;
  // A chain that leads back into itself ends as well.
  while (at !== undefined && count < 200) {
    const issuer: X509Certificate | undefined = at.issuerCertificate;
    if (issuer === undefined || issuer.fingerprint256 === at.fingerprint256) break;
    count++;
    at = issuer;
  }
  return Math.max(0, count);
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

function failure(code: string, words: string): SocketFailure {
  return tlsFailure(code, "CERTIFICATE_VERIFY_FAILED", words);
}

function refused(code: string, words: string): Verification {
  return { peer: null, failure: failure(code, words) };
}

/** Null for what cannot be read in one way only. */
function parse(certificate: X509Certificate): Certificate | null {
  try {
    return parseCertificate(certificate.raw);
  } catch {
    return null;
  }
}

function describeNames(certificate: X509Certificate, names: SubjectAltNames): string {
  return names.uris[0] ?? names.dnsNames[0] ?? (rfc2253(certificate.subject) || "nameless");
}

function describePeer(certificate: X509Certificate, names: SubjectAltNames, isVerified: boolean): PeerCertificate {
  return {
    isVerified,
    uriSan: names.uris[0],
    uriSans: names.uris,
    dnsSans: names.dnsNames.map((name) => name.toLowerCase()),
    notAfterMs: Date.parse(certificate.validTo),
    subject: rfc2253(certificate.subject),
    hash: hashOf(certificate),
    pem: () => encodeURIComponent(certificate.toString()),
  };
}

function hashOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(":", "").toLowerCase();
}

/** node:crypto prints one attribute per line in certificate order; RFC 2253 is the reverse, with commas. */
export function rfc2253(subject: string | undefined): string {
  if (subject === undefined || subject === "") return "";
  return subject.split("\n").reverse().join(",");
}
