// Certificates of a signer of the Kubernetes CSR API (certificates.k8s.io/v1), as a registration authority: the control
// plane checks who asks for what, asks the cluster for the certificate, approves the request, and checks what came.
// Istio's EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API. The signer uses the request as it is, so it must ask for exactly the
// identity that the caller proved.
import { OutriggerError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import { type Certificate, parseCertificate } from "#wire/x509/certificate.ts";
import { parseCertificateRequest } from "#wire/x509/certificate-request.ts";
import { splitCertificates } from "#wire/x509/pem.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import type { IssuedCertificate } from "./authority.ts";
import { leadsToRoot } from "./material.ts";

export interface KubernetesSignerOptions {
  readonly client: Pick<KubernetesClient, "raw">;
  /** `domain/name`; for requests that name no signer of their own. */
  readonly signerName: string;
  /** Domain of signers that requests name; empty where they may not. */
  readonly signerDomain: string;
  /** PEM of the roots that a signer's certificates lead to. */
  readonly rootsOf: (signerName: string) => string;
  readonly maxTtlMs: number;
  readonly defaultTtlMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeoutMs?: number;
}

const collection = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/** Kubernetes refuses less. */
const shortestTtlSeconds = 600;
const defaultTimeoutMs = 10_000;

interface Condition {
  readonly type?: string;
  readonly message?: string;
}

interface SigningRequest {
  readonly metadata: { readonly name: string };
  readonly status?: { readonly certificate?: string; readonly conditions?: readonly Condition[] };
}

export class KubernetesSigner {
  readonly #options: KubernetesSignerOptions;

  constructor(options: KubernetesSignerOptions) {
    this.#options = options;
  }

  /** Throws X509_INVALID, CA_REQUEST_NAMES, CA_TTL_TOO_LONG and CA_SIGNER_FAILED. */
  async sign(requestPem: string, spiffeId: string, ttlMs: number, wantedSigner: string): Promise<IssuedCertificate> {
    const { maxTtlMs, defaultTtlMs, rootsOf } = this.#options;
    const wanted = ttlMs === 0 ? defaultTtlMs : ttlMs;
    if (wanted > maxTtlMs) {
      throw new OutriggerError(
        "CA_TTL_TOO_LONG",
        `a lifetime of ${wanted / 1000} s is longer than the limit of ${maxTtlMs / 1000} s`,
      );
    }
    const publicKeyInfo = checkRequest(requestPem, spiffeId);
    const signerName = this.#signerFor(wantedSigner);
    const roots = rootsOf(signerName);
    if (roots === "") throw failed(`meshConfig.caCertificates has no roots for signer ${signerName}`);
    const seconds = Math.max(shortestTtlSeconds, Math.ceil(wanted / 1000));
    const pem = await this.#ask(requestPem, signerName, seconds);
    return readIssued(pem, { publicKeyInfo, spiffeId, roots, nowMs: this.#options.clock.now() });
  }

  #signerFor(wanted: string): string {
    const { signerName, signerDomain } = this.#options;
    if (wanted === "") {
      if (signerName === "") throw failed("no signer is named: K8S_SIGNER is not set, and the request names none");
      return signerName;
    }
    if (signerDomain === "") throw failed("requests may not name a signer: CERT_SIGNER_DOMAIN is not set");
    if (!/^[a-z0-9][-a-z0-9./]{0,252}$/.test(wanted)) throw failed("the signer that the request names is no name");
    return `${signerDomain}/${wanted}`;
  }

  async #ask(requestPem: string, signerName: string, expirationSeconds: number): Promise<string> {
    const { client } = this.#options;
    const created = (await client.raw("POST", collection, {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { generateName: "csr-workload-" },
      spec: {
        request: Buffer.from(requestPem).toString("base64"),
        signerName,
        expirationSeconds,
        usages: ["digital signature", "key encipherment", "server auth", "client auth"],
      },
    })) as SigningRequest;
    const path = `${collection}/${encodeURIComponent(created.metadata.name)}`;
    try {
      const approved = {
        type: "Approved",
        status: "True",
        reason: "IdentityVerified",
        message: "the control plane verified the identity of the workload that asks",
      };
      await client.raw("PUT", `${path}/approval`, { ...created, status: { conditions: [approved] } });
      return await this.#await(path, signerName);
    } finally {
      client.raw("DELETE", path).catch((error: unknown) => {
        // The cluster removes old ones itself.
        this.#options.log.debug("a CertificateSigningRequest could not be removed", { path, error: String(error) });
      });
    }
  }

  async #await(path: string, signerName: string): Promise<string> {
    const { client, clock, timeoutMs = defaultTimeoutMs } = this.#options;
    const backoff = new Backoff({ initialMs: 20, maxMs: 500 });
    for (const deadline = clock.now() + timeoutMs; ; ) {
      const { status } = (await client.raw("GET", path)) as SigningRequest;
      const refusal = status?.conditions?.find(({ type }) => type === "Denied" || type === "Failed");
      if (refusal !== undefined) {
        throw failed(`signer ${signerName} refused (${refusal.type}): ${refusal.message ?? "without a reason"}`);
      }
      if (status?.certificate) return Buffer.from(status.certificate, "base64").toString("utf8");
      if (clock.now() > deadline) throw failed(`signer ${signerName} gave no certificate within ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        clock.after(backoff.next(), resolve);
      });
    }
  }
}

/** The request's key, when it asks for the identity and nothing else. */
function checkRequest(requestPem: string, spiffeId: string): Buffer {
  const { publicKeyInfo, subjectAltNames } = parseCertificateRequest(requestPem);
  const { uris, dnsNames, ipAddresses, emails, otherNames } = subjectAltNames;
  const others = dnsNames.length + ipAddresses.length + emails.length + otherNames.length;
  if (uris.length !== 1 || uris[0] !== spiffeId || others > 0) {
    throw new OutriggerError("CA_REQUEST_NAMES", `the request must ask for ${spiffeId} and for no other name`);
  }
  return publicKeyInfo;
}

interface Expected {
  readonly publicKeyInfo: Buffer;
  readonly spiffeId: string;
  readonly roots: string;
  readonly nowMs: number;
}

function readIssued(pem: string, { publicKeyInfo, spiffeId, roots, nowMs }: Expected): IssuedCertificate {
  const chain = splitCertificates(pem);
  const [leaf, ...upper] = chain.map(parse);
  if (leaf === undefined) throw failed("the signer's answer holds no certificate");
  if (!leaf.publicKeyInfo.equals(publicKeyInfo)) throw failed("the signer's certificate is for another key");
  const { uris } = leaf.subjectAltNames;
  if (uris.length !== 1 || uris[0] !== spiffeId) throw failed("the signer's certificate is for another identity");
  if (leaf.notAfterMs <= nowMs) throw failed("the signer's certificate has expired already");
  const anchors = splitCertificates(roots);
  if (!leadsToRoot(leaf, upper, anchors.map(parse))) {
    throw failed("the signer's certificate does not lead to the roots of meshConfig.caCertificates");
  }
  return {
    chain: [...chain.filter((text) => !anchors.includes(text)), ...anchors],
    serialNumber: leaf.serialNumber,
    notBeforeMs: leaf.notBeforeMs,
    notAfterMs: leaf.notAfterMs,
  };
}

function parse(pem: string): Certificate {
  try {
    return parseCertificate(pem);
  } catch (cause) {
    throw new OutriggerError("CA_SIGNER_FAILED", "a certificate of the signer, or a root, cannot be read", { cause });
  }
}

function failed(message: string): OutriggerError {
  return new OutriggerError("CA_SIGNER_FAILED", message);
}
