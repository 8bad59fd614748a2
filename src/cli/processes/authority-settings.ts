// Istio's environment variables of the certificate authority: lifetimes, how its root is renewed, who else may ask it, and
// who signs in its place.
import { defaultAuthorityLimits } from "#control/ca/authority.ts";
import { defaultRootRenewal } from "#control/ca/root-renewal.ts";
import type { ControlPlaneOptions, TokenIssuer } from "#control/options.ts";
import { parseDuration } from "#mesh/objects/duration.ts";

export type AuthoritySettings = Pick<
  ControlPlaneOptions,
  | "authorityFolder"
  | "authorityLimits"
  | "heedsRevocations"
  | "kubernetesSigner"
  | "rootRenewal"
  | "tokenIssuer"
  | "trustedNodeAccounts"
  | "usesTrustBundle"
>;

/** The variable's value; undefined where it is not set, or cannot be read, which is told. */
export type ReadSetting = <T>(name: string, parse: (text: string) => T | undefined) => T | undefined;

const kubernetesAuthority = "ISTIOD_RA_KUBERNETES_API";

export function authoritySettings(read: ReadSetting): AuthoritySettings {
  const folder = read("ROOT_CA_DIR", verbatim);
  const trustedNodeAccounts = read("CA_TRUSTED_NODE_ACCOUNTS", accounts);
  const tokenIssuer = read("JWT_RULE", jwtRule);
  const heedsRevocations = read("PILOT_ENABLE_CA_CRL", flag);
  const usesTrustBundle = read("ENABLE_CLUSTER_TRUST_BUNDLE_API", flag);
  const externalCa = read("EXTERNAL_CA", (text) => (text === kubernetesAuthority ? text : undefined));
  return {
    authorityLimits: {
      defaultTtlMs: read("DEFAULT_WORKLOAD_CERT_TTL", positiveDuration) ?? defaultAuthorityLimits.defaultTtlMs,
      maxTtlMs: read("MAX_WORKLOAD_CERT_TTL", positiveDuration) ?? defaultAuthorityLimits.maxTtlMs,
    },
    rootRenewal: {
      ttlMs: read("CITADEL_SELF_SIGNED_CA_CERT_TTL", positiveDuration) ?? defaultRootRenewal.ttlMs,
      checkIntervalMs:
        read("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", parseDuration) ?? defaultRootRenewal.checkIntervalMs,
      gracePercent:
        read("CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE", percent) ?? defaultRootRenewal.gracePercent,
      hasJitter: read("CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR", flag) ?? defaultRootRenewal.hasJitter,
    },
    ...(heedsRevocations !== undefined && { heedsRevocations }),
    ...(usesTrustBundle !== undefined && { usesTrustBundle }),
    ...(folder !== undefined && { authorityFolder: folder }),
    ...(trustedNodeAccounts !== undefined && { trustedNodeAccounts }),
    ...(tokenIssuer !== undefined && { tokenIssuer }),
    ...(externalCa !== undefined && {
      kubernetesSigner: {
        signerName: read("K8S_SIGNER", verbatim) ?? "",
        signerDomain: read("CERT_SIGNER_DOMAIN", verbatim) ?? "",
      },
    }),
  };
}

function verbatim(text: string): string {
  return text;
}

/** As Go's ParseBool reads it. */
export function flag(text: string): boolean | undefined {
  if (["1", "t", "T", "true", "True", "TRUE"].includes(text)) return true;
  return ["0", "f", "F", "false", "False", "FALSE"].includes(text) ? false : undefined;
}

function positiveDuration(text: string): number | undefined {
  const value = parseDuration(text);
  return value !== undefined && value > 0 ? value : undefined;
}

function percent(text: string): number | undefined {
  const value = Number(text.replace(/%$/, ""));
  return value >= 0 && value <= 100 ? value : undefined;
}

/** `namespace/name`, separated by commas. */
function accounts(text: string): string[] | undefined {
  const names = text.split(",").map((name) => name.trim());
  return names.every((name) => /^[a-z0-9][-a-z0-9.]*\/[a-z0-9][-a-z0-9.]*$/.test(name)) ? names : undefined;
}

/** A JWTRule as JSON: issuer, audiences, jwksUri or jwks. */
function jwtRule(text: string): TokenIssuer | undefined {
  let rule: { issuer?: unknown; audiences?: unknown; jwksUri?: unknown; jwks?: unknown } | null;
  try {
    rule = JSON.parse(text) as typeof rule;
  } catch {
    return undefined;
  }
  const { issuer, audiences = [], jwksUri, jwks } = rule ?? {};
  if (typeof issuer !== "string" || issuer === "") return undefined;
  if (!Array.isArray(audiences) || !audiences.every((audience) => typeof audience === "string")) return undefined;
  return {
    issuer,
    audiences,
    ...(typeof jwksUri === "string" && jwksUri !== "" && { jwksUri }),
    ...(typeof jwks === "string" && jwks !== "" && { jwks }),
  };
}
