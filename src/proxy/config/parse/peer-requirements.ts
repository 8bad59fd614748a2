// CertificateValidationContext: who the other end of a TLS connection must be.
import { X509Certificate } from "node:crypto";
import {
  type CertificateValidationContext,
  CertificateValidationContext_TrustChainVerification as TrustChain,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import type { SdsSecretConfig } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import type { CommonTlsContext } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import type { Problems } from "../problems.ts";
import { anyPeer, type PeerRequirements } from "../tls.ts";
import { decodeTypedSan, decodeUntypedSan } from "./san-matcher.ts";
import { inlineText } from "./values.ts";

export function decodePeerRequirements(
  common: CommonTlsContext | undefined,
  path: string,
  problems: Problems,
): PeerRequirements {
  const type = common?.validationContextType;
  const where = `${path}.common_tls_context`;
  switch (type?.case) {
    case "validationContextSdsSecretConfig":
      return { ...anyPeer, validationName: rootsName(type.value.name), secretsOverAds: namesOverAds([type.value]) };
    case "combinedValidationContext": {
      const at = `${where}.combined_validation_context.default_validation_context`;
      const own = decodeContext(type.value.defaultValidationContext, at, problems);
      const roots = type.value.validationContextSdsSecretConfig;
      if (roots === undefined) return own;
      // What SDS delivers replaces what stands here.
      return {
        ...own,
        validationName: rootsName(roots.name),
        inlineRoots: null,
        secretsOverAds: namesOverAds([roots]),
      };
    }
    case "validationContext":
      return decodeContext(type.value, `${where}.validation_context`, problems);
    case undefined:
      return anyPeer;
    default:
      problems.unsupported(where, `validation by ${type?.case}`);
      return anyPeer;
  }
}

/** Names of secrets that come over the same stream as the configuration. */
export function namesOverAds(secrets: readonly SdsSecretConfig[]): string[] {
  return secrets.flatMap(({ name, sdsConfig }) => (sdsConfig?.configSourceSpecifier.case === "ads" ? [name] : []));
}

/** Istio's name for the platform's roots. */
function rootsName(name: string): string {
  return name === "file-root:system" ? "system" : name;
}

function decodeContext(
  context: CertificateValidationContext | undefined,
  path: string,
  problems: Problems,
): PeerRequirements {
  if (context === undefined) return anyPeer;
  refuseUnknown(context, path, problems);
  return {
    validationName: context.systemRootCerts === undefined ? null : "system",
    inlineRoots: decodeRoots(context, path, problems),
    ...decodeRevocations(context, path, problems),
    secretsOverAds: [],
    sanMatchers: [
      ...context.matchSubjectAltNames.flatMap((it, i) =>
        decodeUntypedSan(it, `${path}.match_subject_alt_names[${i}]`, problems),
      ),
      ...context.matchTypedSubjectAltNames.flatMap((it, i) =>
        decodeTypedSan(it, `${path}.match_typed_subject_alt_names[${i}]`, problems),
      ),
    ],
    certificateHashes: context.verifyCertificateHash.map((hash) =>
      decodeHash(hash, `${path}.verify_certificate_hash`, problems),
    ),
    publicKeyHashes: context.verifyCertificateSpki.filter((hash) =>
      checkSpki(hash, `${path}.verify_certificate_spki`, problems),
    ),
    maxDepth: context.maxVerifyDepth ?? null,
    acceptsUntrusted: context.trustChainVerification === TrustChain.ACCEPT_UNTRUSTED,
  };
}

function refuseUnknown(context: CertificateValidationContext, path: string, problems: Problems): void {
  // OpenSSL tells one thing that is wrong with a chain: an expired one may be a stranger's as well.
  if (context.allowExpiredCertificate) {
    problems.unsupported(`${path}.allow_expired_certificate`, "trust in expired certificates");
  }
  if (context.onlyVerifyLeafCertCrl) {
    problems.unsupported(`${path}.only_verify_leaf_cert_crl`, "revocation of the last certificate only");
  }
  if (context.requireSignedCertificateTimestamp === true) {
    problems.unsupported(`${path}.require_signed_certificate_timestamp`, "certificate transparency");
  }
  if (context.caCertificateProviderInstance !== undefined) {
    problems.unsupported(`${path}.ca_certificate_provider_instance`, "a provider of roots");
  }
  if (context.customValidatorConfig !== undefined) {
    problems.unsupported(`${path}.custom_validator_config`, "a validator of its own");
  }
  if ((context.maxVerifyDepth ?? 0) > 100) problems.invalid(`${path}.max_verify_depth`, "is above 100");
}

function decodeRoots(context: CertificateValidationContext, path: string, problems: Problems): string | null {
  if (context.trustedCa === undefined) return null;
  const pem = inlineText(context.trustedCa);
  if (pem === undefined) {
    problems.unsupported(`${path}.trusted_ca`, "a root that is neither given inline nor named by SDS");
    return null;
  }
  try {
    new X509Certificate(pem);
  } catch {
    problems.invalid(`${path}.trusted_ca`, "has no readable certificate");
  }
  return pem;
}

/** A list in a file is a secret by this name, so that it is read where secrets are, and again when it changes. */
const revocationFile = "file-crl:";

function decodeRevocations(
  { crl }: CertificateValidationContext,
  path: string,
  problems: Problems,
): Pick<PeerRequirements, "revocationList" | "revocationName"> {
  if (crl?.specifier.case === "filename") {
    return { revocationList: null, revocationName: `${revocationFile}${crl.specifier.value}` };
  }
  const none = { revocationList: null, revocationName: null };
  if (crl === undefined) return none;
  const pem = inlineText(crl);
  if (pem === undefined) problems.unsupported(`${path}.crl`, "a revocation list from there");
  else if (!pem.includes("BEGIN X509 CRL")) problems.invalid(`${path}.crl`, "has no revocation list in PEM");
  return { ...none, revocationList: pem ?? null };
}

/** Hexadecimal, with colons or without. */
function decodeHash(text: string, path: string, problems: Problems): string {
  const hash = text.replaceAll(":", "").toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(hash)) problems.invalid(path, `"${text}" is not a SHA-256 in hexadecimal`);
  return hash;
}

function checkSpki(text: string, path: string, problems: Problems): boolean {
  const isHash = Buffer.from(text, "base64").length === 32 && text.length === 44;
  if (!isHash) problems.invalid(path, `"${text}" is not a SHA-256 in base64`);
  return isHash;
}
