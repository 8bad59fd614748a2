// For tests: a certificate that vouches for itself, with its key, both PEM. Each is another one.
import { generateKeyPairSync } from "node:crypto";
import { issueAuthority } from "../issue-certificate.ts";

export interface SelfSigned {
  readonly chain: string;
  readonly key: string;
}

interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const aroundNow = (): Validity => ({ notBeforeMs: Date.now() - 3_600_000, notAfterMs: Date.now() + 86_400_000 });

export function selfSigned(organization = "test", validity: Validity = aroundNow()): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const chain = issueAuthority(privateKey, {
    publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
    subject: { organization },
    ...validity,
  });
  return { chain, key: privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
}
