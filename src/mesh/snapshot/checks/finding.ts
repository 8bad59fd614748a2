// What a check between objects finds: an issue, and what it costs the object.
import type { Issue } from "#base/issue.ts";
import type { AuthorizationPolicies } from "../../kinds/authorization-policy/resolve.ts";
import type { MeshConfig } from "../../kinds/mesh-config/spec.ts";
import type { InboundMtls } from "../../kinds/peer-authentication/resolve.ts";
import type { ApplicableJwtRule } from "../../kinds/request-authentication/resolve.ts";
import type { Delegation } from "../../kinds/virtual-service/delegation.ts";
import type { Labels } from "../../objects/fields/selector.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { type Problem, toIssue } from "../../objects/report.ts";
import type { DestinationRuleIndex } from "../destination-rule-index.ts";
import type { EndpointIndex } from "../endpoint-index.ts";
import type { KeyPlanner } from "../key-plan.ts";
import type { KeySets } from "../key-sets.ts";
import type { ObjectTable } from "../object-table.ts";
import type { ServiceIndex } from "../service-index.ts";

export interface Finding {
  readonly object: MeshObject<unknown>;
  readonly issue: Issue;
  /** Undefined when the object has its whole effect. */
  readonly effect?: "partly" | "shadowed" | "nothing" | "not in force";
}

/** What the checks may look at. */
export interface CheckContext {
  readonly objects: ObjectTable;
  readonly services: ServiceIndex;
  readonly destinationRules: DestinationRuleIndex;
  readonly delegations: readonly Delegation[];
  readonly endpoints: EndpointIndex;
  readonly meshConfig: MeshConfig;
  /** What the PeerAuthentications ask of a workload. */
  inboundMtls(workload: { readonly namespace: string; readonly labels: Labels }): InboundMtls;
  /** The AuthorizationPolicies that are for a workload. */
  authorization(workload: { readonly namespace: string; readonly labels: Labels }): AuthorizationPolicies;
  /** Whose tokens a workload believes. */
  jwtRules(workload: { readonly namespace: string; readonly labels: Labels }): readonly ApplicableJwtRule[];
  readonly domain: string;
  readonly keySets: KeySets | undefined;
  readonly keyPlan: KeyPlanner;
  readonly scopesGateways: boolean;
  readonly severalProviders: boolean;
}

export function finding(object: MeshObject<unknown>, problem: Problem, effect?: Finding["effect"]): Finding {
  const issue = toIssue(problem, object.origin, (path) => object.position(path));
  return { object, issue, ...(effect !== undefined && { effect }) };
}
