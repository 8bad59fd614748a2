// Undoes an earlier injection, so that injecting an injected pod gives the same pod (or the pod that today's
// settings ask for) and never a mixture.
import { annotationName } from "./annotations.ts";
import { type Container, findContainer, isRecord, type Pod, podAnnotations, proxyContainerName } from "./pod.ts";
import { type AppProber, restoreProbes } from "./probes.ts";
import { restorePrometheus, type ScrapeConfiguration } from "./prometheus.ts";
import { decodeStatus, parseJson } from "./status.ts";
import { readOverrides } from "./user-containers.ts";

/** The pod as it was before; the same pod when it was never injected. */
export function undoEarlierInjection(pod: Pod): Pod {
  const annotations = podAnnotations(pod);
  const text = annotations[annotationName.status];
  const status = text === undefined ? undefined : decodeStatus(text);
  if (status === undefined) return pod;
  const proxy = findContainer(pod.spec, proxyContainerName);
  const overrides = readOverrides(pod);
  const probers = environmentJson(proxy, "ISTIO_KUBE_APP_PROBERS") as Readonly<Record<string, AppProber>>;
  const scrape = environmentJson(proxy, "ISTIO_PROMETHEUS_ANNOTATIONS") as ScrapeConfiguration;
  const keep = (names: readonly string[]) => (item: { readonly name?: unknown }) => !names.includes(String(item.name));
  const restore = (
    containers: readonly Container[] | undefined,
    added: readonly string[],
    user: readonly Container[],
  ): readonly Container[] =>
    restoreProbes(
      [...(containers ?? []).filter(keep(added)), ...user.map((container) => ({ image: "auto", ...container }))],
      probers,
    );
  const { [annotationName.status]: _status, [annotationName.overrides]: _overrides, ...rest } = annotations;
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations: restorePrometheus(rest, scrape) },
    spec: {
      ...pod.spec,
      containers: restore(pod.spec.containers, status.containers, overrides.containers),
      initContainers: restore(pod.spec.initContainers, status.initContainers, overrides.initContainers),
      volumes: (pod.spec.volumes ?? []).filter(keep(status.volumes)),
      imagePullSecrets: (pod.spec.imagePullSecrets ?? []).filter(keep(status.imagePullSecrets)),
    },
  };
}

function environmentJson(container: Container | undefined, name: string): unknown {
  const value = parseJson(container?.env?.find((variable) => variable.name === name)?.value ?? "{}");
  return isRecord(value) ? value : {};
}
