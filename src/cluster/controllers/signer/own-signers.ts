// What Kubernetes' own signers ask of a request before they sign it (certificates.k8s.io, "Kubernetes signers").

import { parseCertificateRequest } from "#wire/x509/certificate-request.ts";
import { readNameAttributes } from "#wire/x509/name.ts";
import type { WantedCertificate } from "./issue.ts";

interface Rule {
  readonly required: readonly string[];
  readonly allowed: readonly string[];
  /** Names a node: organization `system:nodes`, common name `system:node:NAME`. */
  readonly isNode: boolean;
  readonly mayNameServers: boolean;
}

const signatures = ["digital signature", "key encipherment"];

const rules: Readonly<Record<string, Rule>> = {
  "kubernetes.io/kube-apiserver-client": {
    required: ["client auth"],
    allowed: [...signatures, "client auth"],
    isNode: false,
    mayNameServers: true,
  },
  "kubernetes.io/kube-apiserver-client-kubelet": {
    required: ["client auth", "digital signature"],
    allowed: [...signatures, "client auth"],
    isNode: true,
    mayNameServers: false,
  },
  "kubernetes.io/kubelet-serving": {
    required: ["server auth", "digital signature"],
    allowed: [...signatures, "server auth"],
    isNode: true,
    mayNameServers: true,
  },
};

/** Why the signer does not sign; "" where there is no such signer, undefined where it signs. */
export function refuseOwnSigner(signerName: string, { request, usages }: WantedCertificate): string | undefined {
  const rule = rules[signerName];
  if (rule === undefined) return "";
  const lacking = rule.required.find((usage) => !usages.includes(usage));
  if (lacking !== undefined) return `usage "${lacking}" is required by ${signerName}`;
  const excess = usages.find((usage) => !rule.allowed.includes(usage));
  if (excess !== undefined) return `usage "${excess}" is not allowed by ${signerName}`;
  const { subject, subjectAltNames } = parseCertificateRequest(request);
  const { organizations, commonNames } = readNameAttributes(subject);
  const servers = subjectAltNames.dnsNames.length + subjectAltNames.ipAddresses.length;
  if (!rule.isNode) {
    return organizations.includes("system:masters")
      ? `organization system:masters is not allowed by ${signerName}`
      : undefined;
  }
  if (organizations.join() !== "system:nodes") return "the organization must be system:nodes";
  if (!/^system:node:./.test(commonNames.join())) return "the common name must be system:node:NAME";
  if (rule.mayNameServers && servers === 0) return "a server's certificate must name DNS names or IP addresses";
  if (!rule.mayNameServers && servers > 0) return "DNS names and IP addresses are not allowed";
  return undefined;
}
