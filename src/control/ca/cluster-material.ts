// The CA's material in the cluster: Secret `cacerts` when an operator plugged one in, else Secret `istio-ca-secret`,
// made at the first start. When two replicas start at once, the Secret that was created first counts.
import { hasCode, OutriggerError } from "#base/error.ts";
import { catalogKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import {
  type AuthorityMaterial,
  checkMaterial,
  createSelfSignedMaterial,
  materialFiles,
  readMaterial,
  renewSelfSignedMaterial,
} from "./material.ts";
import { isRenewalDue } from "./root-renewal.ts";

export const pluggedInSecretName = "cacerts";
export const selfSignedSecretName = "istio-ca-secret";

export interface ClusterMaterialOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  readonly trustDomain: string;
  readonly rootTtlMs: number;
  readonly now: () => number;
}

export interface ClusterMaterial {
  readonly secretName: string;
  readonly material: AuthorityMaterial;
}

const secrets = catalogKind("v1", "Secret");

/** Throws CA_MATERIAL_INVALID when what is there cannot be used; a self-signed root that has ended is renewed first. */
export async function loadClusterMaterial(options: ClusterMaterialOptions): Promise<ClusterMaterial> {
  const { client, namespace } = options;
  const pluggedIn = readMaterialSecret(await client.find(secrets, { name: pluggedInSecretName, namespace }));
  if (pluggedIn !== undefined) {
    checkMaterial(pluggedIn, options.now());
    return { secretName: pluggedInSecretName, material: pluggedIn };
  }
  return { secretName: selfSignedSecretName, material: await loadSelfSigned(options) };
}

async function loadSelfSigned(options: ClusterMaterialOptions): Promise<AuthorityMaterial> {
  const { client, namespace, trustDomain, rootTtlMs, now } = options;
  const stored = await readSelfSigned(client, namespace);
  if (stored === undefined) return createSelfSigned(client, namespace, trustDomain, rootTtlMs, now());
  if (isRenewalDue(stored, { gracePercent: 0 }, now())) {
    const renewed = renewSelfSignedMaterial(stored, now(), rootTtlMs);
    await writeSelfSigned(client, namespace, stored, renewed);
    return renewed;
  }
  checkMaterial(stored, now());
  return stored;
}

async function createSelfSigned(
  client: KubernetesClient,
  namespace: string,
  ...[trustDomain, rootTtlMs, nowMs]: [string, number, number]
): Promise<AuthorityMaterial> {
  const material = createSelfSignedMaterial(trustDomain, nowMs, rootTtlMs);
  try {
    await client.create(secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: selfSignedSecretName, namespace },
      type: "istio.io/ca-root",
      data: secretData(material),
    });
    return material;
  } catch (error) {
    if (!hasCode(error, "API_ALREADY_EXISTS")) throw error;
    return (await readSelfSigned(client, namespace)) ?? material;
  }
}

/** Undefined where there is none yet. */
export async function readSelfSigned(
  client: KubernetesClient,
  namespace: string,
): Promise<AuthorityMaterial | undefined> {
  return readMaterialSecret(await client.find(secrets, { name: selfSignedSecretName, namespace }));
}

/** Throws API_CONFLICT unless what is stored is the expected, as when another replica has written. */
export async function writeSelfSigned(
  client: KubernetesClient,
  namespace: string,
  expected: AuthorityMaterial,
  material: AuthorityMaterial,
): Promise<void> {
  const stored = await client.get(secrets, { name: selfSignedSecretName, namespace });
  if (readMaterialSecret(stored)?.caCertificate !== expected.caCertificate) {
    throw new OutriggerError("API_CONFLICT", `Secret ${namespace}/${selfSignedSecretName} was changed in between`);
  }
  await client.update(secrets, { ...stored, data: secretData(material) });
}

/** Reads a Secret's data; undefined when it is absent or holds no CA. */
export function readMaterialSecret(secret: KubernetesObject | undefined): AuthorityMaterial | undefined {
  return secret === undefined ? undefined : readMaterial((name) => readSecretText(secret, name));
}

/** One key's text; undefined where it is absent or empty. */
export function readSecretText(secret: KubernetesObject, key: string): string | undefined {
  const data = secret["data"] as Readonly<Record<string, unknown>> | undefined | null;
  const value = data?.[key];
  return typeof value === "string" && value !== "" ? Buffer.from(value, "base64").toString("utf8") : undefined;
}

function secretData(material: AuthorityMaterial): Record<string, string> {
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  return {
    [materialFiles.caCertificate]: encode(material.caCertificate),
    [materialFiles.caKey]: encode(material.caKey),
    [materialFiles.rootCertificates]: encode(material.rootCertificates),
    [materialFiles.certificateChain]: encode(material.certificateChain),
  };
}
