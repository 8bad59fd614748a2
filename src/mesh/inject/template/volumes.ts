// Volumes that bring the proxy its token, roots and pod information, and where they are mounted.
import { annotationName } from "../annotations.ts";
import { isRecord, type JsonRecord, podAnnotations, type VolumeMount } from "../pod.ts";
import { trustBundleName } from "../trust-bundle-name.ts";
import type { TemplateInput } from "./template-input.ts";

export function proxyVolumes(input: TemplateInput, options: { revocationList: boolean }): JsonRecord[] {
  const volumes: JsonRecord[] = [
    { name: "workload-socket", emptyDir: {} },
    { name: "credential-socket", emptyDir: {} },
    { name: "workload-certs", emptyDir: {} },
    { name: "istio-envoy", emptyDir: { medium: "Memory" } },
    { name: "istio-data", emptyDir: {} },
    {
      name: "istio-podinfo",
      downwardAPI: {
        items: [
          { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
          { path: "annotations", fieldRef: { fieldPath: "metadata.annotations" } },
        ],
      },
    },
    {
      name: "istio-token",
      projected: {
        sources: [
          {
            serviceAccountToken: {
              audience: input.values.tokenAudience,
              expirationSeconds: 43200,
              path: "istio-token",
            },
          },
        ],
      },
    },
  ];
  if (input.values.certProvider === "istiod") {
    volumes.push({ name: "istiod-ca-cert", ...rootsVolume(input) });
    if (options.revocationList) {
      volumes.push({ name: "istio-ca-crl", configMap: { name: "istio-ca-crl", optional: true } });
    }
  }
  const override = podAnnotations(input.pod)[annotationName.bootstrapOverride];
  if (override !== undefined) volumes.push({ name: "custom-bootstrap-volume", configMap: { name: override } });
  for (const [name, volume] of userEntries(input, annotationName.userVolume)) volumes.push({ ...volume, name });
  return volumes;
}

function rootsVolume({ values }: TemplateInput): JsonRecord {
  if (!values.clusterTrustBundle) return { configMap: { name: "istio-ca-root-cert" } };
  const clusterTrustBundle = { name: trustBundleName, path: "root-cert.pem" };
  return { projected: { sources: [{ clusterTrustBundle }] } };
}

export function proxyVolumeMounts(input: TemplateInput, options: { revocationList: boolean }): VolumeMount[] {
  const mounts: VolumeMount[] = [
    { name: "workload-socket", mountPath: "/var/run/secrets/workload-spiffe-uds" },
    { name: "credential-socket", mountPath: "/var/run/secrets/credential-uds" },
    { name: "workload-certs", mountPath: "/var/run/secrets/workload-spiffe-credentials" },
  ];
  if (input.values.certProvider === "istiod") {
    mounts.push({ name: "istiod-ca-cert", mountPath: "/var/run/secrets/istio" });
    if (options.revocationList) mounts.push({ name: "istio-ca-crl", mountPath: "/var/run/secrets/istio/crl" });
  }
  mounts.push({ name: "istio-data", mountPath: "/var/lib/istio/data" });
  if (podAnnotations(input.pod)[annotationName.bootstrapOverride] !== undefined) {
    mounts.push({ name: "custom-bootstrap-volume", mountPath: "/etc/istio/custom-bootstrap" });
  }
  mounts.push(
    { name: "istio-envoy", mountPath: "/etc/istio/proxy" },
    { name: "istio-token", mountPath: "/var/run/secrets/tokens" },
    { name: "istio-podinfo", mountPath: "/etc/istio/pod" },
  );
  for (const [name, mount] of userEntries(input, annotationName.userVolumeMount)) {
    const mountPath = mount["mountPath"];
    if (typeof mountPath === "string") mounts.push({ ...mount, name, mountPath });
  }
  return mounts;
}

/** The annotation's JSON is checked before templates run (inject-pod.ts). */
function userEntries(input: TemplateInput, annotation: string): [string, JsonRecord][] {
  const text = podAnnotations(input.pod)[annotation];
  const value: unknown = text === undefined ? {} : JSON.parse(text);
  if (!isRecord(value)) return [];
  return Object.entries(value).filter((entry): entry is [string, JsonRecord] => isRecord(entry[1]));
}
