// What the SPIFFE X509-SVID specification (sections 2 to 5.2) asks of a leaf certificate, beside its chain.
import type { Certificate } from "../x509/certificate.ts";
import { explainSpiffeId } from "./spiffe-id.ts";

/** Says why a certificate that names a SPIFFE id is no X509-SVID; undefined when it is one, or names none. */
export function explainSvid({ subjectAltNames: { uris }, maySign }: Certificate): string | undefined {
  const id = uris.find((uri) => /^spiffe:/i.test(uri));
  if (id === undefined) return undefined;
  if (uris.length > 1) return `carries ${uris.length} URIs, and an X509-SVID carries one`;
  const problem = explainSpiffeId(id);
  if (problem !== undefined) return `has a SPIFFE id that ${problem}`;
  return maySign ? "may sign certificates, and the certificate of a workload may not" : undefined;
}
