// Policies and Sidecars against the rest: selectors without workloads, and several where only the oldest counts.
import { formatOrigin, Severity } from "#base/issue.ts";
import type { AuthorizationPolicySpec } from "../../kinds/authorization-policy/spec.ts";
import { type PolicyTarget, targetsOf } from "../../objects/fields/policy-target.ts";
import { type Labels, selects, type WorkloadSelector } from "../../objects/fields/selector.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";
import { whyIdle } from "./targets.ts";

interface Selecting {
  readonly object: MeshObject<unknown>;
  readonly labels: Labels;
  readonly path: string;
}

export function checkPolicies(context: CheckContext): Finding[] {
  const { objects, meshConfig } = context;
  const root = meshConfig.rootNamespace;
  const peer = selecting(objects.all("PeerAuthentication"));
  const request = [
    ...objects.all("AuthorizationPolicy"),
    ...objects.all("RequestAuthentication"),
    ...objects.all("WasmPlugin"),
    ...objects.all("TrafficExtension"),
  ];
  const targeting = selecting(request);
  const telemetries = selecting(objects.all("Telemetry").filter(({ spec }) => targetsOf(spec).length === 0));
  const proxyConfigs = selecting(objects.all("ProxyConfig"));
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
    ...secondNamespaceWide(telemetries, "IST0160"),
    ...secondNamespaceWide(proxyConfigs, "OUT0006"),
    ...ignoredInRoot(peer, root),
    ...[...peer, ...proxyConfigs].flatMap((item) => unmatched(item, item.object.namespace, context)),
    ...[...sidecars, ...telemetries].flatMap((item) => unmatched(item, item.object.namespace, context, "IST0101")),
    ...[...targeting, ...envoyFilters].flatMap((item) =>
      unmatched(item, item.object.namespace === root ? undefined : item.object.namespace, context),
    ),
    ...[...request, ...objects.all("Telemetry")].flatMap((policy) => untargeted(policy, context)),
    ...objects.all("AuthorizationPolicy").flatMap((policy) => unknownProvider(policy, context)),
    ...severalProviders(context),
  ];
}

function selecting(objects: readonly MeshObject<{ readonly selector?: WorkloadSelector }>[]): Selecting[] {
  return objects.map((object) => ({
    object,
    labels: object.spec.selector?.matchLabels ?? {},
    path: "spec.selector.matchLabels",
  }));
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

/** Targets that no pod belongs to, and kinds of targets that only waypoints have. */
function untargeted(policy: MeshObject<PolicyTarget>, context: CheckContext): Finding[] {
  const { spec } = policy;
  const references = targetsOf(spec);
  const idle = references.flatMap((reference, index) => {
    const why = whyIdle(policy.namespace, reference, context);
    const path = spec.targetRef === undefined ? `spec.targetRefs[${index}]` : "spec.targetRef";
    return why === undefined ? [] : [{ path, severity: Severity.Warning, ...why }];
  });
  const effect = idle.length === references.length ? "nothing" : "partly";
  return idle.map((problem) => finding(policy, problem, effect));
}

/** Without its provider a CUSTOM policy denies what its rules match. */
function unknownProvider(
  policy: MeshObject<AuthorizationPolicySpec>,
  { services, meshConfig }: CheckContext,
): Finding[] {
  const name = policy.spec.provider?.name;
  if (name === undefined) return [];
  const all = meshConfig.rest["extensionProviders"];
  const providers = (Array.isArray(all) ? all : []) as ExtensionProvider[];
  const provider = providers.find((item) => item?.name === name);
  const settings = provider?.envoyExtAuthzHttp ?? provider?.envoyExtAuthzGrpc;
  const denied = "requests that the rules match are denied";
  if (settings === undefined) {
    const known = providers.flatMap((item) => (typeof item?.name === "string" ? [item.name] : []));
    const message = `mesh configuration has no external authorization provider "${name}": ${denied}`;
    const fix = `add it to extensionProviders${known.length === 0 ? "" : ` (known: ${known.join(", ")})`}`;
    return [finding(policy, { code: "IST0101", path: "spec.provider.name", message, fix }, "partly")];
  }
  const host = String(settings.service ?? "")
    .replace(/^.*\//, "")
    .toLowerCase();
  if (services.byHostname.has(host)) return [];
  const message = `the provider "${name}" is the service ${host}, which does not exist: ${denied}`;
  return [finding(policy, { code: "IST0101", path: "spec.provider.name", message }, "partly")];
}

/** Policies of several providers for one workload deny, unless that is switched on. */
function severalProviders({ objects, severalProviders: isAllowed, authorization }: CheckContext): Finding[] {
  const all = objects.all("AuthorizationPolicy").filter(({ spec }) => spec.provider !== undefined);
  if (isAllowed || new Set(all.map(({ spec }) => spec.provider?.name)).size < 2) return [];
  const found = new Map<MeshObject<AuthorizationPolicySpec>, Finding>();
  for (const pod of objects.all("Pod")) {
    const { custom } = authorization({ namespace: pod.namespace, labels: pod.metadata.labels ?? {} });
    const names = [...new Set(custom.map(({ spec }) => spec.provider?.name ?? ""))].sort();
    if (names.length < 2) continue;
    const where = `pod ${pod.namespace}/${pod.name}`;
    const message = `CUSTOM policies of several providers (${names.join(", ")}) are for ${where}: requests that the rules match are denied`;
    const fix = "one provider for a workload, or PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS=true at istiod";
    const problem = { code: "OUT0010", severity: Severity.Warning, path: "spec.provider.name", message, fix };
    for (const policy of custom) if (!found.has(policy)) found.set(policy, finding(policy, problem, "partly"));
  }
  return [...found.values()];
}

interface ExtensionProvider {
  readonly name?: unknown;
  readonly envoyExtAuthzHttp?: { readonly service?: unknown };
  readonly envoyExtAuthzGrpc?: { readonly service?: unknown };
}

/** Nothing is said while no pod is known at all: then the workloads are not in this snapshot. */
function unmatched(
  { object, labels, path }: Selecting,
  namespace: string | undefined,
  context: CheckContext,
  code = "IST0127",
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
  return [finding(object, { code, severity: Severity.Warning, path, message }, "nothing")];
}
