// XBackendTrafficPolicies as retry budgets of DestinationRules, as far as Istio understands them.
import type { BackendTrafficPolicySpec, RetryConstraint } from "../kinds/x-backend-traffic-policy/spec.ts";
import type { RetryBudget } from "../objects/fields/traffic-policy.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import {
  findPlaces,
  type HostPolicies,
  isForUs,
  type ServedPolicy,
  type ServedTarget,
  type UnusedField,
} from "./backend-policies.ts";
import type { GatewayApiInput } from "./input.ts";

type Policy = MeshObject<BackendTrafficPolicySpec>;

export function backendTraffic(input: GatewayApiInput, hosts: HostPolicies): ServedPolicy[] {
  return input.backendTrafficPolicies.filter(isForUs).map((object): ServedPolicy => {
    const { targetRefs, retryConstraint } = object.spec;
    const targets = targetRefs.map((target, index): ServedTarget => {
      const found =
        target.group === "" && target.kind === "Service"
          ? findPlaces(target, object.namespace, input)
          : `a traffic policy cannot be about ${target.group || "core"}/${target.kind}; it can be about a Service`;
      if (typeof found === "string") return { index, target, problem: { reason: "TargetNotFound", message: found } };
      if (retryConstraint === undefined) return { index, target };
      const claim = { object, index, settings: retryBudget(retryConstraint) };
      return { index, target, problem: found.flatMap((place) => hosts.claimRetries(place, claim) ?? [])[0] };
    });
    return { object, targets, unused: withoutEffect(object) };
  });
}

/** The Gateway API's defaults; its rate of retries is Istio's number of concurrent ones. */
function retryBudget({ budget, minRetryRate }: RetryConstraint): RetryBudget {
  return { percent: budget?.percent ?? 20, minRetryConcurrency: minRetryRate?.count ?? 10 };
}

/** What the definition of the kind fills in is no wish of anybody. */
const defaultIntervalsMs = { budget: 10_000, minRetryRate: 1000 };

function withoutEffect({ spec: { sessionPersistence, retryConstraint } }: Policy): UnusedField[] {
  const unused: UnusedField[] = [];
  if (sessionPersistence !== undefined) {
    const message = "sessions of a policy are not kept, as in Istio; those of a route's rule are";
    unused.push({ path: "spec.sessionPersistence", message });
  }
  for (const field of ["budget", "minRetryRate"] as const) {
    const interval = retryConstraint?.[field]?.interval;
    if (interval === undefined || interval === defaultIntervalsMs[field]) continue;
    const message = "the budget is a share of the requests that are open, as in Istio";
    unused.push({ path: `spec.retryConstraint.${field}.interval`, message });
  }
  return unused;
}
