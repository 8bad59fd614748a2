// The mesh's own objects in the embedded cluster: the manifests of deploy/embedded and the injection webhook.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { parseYamlDocuments } from "#mesh/objects/yaml.ts";

export interface SystemObjects {
  readonly controlPlane: readonly KubernetesObject[];
  /** Injected, so they come when the webhook answers. */
  readonly gateway: readonly KubernetesObject[];
}

export function systemObjects(packageRoot: string): SystemObjects {
  const read = (name: string): readonly KubernetesObject[] => {
    const path = join(packageRoot, "deploy/embedded", name);
    return parseYamlDocuments(path, readFileSync(path, "utf8")).objects.map((parsed) => parsed.object);
  };
  return { controlPlane: read("istiod.yaml"), gateway: read("ingress-gateway.yaml") };
}
