// What CertificateSigningRequests and ClusterTrustBundles must say.

import { parseCertificate } from "#wire/x509/certificate.ts";
import { parseCertificateRequest } from "#wire/x509/certificate-request.ts";
import { splitCertificates } from "#wire/x509/pem.ts";
import { asArray, asRecord, type JsonRecord, jsonEqual } from "../../store/json.ts";
import { isDnsName } from "./names.ts";
import { whole } from "./pod.ts";
import type { Problems } from "./problems.ts";

const shortestLifeSeconds = 600;
const maxLifeSeconds = 2 ** 31 - 1;

/** Kubernetes' names of what a certificate may be used for. */
const usages: readonly unknown[] = [
  "signing",
  "digital signature",
  "content commitment",
  "key encipherment",
  "key agreement",
  "data encipherment",
  "cert sign",
  "crl sign",
  "encipher only",
  "decipher only",
  "any",
  "server auth",
  "client auth",
  "code signing",
  "email protection",
  "s/mime",
  "ipsec end system",
  "ipsec tunnel",
  "ipsec user",
  "timestamping",
  "ocsp signing",
  "microsoft sgc",
  "netscape sgc",
];

export function validateSigningRequest(object: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  const spec = asRecord(object["spec"]);
  if (stored !== undefined) {
    if (!jsonEqual(spec, stored["spec"])) problems.forbidden("spec", "field is immutable");
    return;
  }
  validateRequest(spec["request"], problems);
  validateSignerName(spec["signerName"], problems);
  if (spec["signerName"] === "kubernetes.io/legacy-unknown") {
    problems.invalid(
      "spec.signerName",
      spec["signerName"],
      "the legacy signerName is not allowed via this API version",
    );
  }
  whole(spec["expirationSeconds"], shortestLifeSeconds, maxLifeSeconds, "spec.expirationSeconds", problems);
  const wanted = asArray(spec["usages"]);
  if (wanted.length === 0) problems.required("spec.usages");
  for (const [index, usage] of wanted.entries()) {
    if (!usages.includes(usage)) problems.invalid(`spec.usages[${index}]`, usage, "is no usage of a certificate");
    else if (wanted.indexOf(usage) !== index) problems.invalid(`spec.usages[${index}]`, usage, "is there twice");
  }
}

function validateRequest(request: unknown, problems: Problems): void {
  if (typeof request !== "string" || request === "") return problems.required("spec.request");
  try {
    parseCertificateRequest(Buffer.from(request, "base64").toString("utf8"));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    problems.invalid("spec.request", "...", `must be a PEM certificate request, as base64: ${reason}`);
  }
}

function validateSignerName(name: unknown, problems: Problems): void {
  if (typeof name !== "string" || name === "") return problems.required("spec.signerName");
  const [domain = "", path = "", ...more] = name.split("/");
  const isName = more.length === 0 && isDnsName(domain) && domain.includes(".") && isDnsName(path);
  if (!isName) problems.invalid("spec.signerName", name, "must be `domain/name`, with a dot in the domain");
}

export function validateTrustBundle(object: JsonRecord, stored: JsonRecord | undefined, problems: Problems): void {
  const { signerName = "", trustBundle } = asRecord(object["spec"]);
  const name = String(asRecord(object["metadata"])["name"] ?? "");
  if (signerName !== "") {
    validateSignerName(signerName, problems);
    const prefix = `${String(signerName).replace("/", ":")}:`;
    if (!name.startsWith(prefix) || !isDnsName(name.slice(prefix.length))) {
      problems.invalid("metadata.name", name, `must be ${prefix}NAME, because of the signer`);
    }
  } else if (!isDnsName(name)) {
    problems.invalid("metadata.name", name, "must be a DNS name where there is no signer");
  }
  const before = stored === undefined ? signerName : (asRecord(stored["spec"])["signerName"] ?? "");
  if (before !== signerName) problems.invalid("spec.signerName", signerName, "field is immutable");
  validateCertificates(trustBundle, problems);
}

function validateCertificates(bundle: unknown, problems: Problems): void {
  if (typeof bundle !== "string" || bundle === "") return problems.required("spec.trustBundle");
  const certificates = splitCertificates(bundle);
  if (certificates.length === 0) problems.invalid("spec.trustBundle", "...", "must be PEM certificates");
  if (new Set(certificates).size < certificates.length) {
    problems.invalid("spec.trustBundle", "...", "a certificate is there twice");
  }
  for (const pem of certificates) {
    try {
      parseCertificate(pem);
    } catch {
      problems.invalid("spec.trustBundle", "...", "one of the blocks is no certificate");
    }
  }
}
