// Brings the installation's settings, the mesh's configuration and the pod's annotations together into what the
// templates read.
import type { Issue } from "#base/issue.ts";
import { annotationIssue, annotationName, isTrue } from "./annotations.ts";
import { proxyImage } from "./image.ts";
import type { InjectionInput } from "./injection.ts";
import { isRecord, podAnnotations, podLabels } from "./pod.ts";
import {
  defaultProxyConfig,
  mergeProxyConfig,
  proxyConfigDifference,
  readProxyConfigAnnotation,
} from "./proxy-config.ts";
import { parseJson } from "./status.ts";
import type { TemplateInput } from "./template/template-input.ts";
import { readValues } from "./values.ts";
import { workloadOwner } from "./workload-owner.ts";

const defaultProxyId = 1337;

export function resolveTemplateInput(
  { pod, namespace, context }: InjectionInput,
  user: { uid: number | undefined; gid: number | undefined },
): { input: TemplateInput; issues: Issue[] } {
  const annotations = podAnnotations(pod);
  const values = readValues(context.values);
  const mesh = context.meshConfig ?? {};
  const defaults = defaultProxyConfig(values.istioNamespace, values.revision);
  const fromMesh = mesh["defaultConfig"];
  const fromPod = readProxyConfigAnnotation(annotations[annotationName.proxyConfig]);
  const issues = [...fromPod.issues, ...userVolumeIssues(annotations)];
  const fromKind = context.proxyConfigs?.({ namespace, labels: podLabels(pod) });
  const proxyConfig = mergeProxyConfig([
    defaults,
    isRecord(fromMesh) ? fromMesh : {},
    ...(fromKind?.below ?? []),
    fromPod.config,
    fromKind?.above ?? {},
  ]);
  const native = annotations[annotationName.nativeSidecar];
  const trustDomain = text(mesh["trustDomain"]) || values.trustDomain || "cluster.local";
  const proxyUid = user.uid ?? context.proxyUid ?? defaultProxyId;
  const owner = context.owner ?? workloadOwner(pod);
  const input: TemplateInput = {
    pod,
    namespace,
    owner,
    values,
    proxyConfig,
    proxyConfigJson: proxyConfigDifference(proxyConfig, defaults),
    trustDomain,
    proxyListenPort: text(mesh["proxyListenPort"]) || "15001",
    proxyInboundListenPort: text(mesh["proxyInboundListenPort"]) || "15006",
    revision: context.revision || values.revision || "default",
    clusterId: context.clusterId ?? values.clusterName,
    network: podLabels(pod)["topology.istio.io/network"] ?? context.network ?? values.network,
    otelAttributes: wantsOtelAttributes(mesh["extensionProviders"]),
    injectedEnv: context.injectedEnv ?? {},
    nativeSidecar: native === undefined ? context.nativeSidecars !== false : isTrue(native),
    proxyUid,
    proxyGid: user.gid ?? context.proxyGid ?? context.proxyUid ?? defaultProxyId,
    image: proxyImage(values, annotations, proxyConfig.imageType),
  };
  return { input, issues };
}

function userVolumeIssues(annotations: Readonly<Record<string, string>>): Issue[] {
  return [annotationName.userVolume, annotationName.userVolumeMount].flatMap((name) => {
    const value = annotations[name];
    return value === undefined || isRecord(parseJson(value))
      ? []
      : [annotationIssue(name, "is not a JSON object from volume name to volume")];
  });
}

function wantsOtelAttributes(providers: unknown): boolean {
  return (
    Array.isArray(providers) &&
    providers.some((provider: unknown) => {
      const otel = isRecord(provider) ? provider["opentelemetry"] : undefined;
      return isRecord(otel) && otel["serviceAttributeEnrichment"] === "OTEL_SEMANTIC_CONVENTIONS";
    })
  );
}

function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" && value > 0 ? String(value) : "";
}
