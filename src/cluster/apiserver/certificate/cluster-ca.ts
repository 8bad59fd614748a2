// The cluster's own CA: kept in the store, signs the API server's certificate anew at each start.

import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { issueAuthority, issueLeaf, readIssuer } from "#wire/x509/issue-certificate.ts";
import type { ObjectStore } from "../../store/store.ts";
import { clusterKey } from "../../tokens/cluster-key.ts";

export interface ServerCertificate {
  readonly caPem: string;
  readonly certificatePem: string;
  readonly keyPem: string;
}

const dayMs = 86_400_000;
/** Clocks of pods may be behind. */
const backdateMs = 3_600_000;

/** The CA's certificate and key, PEM; made when first asked for. */
export function clusterAuthority(store: ObjectStore, nowMs: number): { certificate: string; privateKey: string } {
  const ca = clusterKey(store, "cluster-ca", () => newCa(nowMs));
  return { certificate: ca["tls.crt"] ?? "", privateKey: ca["tls.key"] ?? "" };
}

/** Issues a server certificate for the names (DNS and IP) with the CA of the store. */
export function serverCertificate(store: ObjectStore, names: readonly string[], nowMs: number): ServerCertificate {
  const { certificate: caPem, privateKey: caKey } = clusterAuthority(store, nowMs);
  const { privateKey, publicKey } = newKeyPair();
  const certificatePem = issueLeaf(readIssuer(caPem, caKey), {
    publicKeyInfo: publicKeyInfo(publicKey),
    subject: { commonName: "kube-apiserver" },
    names: {
      dnsNames: names.filter((name) => isIP(name) === 0),
      ipAddresses: names.filter((name) => isIP(name) !== 0),
    },
    notBeforeMs: nowMs - backdateMs,
    notAfterMs: nowMs + 365 * dayMs,
  });
  return { caPem, certificatePem, keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) };
}

function newCa(nowMs: number): Readonly<Record<string, string>> {
  const { privateKey, publicKey } = newKeyPair();
  const certificate = issueAuthority(privateKey, {
    publicKeyInfo: publicKeyInfo(publicKey),
    subject: { commonName: "kubernetes" },
    notBeforeMs: nowMs - backdateMs,
    notAfterMs: nowMs + 3650 * dayMs,
  });
  return { "tls.crt": certificate, "tls.key": privateKey.export({ type: "pkcs8", format: "pem" }) };
}

function newKeyPair(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function publicKeyInfo(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}
