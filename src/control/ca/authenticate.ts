// Who calls: by service account token in `authorization: Bearer`, or by a client certificate that TLS has verified.
// The token counts first: at its first start a proxy has nothing else, and a renewed certificate proves no more.
import type { Metadata } from "@grpc/grpc-js";
import { parseWorkloadIdentity, type WorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";
import { explainSvid } from "#wire/spiffe/svid.ts";
import { type Certificate, parseCertificate } from "#wire/x509/certificate.ts";
import type { CallingPod } from "./node-authorization.ts";
import type { TokenVerifier } from "./token-review.ts";

export interface Caller {
  readonly identity: WorkloadIdentity;
  readonly by: "token" | "certificate";
  /** Of a token that is bound to one. */
  readonly pod: CallingPod | undefined;
}

export type Authentication =
  | { readonly caller: Caller }
  /** `namesNobody`: what was shown is good, and names no identity of a workload. */
  | { readonly refused: string; readonly namesNobody?: true };

export interface Credentials {
  readonly metadata: Metadata;
  /** DER of the client's certificate, when TLS has verified it. */
  readonly certificate: Buffer | undefined;
}

export interface AuthenticatorOptions {
  readonly tokens: TokenVerifier | undefined;
  readonly trustDomain: string;
  /** Further trust domains that certificates may carry. */
  readonly trustDomainAliases?: readonly string[];
  /** What tokens must be meant for. */
  readonly audiences: readonly string[];
  readonly now: () => number;
  /** By the CA's revocation lists. */
  readonly isRevoked?: (certificate: Certificate) => boolean;
}

export async function authenticate(credentials: Credentials, options: AuthenticatorOptions): Promise<Authentication> {
  const token = bearerToken(credentials.metadata);
  if (token !== undefined) {
    if (options.tokens === undefined) return { refused: "tokens are not accepted: there is no API server to ask" };
    const verdict = await options.tokens.verify(token, options.audiences);
    if ("identity" in verdict) {
      const { namespace, serviceAccount, podName, podUid = "" } = verdict.identity;
      const pod = podName === "" || podUid === "" ? undefined : { name: podName, uid: podUid };
      const identity = { trustDomain: options.trustDomain, namespace, serviceAccount };
      return { caller: { identity, by: "token", pod } };
    }
    if (credentials.certificate === undefined) return verdict;
  }
  if (credentials.certificate !== undefined) return authenticateCertificate(credentials.certificate, options);
  return { refused: "neither a bearer token nor a trusted client certificate was given" };
}

function authenticateCertificate(der: Buffer, options: AuthenticatorOptions): Authentication {
  let certificate: Certificate;
  try {
    certificate = parseCertificate(der);
  } catch {
    return { refused: "the client certificate cannot be read" };
  }
  // A resumed TLS session is not verified again and may outlive its certificate.
  if (certificate.notAfterMs < options.now()) return { refused: "the client certificate has expired" };
  if (options.isRevoked?.(certificate) === true) return { refused: "the client certificate was revoked" };
  const problem = explainSvid(certificate);
  if (problem !== undefined) return { refused: `the client certificate ${problem}`, namesNobody: true };
  const identity = parseWorkloadIdentity(certificate.subjectAltNames.uris[0] ?? "");
  if (identity === undefined) {
    return { refused: "the client certificate does not carry one workload identity", namesNobody: true };
  }
  if (![options.trustDomain, ...(options.trustDomainAliases ?? [])].includes(identity.trustDomain)) {
    return { refused: `trust domain ${identity.trustDomain} of the client certificate is not ours` };
  }
  return { caller: { identity, by: "certificate", pod: undefined } };
}

function bearerToken(metadata: Metadata): string | undefined {
  for (const value of metadata.get("authorization")) {
    const match = /^Bearer +(\S+)$/i.exec(value.toString());
    if (match !== null) return match[1];
  }
  return undefined;
}
