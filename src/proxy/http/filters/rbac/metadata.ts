// What an RBAC filter says to the filters and logs behind it, in dynamic metadata.
import type { FilterMetadata } from "../../../config/http.ts";
import type { RbacPolicy, RbacVerdict } from "../../../config/rbac.ts";

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

/** What is told of a policy is the same for every request of the same settings, and made once. */
export class ToldMetadata {
  readonly #enforced = new Map<RbacPolicy | boolean, FilterMetadata>();
  readonly #shadow = new Map<RbacPolicy | boolean, FilterMetadata>();

  enforced(verdict: RbacVerdict, prefix: string): FilterMetadata {
    return remembered(this.#enforced, verdict, prefix, enforcedMetadata);
  }

  shadow(verdict: RbacVerdict, prefix: string): FilterMetadata {
    return remembered(this.#shadow, verdict, prefix, shadowMetadata);
  }
}

function remembered(
  known: Map<RbacPolicy | boolean, FilterMetadata>,
  verdict: RbacVerdict,
  prefix: string,
  make: (verdict: RbacVerdict, prefix: string) => FilterMetadata,
): FilterMetadata {
  const key = verdict.policy ?? verdict.allowed;
  let metadata = known.get(key);
  if (metadata === undefined) {
    metadata = make(verdict, prefix);
    known.set(key, metadata);
  }
  return metadata;
}

/** What LOG rules tell access logs. */
export function hintMetadata(logs: boolean): FilterMetadata {
  return { namespace: "envoy.common", values: { access_log_hint: logs } };
}
