// An intermediate CA under a root, as operators plug one in.
import { generateKeyPairSync } from "node:crypto";
import { issueAuthority, readIssuer } from "#wire/x509/issue-certificate.ts";
import type { AuthorityMaterial } from "../material.ts";

export function intermediateOf(root: AuthorityMaterial, nowMs: number, ttlMs: number): AuthorityMaterial {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const caCertificate = issueAuthority(
    privateKey,
    {
      publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
      subject: { commonName: "intermediate" },
      notBeforeMs: nowMs - Math.min(3_600_000, ttlMs / 10),
      notAfterMs: nowMs + ttlMs,
    },
    readIssuer(root.caCertificate, root.caKey),
  );
  return {
    caCertificate,
    caKey: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
    certificateChain: caCertificate,
    rootCertificates: root.rootCertificates,
  };
}
