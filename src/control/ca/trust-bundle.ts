// The CA's roots as a ClusterTrustBundle (certificates.k8s.io/v1beta1), under istiod's name and signer: what pods project
// in place of ConfigMap `istio-ca-root-cert` where ENABLE_CLUSTER_TRUST_BUNDLE_API says so.
import { hasCode } from "#base/error.ts";
import { type CatalogEntry, catalogKind } from "#mesh/catalog.ts";
import { trustBundleName } from "#mesh/inject/trust-bundle-name.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";

const trustBundles = catalogKind("certificates.k8s.io/v1beta1", "ClusterTrustBundle");
const signerName = "istio.io/istiod-ca";

export class TrustBundle {
  readonly #client: KubernetesClient;
  readonly #text: () => string;
  #stored: KubernetesObject | undefined;

  constructor(client: KubernetesClient, text: () => string) {
    this.#client = client;
    this.#text = text;
  }

  readonly kind: CatalogEntry = trustBundles;
  readonly fieldSelector: string = `metadata.name=${trustBundleName}`;

  replace(objects: readonly KubernetesObject[]): void {
    this.#stored = undefined;
    for (const object of objects) this.apply(object);
  }

  apply(object: KubernetesObject): void {
    if (object.metadata.name === trustBundleName) this.#stored = object;
  }

  remove(object: KubernetesObject): void {
    if (object.metadata.name === trustBundleName) this.#stored = undefined;
  }

  get isDue(): boolean {
    const spec = this.#stored?.["spec"] as { readonly trustBundle?: unknown } | undefined;
    return spec?.trustBundle !== this.#text();
  }

  async write(): Promise<void> {
    const trustBundle = this.#text();
    if (this.#stored !== undefined) {
      this.#stored = await this.#client.update(trustBundles, { ...this.#stored, spec: { signerName, trustBundle } });
      return;
    }
    try {
      this.#stored = await this.#client.create(trustBundles, {
        apiVersion: "certificates.k8s.io/v1beta1",
        kind: "ClusterTrustBundle",
        metadata: { name: trustBundleName },
        spec: { signerName, trustBundle },
      });
    } catch (error) {
      // Another replica was quicker: its event comes.
      if (!hasCode(error, "API_ALREADY_EXISTS")) throw error;
    }
  }
}
