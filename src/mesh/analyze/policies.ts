// Policies that reach nobody: IST0166, selectors that gateways of the Gateway API do not heed; IST0127, policies for an
// empty namespace; IST0101, namespaces in sources that are not there.
import { type Issue, Severity } from "#base/issue.ts";
import type { AuthorizationPolicySpec, Source } from "../kinds/authorization-policy/spec.ts";
import { type PolicyTarget, targetsOf } from "../objects/fields/policy-target.ts";
import { selects } from "../objects/fields/selector.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { type AnalysisContext, issueOf } from "./context.ts";

const gatewayName = "gateway.networking.k8s.io/gateway-name";

export function checkGatewaySelectors({ objects }: AnalysisContext): Issue[] {
  const policies: readonly MeshObject<PolicyTarget>[] = [
    ...objects.all("AuthorizationPolicy"),
    ...objects.all("RequestAuthentication"),
    ...objects.all("Telemetry"),
  ];
  return policies.flatMap((policy) => {
    const labels = policy.spec.selector?.matchLabels ?? {};
    if (policy.spec.selector === undefined || targetsOf(policy.spec).length > 0) return [];
    const pod = objects
      .inNamespace("Pod", policy.namespace)
      .find(({ metadata }) => metadata.labels?.[gatewayName] !== undefined && selects(labels, metadata.labels));
    if (pod === undefined) return [];
    const gateway = pod.metadata.labels?.[gatewayName];
    const message = `the selector selects pods of the Gateway ${gateway}, which is chosen by targetRefs`;
    const fix = `targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: ${gateway} }]`;
    const problem = { code: "IST0166", severity: Severity.Warning, path: "spec.selector", message, fix };
    return [issueOf(policy, problem)];
  });
}

export function checkAuthorizationPolicies({ objects, snapshot, written }: AnalysisContext): Issue[] {
  const root = snapshot.meshConfig.rootNamespace;
  const namespaces = written.ofKind("Namespace").map(({ name }) => name);
  return objects
    .all("AuthorizationPolicy")
    .flatMap((policy) => [
      ...(policy.namespace === root ? [] : emptyNamespace(policy, objects)),
      ...(namespaces.length === 0 ? [] : unknownNamespaces(policy, namespaces)),
    ]);
}

function emptyNamespace(policy: MeshObject<AuthorizationPolicySpec>, objects: AnalysisContext["objects"]): Issue[] {
  const hasSelector = Object.keys(policy.spec.selector?.matchLabels ?? {}).length > 0;
  if (hasSelector || targetsOf(policy.spec).length > 0 || objects.all("Pod").length === 0) return [];
  if (objects.inNamespace("Pod", policy.namespace).length > 0) return [];
  if (objects.inNamespace("WorkloadEntry", policy.namespace).length > 0) return [];
  const message = `the namespace ${policy.namespace} has no workloads`;
  return [issueOf(policy, { code: "IST0127", severity: Severity.Warning, path: "metadata.namespace", message })];
}

function unknownNamespaces(policy: MeshObject<AuthorizationPolicySpec>, known: readonly string[]): Issue[] {
  const of = (source: Source, path: string): Issue[] =>
    (["namespaces", "notNamespaces"] as const).flatMap((field) =>
      source[field].flatMap((pattern, index) => {
        if (known.some((name) => matches(pattern, name))) return [];
        const message = `there is no namespace ${pattern}`;
        return [issueOf(policy, { code: "IST0101", path: `${path}.${field}[${index}]`, message })];
      }),
    );
  return policy.spec.rules.flatMap(({ from }, index) =>
    from.flatMap(({ source }, at) =>
      source === undefined ? [] : of(source, `spec.rules[${index}].from[${at}].source`),
    ),
  );
}

/** `*` at either end stands for anything. */
function matches(pattern: string, name: string): boolean {
  if (pattern.startsWith("*")) return name.endsWith(pattern.slice(1));
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
