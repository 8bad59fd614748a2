// Which authorization policies apply to a workload, and in which group they are evaluated. Table in README.md.
import { isFor, type TargetedWorkload } from "../../objects/fields/policy-target.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { AuthorizationAction, type AuthorizationPolicySpec } from "./spec.ts";

type Policy = MeshObject<AuthorizationPolicySpec>;

export interface AuthorizationPolicies {
  readonly custom: readonly Policy[];
  readonly deny: readonly Policy[];
  readonly allow: readonly Policy[];
  readonly audit: readonly Policy[];
}

/** The policies of the root namespace and of the workload's namespace (each oldest first) that are for the workload. */
export function applicablePolicies(
  root: readonly Policy[],
  own: readonly Policy[],
  workload: TargetedWorkload,
): AuthorizationPolicies {
  const applicable = [...root, ...own].filter((policy) => isFor(policy, workload));
  const withAction = (action: AuthorizationAction): Policy[] =>
    applicable.filter((policy) => policy.spec.action === action);
  return {
    custom: withAction(AuthorizationAction.Custom),
    deny: withAction(AuthorizationAction.Deny),
    allow: withAction(AuthorizationAction.Allow),
    audit: withAction(AuthorizationAction.Audit),
  };
}
