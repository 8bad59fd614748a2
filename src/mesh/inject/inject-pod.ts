// Adds the proxy to a pod: undo an earlier injection, lay the templates over the pod, lay the user's own words over
// the result, then rewrite probes and scrape annotations. Pure: the same input gives the same pod.
import { isDeepStrictEqual } from "node:util";
import type { Issue } from "#base/issue.ts";
import { annotationName, isTrue, validateAnnotations } from "./annotations.ts";
import { orderContainers } from "./container-order.ts";
import { undoEarlierInjection } from "./earlier-injection.ts";
import type { InjectionContext, InjectionInput, InjectionResult } from "./injection.ts";
import { overlay } from "./overlay.ts";
import { type Container, type Pod, podAnnotations, proxyContainerName } from "./pod.ts";
import { rewriteProbes } from "./probes.ts";
import { mergePrometheus } from "./prometheus.ts";
import { resolveTemplateInput } from "./resolve-settings.ts";
import { shouldInject } from "./should-inject.ts";
import { encodeStatus } from "./status.ts";
import type { TemplateInput } from "./template/template-input.ts";
import { buildTemplates } from "./template/templates.ts";
import {
  applyUserContainers,
  findUserContainers,
  moveProxyToInitContainers,
  userProxyIdentity,
} from "./user-containers.ts";

export function injectPod(input: InjectionInput): InjectionResult {
  const { pod, namespace, context } = input;
  const decision = shouldInject(pod, namespace, context.config);
  if (!decision.inject) return { skipped: decision.reason };

  const issues: Issue[] = validateAnnotations(podAnnotations(pod));
  const restored = undoEarlierInjection(pod);
  const settings = resolveTemplateInput({ pod: restored, namespace, context }, userProxyIdentity(restored));
  issues.push(...settings.issues);
  if (issues.length > 0) return { issues };

  const templates = buildTemplates(settings.input, context.config ?? {});
  if (templates.issues.length > 0) return { issues: templates.issues };
  const proxyIsInit = templates.added.spec.initContainers?.some((container) => container.name === proxyContainerName);
  const user = proxyIsInit === true ? moveProxyToInitContainers(restored) : restored;
  const withTemplates = templates.layers.reduce<Pod>((below, layer) => overlay(below, layer), user);
  const merged = applyUserContainers(withTemplates, findUserContainers(user, templates.added));

  const finished = finish(merged, templates.added, settings.input, context);
  if (finished.issues.length > 0) return { issues: finished.issues };
  return { pod: finished.pod, patchNeeded: !isDeepStrictEqual(finished.pod, pod) };
}

/** What is done once all templates are in: metrics, probes, status, order. */
function finish(
  merged: Pod,
  added: Pod,
  input: TemplateInput,
  context: InjectionContext,
): { pod: Pod; issues: readonly Issue[] } {
  const annotations = podAnnotations(merged);
  const { statusPort } = input.proxyConfig;
  const env: { name: string; value: string }[] = [];
  let { containers = [], initContainers = [] } = merged.spec;

  if (probesAreRewritten(input)) {
    const apps = rewriteProbes(containers, statusPort);
    const inits = rewriteProbes(initContainers, statusPort);
    const probers = { ...apps.probers, ...inits.probers };
    const paths = Object.keys(probers).sort();
    if (paths.length > 0) {
      const ordered = Object.fromEntries(paths.map((path) => [path, probers[path]]));
      env.push({ name: "ISTIO_KUBE_APP_PROBERS", value: JSON.stringify(ordered) });
    }
    containers = apps.containers;
    initContainers = inits.containers;
  }
  const metrics = metricsAreMerged(input, context)
    ? mergePrometheus(annotations, statusPort)
    : { annotations, configuration: undefined, issues: [] };
  if (metrics.configuration !== undefined) {
    env.push({ name: "ISTIO_PROMETHEUS_ANNOTATIONS", value: JSON.stringify(metrics.configuration) });
  }
  const withEnv = (list: readonly Container[]): readonly Container[] =>
    list.map((container) =>
      container.name === proxyContainerName && env.length > 0
        ? { ...container, env: [...(container.env ?? []), ...env] }
        : container,
    );
  const pod: Pod = {
    ...merged,
    metadata: {
      ...merged.metadata,
      annotations: {
        ...metrics.annotations,
        [annotationName.status]: encodeStatus(added.spec, input.revision),
        ...context.config?.injectedAnnotations,
      },
      labels: {
        ...merged.metadata?.labels,
        ...(input.network !== "" && { "topology.istio.io/network": input.network }),
      },
    },
    spec: { ...merged.spec, containers: withEnv(containers), initContainers: withEnv(initContainers) },
  };
  const hold = input.proxyConfig.holdApplication || input.values.proxy.holdApplicationUntilProxyStarts;
  return { pod: withoutEmptyLists(orderContainers(pod, hold)), issues: metrics.issues };
}

function probesAreRewritten(input: TemplateInput): boolean {
  const own = podAnnotations(input.pod)[annotationName.rewriteProbes];
  return own === undefined ? input.values.rewriteProbes : isTrue(own);
}

function metricsAreMerged(input: TemplateInput, context: InjectionContext): boolean {
  const own = podAnnotations(input.pod)[annotationName.mergeMetrics];
  return own === undefined ? context.meshConfig?.["enablePrometheusMerge"] !== false : isTrue(own);
}

function withoutEmptyLists(pod: Pod): Pod {
  const spec = Object.fromEntries(
    Object.entries(pod.spec).filter(
      ([field, value]) => field === "containers" || !Array.isArray(value) || value.length > 0,
    ),
  );
  return { ...pod, spec };
}
