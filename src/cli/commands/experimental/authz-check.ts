// The authorization policies in a proxy's listeners, as `istioctl x authz check` lists them: by action, with the number of
// their rules. It reads what the proxy has, and not what it is to have.

import { renderTable } from "../../render/table.ts";
import { type ConfigDump, type Json, object, readConfigDump, text } from "../proxy-config/config-dump.ts";

export interface AppliedPolicy {
  readonly action: "DENY" | "ALLOW" | "LOG" | "CUSTOM";
  /** `httpbin.default`, or what istioctl says for an ALLOW filter without policies. */
  readonly policy: string;
  readonly rules: number;
  /** Only counted, never enforced. */
  readonly isDryRun: boolean;
}

const nothing = "_anonymous_match_nothing_";
const actions = ["CUSTOM", "DENY", "ALLOW", "LOG"] as const;

export function appliedPolicies(dump: ConfigDump): AppliedPolicy[] {
  const rulesByPolicy = new Map<
    string,
    { readonly policy: Omit<AppliedPolicy, "rules">; readonly rules: Set<string> }
  >();
  const add = (action: AppliedPolicy["action"], isDryRun: boolean, name: string): void => {
    const { policy, rule } = policyOf(name);
    const key = `${action} ${isDryRun} ${policy}`;
    const known = rulesByPolicy.get(key) ?? { policy: { action, policy, isDryRun }, rules: new Set() };
    rulesByPolicy.set(key, known);
    known.rules.add(rule);
  };
  for (const filter of dump.listeners.flatMap(rbacFilters)) {
    addRules(object(filter["rules"]), false, add);
    addRules(object(filter["shadowRules"]), true, add);
  }
  return [...rulesByPolicy.values()]
    .map(({ policy, rules }) => ({ ...policy, rules: rules.size }))
    .sort((a, b) => rank(a) - rank(b) || (a.policy < b.policy ? -1 : 1));
}

function rank({ action, isDryRun }: AppliedPolicy): number {
  return 2 * actions.indexOf(action) + (isDryRun ? 1 : 0);
}

function addRules(
  rules: Json,
  isShadow: boolean,
  add: (action: AppliedPolicy["action"], isDryRun: boolean, name: string) => void,
): void {
  if (Object.keys(rules).length === 0) return;
  const names = Object.keys(object(rules["policies"]));
  // The first action of the message is ALLOW, which JSON leaves out.
  const action = text(rules["action"]) || "ALLOW";
  if (action !== "ALLOW" && action !== "DENY" && action !== "LOG") return;
  for (const name of names.length === 0 ? [nothing] : names) {
    // What asks an external service is a shadow rule that names it.
    const isCustom = isShadow && name.startsWith("istio-ext-authz");
    add(isCustom ? "CUSTOM" : action, isShadow && !isCustom, name);
  }
}

function policyOf(name: string): { readonly policy: string; readonly rule: string } {
  const match = /ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[(\d+)\]/.exec(name);
  return match === null ? { policy: name, rule: "0" } : { policy: `${match[2]}.${match[1]}`, rule: match[3] ?? "0" };
}

/** Wherever they stand in a listener: HTTP filters lie in the connection manager. */
function rbacFilters(value: unknown): Json[] {
  if (Array.isArray(value)) return value.flatMap(rbacFilters);
  if (typeof value !== "object" || value === null) return [];
  const fields = object(value);
  const below = Object.values(fields).flatMap(rbacFilters);
  return text(fields["@type"]).endsWith(".rbac.v3.RBAC") ? [fields, ...below] : below;
}

export function renderPolicies(policies: readonly AppliedPolicy[]): string {
  const rows = policies.map(({ action, policy, rules, isDryRun }) => [
    isDryRun ? `${action} (dry-run)` : action,
    policy,
    String(rules),
  ]);
  return renderTable(["ACTION", "AuthorizationPolicy", "RULES"], rows);
}

/** Of a file that a proxy's `/config_dump` was saved to; undefined for anything else. */
export function dumpOfText(content: string): ConfigDump | undefined {
  try {
    const value: unknown = JSON.parse(content);
    return Array.isArray(object(value)["configs"]) ? readConfigDump(value) : undefined;
  } catch {
    return undefined;
  }
}
