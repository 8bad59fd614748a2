// HOT: per request and per connection. Envoy's RBAC: ALLOW lets through what some policy matches, DENY stops it, LOG
// stops nothing. No rules at all (null) means that the filter does not enforce.
import type { NearestMiss, RbacPolicy, RbacRules, RbacSubject, RbacVerdict } from "../config/rbac.ts";
import { addStep, type Trace } from "../config/trace.ts";

const allowedWithoutMatch: RbacVerdict = { allowed: true, policy: null, nearestMiss: null };
const deniedWithoutMatch: RbacVerdict = { allowed: false, policy: null, nearestMiss: null };

/** Decides one RBAC filter for one request or connection. */
export function evaluateRbac(rules: RbacRules | null, subject: RbacSubject, trace: Trace | null): RbacVerdict {
  if (rules === null) return allowedWithoutMatch;
  const policies = rules.policies;
  for (let i = 0; i < policies.length; i++) {
    const policy = policies[i] as RbacPolicy;
    if (!policy.matches(subject)) continue;
    const verdict: RbacVerdict = { allowed: rules.action !== "deny", policy, nearestMiss: null };
    if (trace !== null) traceMatch(trace, rules, policy);
    return verdict;
  }
  const unmatched = rules.action === "allow" ? deniedWithoutMatch : allowedWithoutMatch;
  return trace === null ? unmatched : traceMiss(trace, rules, subject, unmatched);
}

/** A denial in words. */
export function whyDenied(rules: RbacRules | null, verdict: RbacVerdict): string {
  if (verdict.policy !== null) return `denied by ${verdict.policy.name}`;
  if (rules?.policies.length === 0) return "denied: an ALLOW policy without rules lets nobody in";
  return "denied: no ALLOW policy matches";
}

function traceMatch(trace: Trace, rules: RbacRules, policy: RbacPolicy): void {
  const outcome = rules.action === "allow" ? "allowed" : rules.action === "deny" ? "denied" : "logged";
  const words = policy.conditions.map((condition) => condition.description).join(" and ");
  addStep(
    trace,
    "authorization",
    `${outcome} by ${policy.name}${words === "" ? "" : `: ${words}`}`,
    policy.origin === null ? [] : [policy.origin],
  );
}

function traceMiss(trace: Trace, rules: RbacRules, subject: RbacSubject, verdict: RbacVerdict): RbacVerdict {
  const nearestMiss = findNearestMiss(rules.policies, subject);
  const outcome = verdict.allowed ? "passes" : "denied";
  const why =
    nearestMiss === null
      ? `no ${rules.action.toUpperCase()} policy exists here`
      : `no ${rules.action.toUpperCase()} policy matches; nearest is ${nearestMiss.policy.name}, ` +
        `which needs ${nearestMiss.failed.join(" and ")}`;
  const origin = nearestMiss?.policy.origin;
  addStep(trace, "authorization", `${outcome}: ${why}`, origin ? [origin] : []);
  return { ...verdict, nearestMiss };
}

function findNearestMiss(policies: readonly RbacPolicy[], subject: RbacSubject): NearestMiss | null {
  let nearest: NearestMiss | null = null;
  for (const policy of policies) {
    const failed = policy.conditions.filter((condition) => !condition.matches(subject)).map((it) => it.description);
    if (nearest === null || failed.length < nearest.failed.length) nearest = { policy, failed };
  }
  return nearest;
}
