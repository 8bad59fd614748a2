// AuthorizationPolicy as decoded: who may do what to a workload.
import type { PolicyTarget } from "../../objects/fields/policy-target.ts";

export const AuthorizationAction = { Allow: "ALLOW", Deny: "DENY", Audit: "AUDIT", Custom: "CUSTOM" } as const;
export type AuthorizationAction = (typeof AuthorizationAction)[keyof typeof AuthorizationAction];

export interface AuthorizationPolicySpec extends PolicyTarget {
  /** No rules never match; one empty rule matches everything. */
  readonly rules: readonly AuthorizationRule[];
  readonly action: AuthorizationAction;
  /** For CUSTOM only. */
  readonly provider?: { readonly name: string };
}

export interface AuthorizationRule {
  readonly from: readonly { readonly source?: Source }[];
  readonly to: readonly { readonly operation?: Operation }[];
  readonly when: readonly Condition[];
}

/** AND between the members that are not empty, OR inside a list. */
export interface Source {
  readonly principals: readonly string[];
  readonly notPrincipals: readonly string[];
  readonly requestPrincipals: readonly string[];
  readonly notRequestPrincipals: readonly string[];
  readonly namespaces: readonly string[];
  readonly notNamespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
  readonly notServiceAccounts: readonly string[];
  readonly ipBlocks: readonly string[];
  readonly notIpBlocks: readonly string[];
  readonly remoteIpBlocks: readonly string[];
  readonly notRemoteIpBlocks: readonly string[];
  readonly trustDomains: readonly string[];
  readonly notTrustDomains: readonly string[];
}

export interface Operation {
  readonly hosts: readonly string[];
  readonly notHosts: readonly string[];
  readonly ports: readonly string[];
  readonly notPorts: readonly string[];
  readonly methods: readonly string[];
  readonly notMethods: readonly string[];
  readonly paths: readonly string[];
  readonly notPaths: readonly string[];
}

export interface Condition {
  readonly key: string;
  readonly values: readonly string[];
  readonly notValues: readonly string[];
}

export { dryRunAnnotation } from "../../objects/metadata.ts";
