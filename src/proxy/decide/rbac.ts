// HOT: per request and per connection. Envoy's RBAC: ALLOW lets through what some policy matches, DENY stops it, LOG
// stops nothing. No rules at all (null) means that the filter does not enforce. Bench: bench/rbac.ts.
import { formatOrigin } from "#base/issue.ts";
import type {
  NearestMiss,
  PolicyIndex,
  RbacAction,
  RbacPolicy,
  RbacRules,
  RbacSubject,
  RbacTree,
  RbacVerdict,
} from "../config/rbac.ts";
import { addStep, newTrace, type Trace } from "../config/trace.ts";

const allowedWithoutMatch: RbacVerdict = { allowed: true, policy: null, nearestMiss: null };
const deniedWithoutMatch: RbacVerdict = { allowed: false, policy: null, nearestMiss: null };
const notLogged: RbacVerdict = { allowed: true, policy: null, nearestMiss: null, accessLogHint: false };

/** Decides one RBAC filter for one request or connection. */
export function evaluateRbac(rules: RbacRules | null, subject: RbacSubject, trace: Trace | null): RbacVerdict {
  if (rules === null) return allowedWithoutMatch;
  if (rules.tree !== undefined) return evaluateTree(rules.tree, subject, trace);
  const policy = firstMatch(rules, subject);
  if (policy !== null) {
    if (trace !== null) traceMatch(trace, rules.action, policy);
    return matched(rules.action, policy, rules.action === "log");
  }
  const unmatched =
    rules.action === "allow" ? deniedWithoutMatch : rules.action === "log" ? notLogged : allowedWithoutMatch;
  return trace === null ? unmatched : traceMiss(trace, rules, subject, unmatched);
}

function matched(action: RbacAction, policy: RbacPolicy, setsHint: boolean): RbacVerdict {
  const allowed = action !== "deny";
  if (!setsHint) return { allowed, policy, nearestMiss: null };
  return { allowed, policy, nearestMiss: null, accessLogHint: action === "log" };
}

function firstMatch(rules: RbacRules, subject: RbacSubject): RbacPolicy | null {
  const { policies, index } = rules;
  const name = index === undefined ? null : onlyName(subject);
  if (index !== undefined && name !== null) return firstIndexed(policies, index, name, subject);
  for (let i = 0; i < policies.length; i++) {
    const policy = policies[i] as RbacPolicy;
    if (policy.matches(subject)) return policy;
  }
  return null;
}

/** The one name that the peer has, empty for none; null when it has several. */
function onlyName({ peer }: RbacSubject): string | null {
  if (peer === null) return "";
  if (peer.subject !== "" || peer.dnsSans.length > 0 || peer.uriSans.length !== 1) return null;
  return peer.uriSans[0] as string;
}

const none: readonly number[] = [];

/** Walks two ascending lists of positions as one. */
function firstIndexed(
  policies: readonly RbacPolicy[],
  { byName, general }: PolicyIndex,
  name: string,
  subject: RbacSubject,
): RbacPolicy | null {
  const own = byName.get(name) ?? none;
  let i = 0;
  let j = 0;
  while (i < own.length || j < general.length) {
    const a = i < own.length ? (own[i] as number) : policies.length;
    const b = j < general.length ? (general[j] as number) : policies.length;
    const policy = policies[a < b ? a : b] as RbacPolicy;
    if (a < b) i++;
    else j++;
    if (policy.matches(subject)) return policy;
  }
  return null;
}

function evaluateTree(tree: RbacTree, subject: RbacSubject, trace: Trace | null): RbacVerdict {
  const found = tree.find(subject);
  if (found === null) {
    if (trace !== null) addStep(trace, "authorization", "denied: nothing in the matching tree matches");
    return tree.logs ? { ...deniedWithoutMatch, accessLogHint: false } : deniedWithoutMatch;
  }
  if (trace !== null) traceMatch(trace, found.action, found.policy);
  return matched(found.action, found.policy, tree.logs);
}

/** Who asks, in words. */
function describeCaller({ peer }: RbacSubject): string {
  if (peer === null) return "an unauthenticated client";
  return peer.uriSans[0] ?? peer.dnsSans[0] ?? (peer.subject === "" ? "a client without a name" : peer.subject);
}

/** Where shadow rules write under this prefix they are tried for nobody: Istio's CUSTOM policies mark what is asked about. */
const marksForQuestions = "istio_ext_authz_";

/** Says what rules that are only tried would do. `statPrefix` is that of the shadow rules. */
export function traceShadow(trace: Trace, { allowed, policy }: RbacVerdict, statPrefix: string): void {
  // The filter behind says itself whom it asks.
  if (statPrefix === marksForQuestions) return;
  const origins = policy === null || policy.origin === null ? [] : [policy.origin];
  const what = policy === null ? "no policy matches" : `${policy.name} matches`;
  addStep(trace, "dry run", `${what}: would be ${allowed ? "allowed" : "denied"}`, origins);
}

/** A denial in words: who asked, which policy denies, or which one was nearest to letting it pass. */
export function whyDenied(rules: RbacRules | null, subject: RbacSubject, verdict: RbacVerdict): string {
  const caller = describeCaller(subject);
  if (verdict.policy !== null) return `${caller} is denied by ${verdict.policy.name}${noteOf(verdict.policy)}`;
  if (rules?.tree !== undefined) return `nothing in the matching tree allows ${caller}`;
  const leftOut = describeLeftOut(rules);
  if (rules?.policies.length === 0) {
    return leftOut === "" ? `${caller} is denied: ${whyNobody(subject)}` : `no policy allows ${caller}: ${leftOut}`;
  }
  // The nearest miss costs a second evaluation, which only a refused request pays.
  const miss = verdict.nearestMiss ?? evaluateRbac(rules, subject, newTrace()).nearestMiss;
  if (miss === null) return `no policy allows ${caller}`;
  const { policy, failed } = miss;
  const place = policy.origin === null ? "" : ` (${formatOrigin(policy.origin)})`;
  const others = leftOut === "" ? "" : `; ${leftOut}`;
  return `no policy allows ${caller}; nearest is ${policy.name}, which needs ${failed.join(" and ")}${place}${others}`;
}

function noteOf({ origin }: RbacPolicy): string {
  return origin?.note === undefined ? "" : `: ${origin.note}`;
}

const maxLeftOut = 3;

/** Policies that could not match anything here, with their places and why; empty when there are none. */
function describeLeftOut(rules: RbacRules | null): string {
  const leftOut = rules?.leftOut ?? [];
  const told = leftOut
    .slice(0, maxLeftOut)
    .map(({ name, origin }) => `${name} (${formatOrigin(origin)}) ${origin.note ?? "cannot match here"}`);
  const more = leftOut.length - told.length;
  return [...told, ...(more > 0 ? [`${more} more ${more === 1 ? "is" : "are"} no different`] : [])].join("; ");
}

/** Rules that ask for something of HTTP are none for bytes. */
function whyNobody({ header }: RbacSubject): string {
  if (header !== undefined) return "an ALLOW policy without rules lets nobody in";
  return "no ALLOW policy has a rule for a connection without HTTP (rules with methods, paths, hosts, headers or claims never match one)";
}

function traceMatch(trace: Trace, action: RbacAction, policy: RbacPolicy): void {
  const outcome = action === "allow" ? "allowed" : action === "deny" ? "denied" : "logged";
  const words = policy.conditions.map((condition) => condition.description).join(" and ");
  addStep(
    trace,
    "authorization",
    `${outcome} by ${policy.name}${words === "" ? "" : `: ${words}`}${policy.origin?.note === undefined ? "" : ` (${policy.origin.note})`}`,
    policy.origin === null ? [] : [policy.origin],
  );
}

function traceMiss(trace: Trace, rules: RbacRules, subject: RbacSubject, verdict: RbacVerdict): RbacVerdict {
  const nearestMiss = findNearestMiss(rules.policies, subject);
  const outcome = verdict.allowed ? "passes" : "denied";
  const action = rules.action.toUpperCase();
  const leftOut = describeLeftOut(rules);
  const why =
    nearestMiss !== null
      ? `no ${action} policy matches; nearest is ${nearestMiss.policy.name}, which needs ${nearestMiss.failed.join(" and ")}`
      : `no ${action} policy ${leftOut === "" ? "exists here" : "matches"}`;
  const origins = [nearestMiss?.policy.origin ?? [], (rules.leftOut ?? []).map(({ origin }) => origin)].flat();
  addStep(trace, "authorization", `${outcome}: ${why}${leftOut === "" ? "" : `; ${leftOut}`}`, origins);
  return { ...verdict, nearestMiss };
}

function findNearestMiss(policies: readonly RbacPolicy[], subject: RbacSubject): NearestMiss | null {
  let nearest: RbacPolicy | null = null;
  let fewest = Number.POSITIVE_INFINITY;
  let most = -1;
  for (const policy of policies) {
    let failed = 0;
    for (const condition of policy.conditions) if (!condition.matches(subject)) failed++;
    // Of two that lack as much, the one is nearer of which more is there.
    const held = policy.conditions.length - failed;
    if (failed > fewest || (failed === fewest && held <= most)) continue;
    fewest = failed;
    most = held;
    nearest = policy;
    if (failed <= 1 && held > 0) break;
  }
  if (nearest === null) return null;
  const failed = nearest.conditions.filter((it) => !it.matches(subject)).map((it) => it.description);
  return { policy: nearest, failed };
}
