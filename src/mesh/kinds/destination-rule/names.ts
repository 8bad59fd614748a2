// Expands the short names in a DestinationRule.
import { expandHost } from "../../objects/host.ts";
import type { NameScope } from "../../objects/kind.ts";
import type { DestinationRuleSpec } from "./spec.ts";

export function expandDestinationRule(spec: DestinationRuleSpec, scope: NameScope): DestinationRuleSpec {
  return { ...spec, host: expandHost(spec.host, scope.namespace, scope.domain) };
}
