// Secrets as they come from the API server hold whatever their owners keep. Only certificates, and what pulls the images of
// modules, stay in our memory.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

const wantedKeys: ReadonlySet<string> = new Set([
  "tls.crt",
  "tls.key",
  "ca.crt",
  "ca.crl",
  "cert",
  "key",
  "cacert",
  "crl",
  ".dockerconfigjson",
]);

/** The object without other content; kubectl's copy of it in an annotation goes too. Other kinds stay as they are. */
export function withoutOtherContent(object: KubernetesObject): KubernetesObject {
  if (object.kind !== "Secret" || object.apiVersion !== "v1") return object;
  const data = Object.entries((object["data"] ?? {}) as Readonly<Record<string, unknown>>);
  const { annotations, ...metadata } = object.metadata;
  const kept = Object.entries(annotations ?? {}).filter(([name]) => !name.startsWith("kubectl.kubernetes.io/"));
  return {
    ...object,
    metadata: { ...metadata, ...(annotations !== undefined && { annotations: Object.fromEntries(kept) }) },
    data: Object.fromEntries(data.filter(([key]) => wantedKeys.has(key))),
  };
}
