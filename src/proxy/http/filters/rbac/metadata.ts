// What an RBAC filter says to the filters and logs behind it, in dynamic metadata.
import type { FilterMetadata } from "../../../config/http.ts";
import type { RbacVerdict } from "../../../config/rbac.ts";

const namespace = "envoy.filters.http.rbac";

/** `shadow_effective_policy_id` is how a filter behind knows that a policy matched. */
export function shadowMetadata({ allowed, policy }: RbacVerdict, prefix: string): FilterMetadata {
  const result = { [`${prefix}shadow_engine_result`]: allowed ? "allowed" : "denied" };
  if (policy === null) return { namespace, values: result };
  return { namespace, values: { ...result, [`${prefix}shadow_effective_policy_id`]: policy.name } };
}

export function enforcedMetadata({ allowed, policy }: RbacVerdict, prefix: string): FilterMetadata {
  const result = { [`${prefix}enforced_engine_result`]: allowed ? "allowed" : "denied" };
  if (policy === null) return { namespace, values: result };
  return { namespace, values: { ...result, [`${prefix}enforced_effective_policy_id`]: policy.name } };
}

/** What LOG rules tell access logs. */
export function hintMetadata(logs: boolean): FilterMetadata {
  return { namespace: "envoy.common", values: { access_log_hint: logs } };
}
