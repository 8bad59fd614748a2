// Policies and Sidecars against the rest: selectors without workloads, and several where only the oldest counts.
import { formatOrigin, Severity } from "#base/issue.ts";
import { type Labels, selects } from "../../objects/fields/selector.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

interface Selecting {
  readonly object: MeshObject<unknown>;
  readonly labels: Labels;
  readonly path: string;
}

export function checkPolicies(context: CheckContext): Finding[] {
  const { objects, meshConfig } = context;
  const root = meshConfig.rootNamespace;
  const peer = objects.all("PeerAuthentication").map(
    (object): Selecting => ({
      object,
      labels: object.spec.selector?.matchLabels ?? {},
      path: "spec.selector.matchLabels",
    }),
  );
  const authorization = objects.all("AuthorizationPolicy").map(
    (object): Selecting => ({
      object,
      labels: object.spec.selector?.matchLabels ?? {},
      path: "spec.selector.matchLabels",
    }),
  );
  const sidecars = objects.all("Sidecar").map(
    (object): Selecting => ({
      object,
      labels: object.spec.workloadSelector?.labels ?? {},
      path: "spec.workloadSelector.labels",
    }),
  );
  const envoyFilters = objects.all("EnvoyFilter").map(
    (object): Selecting => ({
      object,
      labels: object.spec.workloadSelector?.labels ?? {},
      path: "spec.workloadSelector.labels",
    }),
  );
  return [
    ...secondNamespaceWide(peer, "OUT0006"),
    ...secondNamespaceWide(sidecars, "IST0111"),
    ...ignoredInRoot(peer, root),
    ...[...peer, ...sidecars].flatMap((item) => unmatched(item, item.object.namespace, context)),
    ...[...authorization, ...envoyFilters].flatMap((item) =>
      unmatched(item, item.object.namespace === root ? undefined : item.object.namespace, context),
    ),
    ...objects.all("AuthorizationPolicy").flatMap((policy) => {
      const { targetRef, targetRefs } = policy.spec;
      if (targetRef === undefined && targetRefs.length === 0) return [];
      const path = targetRef === undefined ? "spec.targetRefs" : "spec.targetRef";
      const message = "policies with targetRefs are for Kubernetes gateways and waypoints, which are not in force yet";
      return [finding(policy, { code: "OUT0003", severity: Severity.Warning, path, message }, "nothing")];
    }),
  ];
}

/** Of several without a selector in a namespace the oldest counts. */
function secondNamespaceWide(items: readonly Selecting[], code: string): Finding[] {
  const wide = items.filter((item) => Object.keys(item.labels).length === 0);
  return [...Map.groupBy(wide, (item) => item.object.namespace).values()].flatMap(([first, ...others]) =>
    others.map(({ object }) => {
      const winner = first === undefined ? "" : formatOrigin(first.object.origin);
      const message = `${winner} is for the same namespace and older; this one has no effect`;
      return finding(object, { code, path: "spec", message, fix: "keep one of them" }, "shadowed");
    }),
  );
}

function ignoredInRoot(items: readonly Selecting[], root: string): Finding[] {
  return items
    .filter((item) => item.object.namespace === root && Object.keys(item.labels).length > 0)
    .map(({ object, path }) => {
      const message = `a PeerAuthentication with a selector has no effect in the root namespace ${root}`;
      return finding(object, { code: "IST0167", severity: Severity.Warning, path, message }, "nothing");
    });
}

/** Nothing is said while no pod is known at all: then the workloads are not in this snapshot. */
function unmatched(
  { object, labels, path }: Selecting,
  namespace: string | undefined,
  context: CheckContext,
): Finding[] {
  const { objects } = context;
  if (Object.keys(labels).length === 0 || objects.all("Pod").length === 0) return [];
  const pods = namespace === undefined ? objects.all("Pod") : objects.inNamespace("Pod", namespace);
  const entries =
    namespace === undefined ? objects.all("WorkloadEntry") : objects.inNamespace("WorkloadEntry", namespace);
  if (pods.some((pod) => selects(labels, pod.metadata.labels ?? {}))) return [];
  if (entries.some((entry) => selects(labels, { ...entry.metadata.labels, ...entry.spec.labels }))) return [];
  const wanted = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  const message = `no workload ${namespace === undefined ? "of the mesh" : `in namespace ${namespace}`} carries the labels ${wanted.join(", ")}`;
  return [finding(object, { code: "IST0127", severity: Severity.Warning, path, message }, "nothing")];
}
