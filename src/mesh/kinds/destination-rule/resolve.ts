// How DestinationRules for one host come together. The lookup order between namespaces is in README.md.
import { type Labels, selects } from "../../objects/fields/selector.ts";
import type { TrafficPolicy } from "../../objects/fields/traffic-policy.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import type { DestinationRuleSpec, Subset } from "./spec.ts";

type Rule = MeshObject<DestinationRuleSpec>;

export interface MergedDestinationRule {
  readonly host: string;
  /** The namespace of the rules. */
  readonly namespace: string;
  readonly trafficPolicy: TrafficPolicy | undefined;
  readonly subsets: readonly MergedSubset[];
  /** All rules that were merged, oldest first. */
  readonly rules: readonly Rule[];
  /** Empty means the mesh's default. */
  readonly exportTo: readonly string[];
  /** Client workloads; empty selects all. */
  readonly workloadSelector: Labels;
}

export interface MergedSubset extends Subset {
  /** The rule that the subset came from. */
  readonly rule: Rule;
}

/**
 * Merges the rules of one namespace (oldest first): rules with the same host, exportTo and selector become one. Their
 * subsets are joined, the oldest traffic policy stands.
 */
export function mergeDestinationRules(rules: readonly Rule[]): MergedDestinationRule[] {
  const groups = new Map<string, Rule[]>();
  for (const rule of rules) {
    const key = mergeKey(rule.spec);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [rule]);
    else group.push(rule);
  }
  return [...groups.values()].map(mergedOnce);
}

const merged = new WeakMap<Rule, MergedDestinationRule>();

/** The same object for the same rules, so that what was worked out for it is kept. */
function mergedOnce(rules: readonly Rule[]): MergedDestinationRule {
  const [first] = rules as [Rule];
  const known = merged.get(first);
  if (known?.rules.length === rules.length && known.rules.every((rule, index) => rule === rules[index])) return known;
  const made = mergeGroup(rules);
  merged.set(first, made);
  return made;
}

/** Among the merged rules for a host, those whose selector picks the client come first, then those for everybody. */
export function ruleForClient(
  rules: readonly MergedDestinationRule[],
  client: Labels | undefined,
): MergedDestinationRule | undefined {
  const isGeneral = (rule: MergedDestinationRule): boolean => Object.keys(rule.workloadSelector).length === 0;
  const selected =
    client === undefined ? undefined : rules.find((rule) => !isGeneral(rule) && selects(rule.workloadSelector, client));
  return selected ?? rules.find(isGeneral);
}

function mergeGroup(rules: readonly Rule[]): MergedDestinationRule {
  const [first] = rules as [Rule];
  const subsets = new Map<string, MergedSubset>();
  for (const rule of rules) {
    for (const subset of rule.spec.subsets) {
      if (!subsets.has(subset.name)) subsets.set(subset.name, { ...subset, rule });
    }
  }
  return {
    host: first.spec.host,
    namespace: first.namespace,
    trafficPolicy: mergedPolicy(rules),
    subsets: [...subsets.values()],
    rules,
    exportTo: first.spec.exportTo,
    workloadSelector: first.spec.workloadSelector?.matchLabels ?? {},
  };
}

/** The oldest that a user wrote stands; what it leaves open of TLS is as a policy of the Gateway API says. */
function mergedPolicy(rules: readonly Rule[]): TrafficPolicy | undefined {
  const policyOf = (isMade: boolean): TrafficPolicy | undefined =>
    rules.find((rule) => (rule.madeFrom !== undefined) === isMade && rule.spec.trafficPolicy !== undefined)?.spec
      .trafficPolicy;
  const [written, made] = [policyOf(false), policyOf(true)];
  return written === undefined || made === undefined ? (written ?? made) : withTls(written, made);
}

function withTls(written: TrafficPolicy, made: TrafficPolicy): TrafficPolicy {
  if (written.tls !== undefined) return written;
  const madeFor = (port: number | undefined): TrafficPolicy["tls"] =>
    made.portLevelSettings.find((settings) => settings.port?.number === port)?.tls ?? made.tls;
  const own = written.portLevelSettings.map((settings) => {
    const tls = settings.tls ?? madeFor(settings.port?.number);
    return tls === undefined ? settings : { ...settings, tls };
  });
  const taken = new Set(own.map(({ port }) => port?.number));
  // Settings of a port replace those of the whole.
  const { loadBalancer, connectionPool, outlierDetection } = written;
  const blocks = {
    ...(loadBalancer !== undefined && { loadBalancer }),
    ...(connectionPool !== undefined && { connectionPool }),
    ...(outlierDetection !== undefined && { outlierDetection }),
  };
  const others = made.portLevelSettings
    .filter(({ port }) => !taken.has(port?.number))
    .map((settings) => ({ ...blocks, ...settings }));
  return { ...written, ...(made.tls !== undefined && { tls: made.tls }), portLevelSettings: [...own, ...others] };
}

function mergeKey(spec: DestinationRuleSpec): string {
  const selector = Object.entries(spec.workloadSelector?.matchLabels ?? {}).sort();
  return JSON.stringify([spec.host, [...spec.exportTo].sort(), selector]);
}
