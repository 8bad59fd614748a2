// Finds the CA's material in the cluster: Secret `cacerts` when an operator plugged one in, else Secret
// `istio-ca-secret`, made at the first start. When two replicas start at once, the Secret that was created first counts.
import { hasCode } from "#base/error.ts";
import { type CatalogEntry, findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import { type AuthorityMaterial, createSelfSignedMaterial, materialFiles, readMaterial } from "./material.ts";

export const pluggedInSecretName = "cacerts";
export const selfSignedSecretName = "istio-ca-secret";

export interface ClusterMaterialOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  readonly trustDomain: string;
  readonly nowMs: number;
}

export async function loadClusterMaterial(options: ClusterMaterialOptions): Promise<AuthorityMaterial> {
  const { client, namespace } = options;
  const secrets = secretKind();
  for (const name of [pluggedInSecretName, selfSignedSecretName]) {
    const material = readMaterialSecret(await client.find(secrets, { name, namespace }));
    if (material !== undefined) return material;
  }
  const material = createSelfSignedMaterial(options.trustDomain, options.nowMs);
  try {
    await client.create(secrets, selfSignedSecret(namespace, material));
    return material;
  } catch (error) {
    if (!hasCode(error, "API_ALREADY_EXISTS")) throw error;
    return readMaterialSecret(await client.get(secrets, { name: selfSignedSecretName, namespace })) ?? material;
  }
}

/** Reads a Secret's data; undefined when it is absent or holds no CA. */
export function readMaterialSecret(secret: KubernetesObject | undefined): AuthorityMaterial | undefined {
  const data = secret?.["data"] as Readonly<Record<string, unknown>> | undefined;
  if (data === undefined || data === null) return undefined;
  return readMaterial((name) => {
    const value = data[name];
    return typeof value === "string" && value !== "" ? Buffer.from(value, "base64").toString("utf8") : undefined;
  });
}

function selfSignedSecret(namespace: string, material: AuthorityMaterial): KubernetesObject {
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: selfSignedSecretName, namespace },
    type: "istio.io/ca-root",
    data: {
      [materialFiles.caCertificate]: encode(material.caCertificate),
      [materialFiles.caKey]: encode(material.caKey),
      [materialFiles.rootCertificates]: encode(material.rootCertificates),
      [materialFiles.certificateChain]: encode(material.certificateChain),
    },
  };
}

function secretKind(): CatalogEntry {
  const entry = findKind("v1", "Secret");
  if (entry === undefined) throw new TypeError("Secret is not in the catalog");
  return entry;
}
