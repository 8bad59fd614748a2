// Which DestinationRule a client uses for a service: merged per namespace and host, looked up client's namespace →
// service's namespace → root namespace (kinds/destination-rule/README.md).
import { type MergedDestinationRule, mergeDestinationRules, ruleForClient } from "../kinds/destination-rule/resolve.ts";
import { isVisible } from "../objects/export-to.ts";
import type { Labels } from "../objects/fields/selector.ts";
import { HostIndex } from "../objects/host.ts";
import type { ObjectTable } from "./object-table.ts";

interface Client {
  readonly namespace: string;
  readonly labels: Labels;
}

export interface DestinationRuleIndex {
  find(
    client: Client,
    service: { readonly hostname: string; readonly namespace: string },
  ): MergedDestinationRule | undefined;
  /** True when rules of the namespace pick clients by their labels. */
  hasSelectors(namespace: string): boolean;
}

export function indexDestinationRules(
  objects: ObjectTable,
  rootNamespace: string,
  defaultExportTo: readonly string[],
): DestinationRuleIndex {
  const namespaces = new Map<string, HostIndex<readonly MergedDestinationRule[]>>();
  const rulesOf = (namespace: string): HostIndex<readonly MergedDestinationRule[]> => {
    let index = namespaces.get(namespace);
    if (index === undefined) {
      const merged = mergeDestinationRules(objects.inNamespace("DestinationRule", namespace));
      index = new HostIndex(Map.groupBy(merged, (rule) => rule.host));
      namespaces.set(namespace, index);
    }
    return index;
  };
  const isExported = (rule: MergedDestinationRule, namespace: string): boolean =>
    isVisible(rule.exportTo.length > 0 ? rule.exportTo : defaultExportTo, rule.namespace, namespace);
  return {
    hasSelectors: (namespace) =>
      objects
        .inNamespace("DestinationRule", namespace)
        .some((rule) => Object.keys(rule.spec.workloadSelector?.matchLabels ?? {}).length > 0),
    find(client, service) {
      if (client.namespace !== rootNamespace) {
        const own = ruleForClient(rulesOf(client.namespace).find(service.hostname) ?? [], client.labels);
        if (own !== undefined) return own;
      } else {
        const local = (rulesOf(rootNamespace).find(service.hostname) ?? []).filter(
          (rule) => !rule.exportTo.includes("*"),
        );
        const own = ruleForClient(local, client.labels);
        if (own !== undefined) return own;
      }
      for (const namespace of [service.namespace, rootNamespace]) {
        const rules = (rulesOf(namespace).find(service.hostname) ?? []).filter((rule) =>
          isExported(rule, client.namespace),
        );
        // A selector is for clients of the rule's own namespace only.
        const found = ruleForClient(rules, namespace === client.namespace ? client.labels : undefined);
        if (found !== undefined) return found;
      }
      return undefined;
    },
  };
}
