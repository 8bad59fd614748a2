// envoy.extensions.filters.http.rbac.v3 as settings.
import type { RBAC, RBACPerRoute } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import { decodeRbac } from "../../../config/parse/rbac.ts";
import { decodeMatchTree } from "../../../config/parse/rbac-tree.ts";
import type { RbacRules } from "../../../config/rbac.ts";
import type { FilterPlace } from "../../filter.ts";

export interface RbacSettings {
  readonly rules: RbacRules | null;
  readonly shadowRules: RbacRules | null;
  readonly rulesStatPrefix?: string;
  readonly shadowRulesStatPrefix?: string;
  readonly trackPerRuleStats?: boolean;
}

const nothing: RbacSettings = { rules: null, shadowRules: null };

export function parseRbac(message: RBAC, place: FilterPlace): RbacSettings {
  const { path, problems, policyOrigins } = place;
  const { matcher, shadowMatcher, rulesStatPrefix, shadowRulesStatPrefix, trackPerRuleStats } = message;
  const shadowRules =
    shadowMatcher === undefined
      ? decodeRbac(message.shadowRules, policyOrigins, `${path}.shadow_rules`, problems)
      : decodeMatchTree(shadowMatcher, policyOrigins, `${path}.shadow_matcher`, problems);
  return {
    rules:
      matcher === undefined
        ? decodeRbac(message.rules, policyOrigins, `${path}.rules`, problems)
        : decodeMatchTree(matcher, policyOrigins, `${path}.matcher`, problems),
    shadowRules,
    rulesStatPrefix,
    shadowRulesStatPrefix,
    trackPerRuleStats,
  };
}

/** A route without rules of its own switches the filter off. */
export function parseRbacPerRoute(message: RBACPerRoute, place: FilterPlace): RbacSettings {
  return message.rbac === undefined ? nothing : parseRbac(message.rbac, place);
}
