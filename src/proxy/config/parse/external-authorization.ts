// What becomes of a filter that asks an external service (envoy.filters.{http,network}.ext_authz): this proxy cannot ask,
// so it denies what the service would have been asked about, and the rest of the chain works. Which requests those are
// is said by the shadow rules of an earlier RBAC filter, which mark them in dynamic metadata; without such a mark every
// request is meant. `failure_mode_allow` is not heeded: it is for a service that is down, not for one that is never asked.
import type { MetadataMatcher } from "#wire/gen/envoy/type/matcher/v3/metadata_pb.ts";
import type { Problems } from "../problems.ts";
import type { RbacPolicy, RbacRules } from "../rbac.ts";
import { decodeMetadataMatcher } from "./matcher.ts";

/** The shadow rules of one filter before, with what their mark in the metadata is called. */
export interface ShadowRules {
  readonly statPrefix: string;
  readonly rules: RbacRules;
}

const everything: RbacPolicy = { name: "external authorization", matches: () => true, conditions: [], origin: null };

export function denyUnasked(
  enabled: MetadataMatcher | undefined,
  shadows: readonly ShadowRules[],
  path: string,
  problems: Problems,
): RbacRules {
  const policies = enabled === undefined ? undefined : markedPolicies(enabled, shadows, path, problems);
  const names = policies?.map(({ name, origin }) => (origin === null ? name : `${origin.namespace}/${origin.name}`));
  const whose = names === undefined ? "all requests are" : `what ${[...new Set(names)].join(", ")} matches is`;
  problems.replaced(path, "asking an external authorization service", `${whose} denied`);
  return { action: "deny", policies: policies ?? [everything] };
}

/** Undefined when the mark is none that the filters before leave. */
function markedPolicies(
  enabled: MetadataMatcher,
  shadows: readonly ShadowRules[],
  path: string,
  problems: Problems,
): readonly RbacPolicy[] | undefined {
  const [key, ...more] = enabled.path.map((segment) => segment.segment.value);
  const shadow = shadows.find(({ statPrefix }) => key === `${statPrefix}shadow_effective_policy_id`);
  if (shadow === undefined || more.length > 0 || enabled.invert) return undefined;
  const test = decodeMetadataMatcher(enabled, `${path}.filter_enabled_metadata`, problems);
  return shadow.rules.policies.filter((policy) => test.matches({ [String(key)]: policy.name }));
}
