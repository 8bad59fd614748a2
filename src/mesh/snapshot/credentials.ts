// Certificates that are kept in Secrets, by the names under which proxies ask for them (SDS):
//   kubernetes://[namespace/]name          a Secret of the proxy's own namespace
//   kubernetes-gateway://namespace/name    a Secret that a Gateway of the Gateway API names
//   configmap://namespace/name             trusted roots in a ConfigMap, which a BackendTLSPolicy names
// With the ending `-cacert` the trusted roots are meant: of the Secret of just that name, or of the one without the ending.
import { X509Certificate } from "node:crypto";
import { readTlsCertificate } from "#wire/tls/read-certificate.ts";
import type { SecretSpec } from "../kinds/secret/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ObjectTable } from "./object-table.ts";

export interface CredentialName {
  readonly scheme: "kubernetes" | "kubernetes-gateway" | "configmap";
  readonly namespace: string;
  readonly name: string;
  /** The roots, and not the certificate. */
  readonly isRoots: boolean;
}

const rootsEnding = "-cacert";

/** Undefined for names that no Secret has. */
export function parseCredentialName(name: string, proxyNamespace: string): CredentialName | undefined {
  const match = /^(kubernetes|kubernetes-gateway|configmap):\/\/(?:([^/]+)\/)?([^/]+)$/.exec(name);
  if (match === null) return undefined;
  const [, scheme = "", namespace = proxyNamespace, secret = ""] = match;
  const isRoots = secret.endsWith(rootsEnding);
  return { scheme: scheme as CredentialName["scheme"], namespace, name: secret, isRoots };
}

/** What a Secret gives under a name, or why it gives nothing. */
export type Credential =
  | {
      readonly type: "certificate";
      readonly secret: MeshObject<SecretSpec>;
      readonly chain: string;
      readonly key: string;
    }
  | {
      readonly type: "roots";
      readonly secret: MeshObject<SecretSpec>;
      readonly roots: string;
      readonly revocationList: string | undefined;
    }
  | {
      readonly type: "none";
      /** The Secret is there, and holds nothing of use. */
      readonly isThere: boolean;
      readonly problem: string;
    };

export function findCredential(objects: Pick<ObjectTable, "find">, asked: CredentialName): Credential {
  const { namespace, name, isRoots } = asked;
  if (asked.scheme === "configmap") return findRoots(objects, asked);
  const exact = objects.find("Secret", namespace, name);
  const secret = exact ?? (isRoots ? objects.find("Secret", namespace, name.slice(0, -rootsEnding.length)) : undefined);
  if (secret === undefined) return { type: "none", isThere: false, problem: `there is no Secret ${namespace}/${name}` };
  const credential = isRoots ? rootsOf(secret) : certificateOf(secret);
  if (typeof credential === "object") return credential;
  return { type: "none", isThere: true, problem: `the Secret ${namespace}/${secret.name} ${credential}` };
}

function findRoots(objects: Pick<ObjectTable, "find">, { namespace, name }: CredentialName): Credential {
  const key = name.endsWith(rootsEnding) ? name.slice(0, -rootsEnding.length) : name;
  const configMap = objects.find("ConfigMap", namespace, key);
  if (configMap === undefined)
    return { type: "none", isThere: false, problem: `there is no ConfigMap ${namespace}/${key}` };
  const credential = rootsOf(configMap);
  if (typeof credential === "object") return credential;
  return { type: "none", isThere: true, problem: `the ConfigMap ${namespace}/${key} ${credential}` };
}

function certificateOf(secret: MeshObject<SecretSpec>): Credential | string {
  const { certificate, key } = secret.spec;
  if (certificate === undefined || key === undefined) return "has neither tls.crt and tls.key nor cert and key";
  const read = readTlsCertificate(certificate, key);
  return typeof read === "string" ? read : { type: "certificate", secret, chain: certificate, key };
}

function rootsOf(secret: MeshObject<SecretSpec>): Credential | string {
  const { roots, revocationList } = secret.spec;
  if (roots === undefined) return "has neither ca.crt nor cacert";
  try {
    new X509Certificate(roots);
  } catch {
    return "has no readable root certificate";
  }
  return { type: "roots", secret, roots, revocationList };
}
