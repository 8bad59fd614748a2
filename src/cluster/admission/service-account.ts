// Gives every container of a pod the token of its service account, as Kubernetes' ServiceAccount admission does: one
// projected volume with the token, the cluster's CA and the namespace.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../store/errors.ts";
import { asArray, asRecord, fieldAt, isRecord, type JsonRecord } from "../store/json.ts";
import { randomSuffix } from "../store/object-name.ts";
import { serviceAccounts } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import { mapItems } from "./defaults/fields.ts";

const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
const volumePrefix = "kube-api-access-";

/** The pod with the volume and its mounts. FORBIDDEN when its service account does not exist. */
export function withServiceAccountToken(store: ObjectStore, pod: KubernetesObject): KubernetesObject {
  const { spec } = pod;
  if (!isRecord(spec)) return pod; // validation refuses it
  const accountName = String(spec["serviceAccountName"]);
  const account = store.get(serviceAccounts, pod.metadata.namespace ?? "", accountName);
  if (account === undefined) {
    const place = `${pod.metadata.namespace}/${accountName}`;
    throw apiError("FORBIDDEN", `error looking up service account ${place}: serviceaccount "${accountName}" not found`);
  }
  const automount = spec["automountServiceAccountToken"] ?? fieldAt(account, "automountServiceAccountToken") ?? true;
  if (automount !== true) return pod;
  return { ...pod, spec: mountToken(spec) };
}

function mountToken(given: JsonRecord): JsonRecord {
  const lacksMount = [...asArray(given["initContainers"]), ...asArray(given["containers"])].some(
    (container) => !hasMount(asRecord(container)),
  );
  if (!lacksMount) return given;
  const existing = asArray(given["volumes"]).find((volume) => isTokenVolume(asRecord(volume)));
  const name = existing === undefined ? `${volumePrefix}${randomSuffix(5)}` : String(asRecord(existing)["name"]);
  const spec =
    existing === undefined ? { ...given, volumes: [...asArray(given["volumes"]), tokenVolume(name)] } : given;
  const mount = (container: JsonRecord): JsonRecord => {
    if (hasMount(container)) return container;
    return { ...container, volumeMounts: [...asArray(container["volumeMounts"]), { name, readOnly: true, mountPath }] };
  };
  return mapItems(mapItems(spec, "initContainers", mount), "containers", mount);
}

function hasMount(container: JsonRecord): boolean {
  return asArray(container["volumeMounts"]).some((mount) => asRecord(mount)["mountPath"] === mountPath);
}

function isTokenVolume(volume: JsonRecord): boolean {
  return String(volume["name"]).startsWith(volumePrefix) && volume["projected"] !== undefined;
}

function tokenVolume(name: string): JsonRecord {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
          },
        },
      ],
    },
  };
}
