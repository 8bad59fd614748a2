// Which rules apply to a workload, and where the keys of a rule are.
import { isFor, type TargetedWorkload } from "../../objects/fields/policy-target.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import type { JwtRule, RequestAuthenticationSpec } from "./spec.ts";

type Policy = MeshObject<RequestAuthenticationSpec>;

export interface ApplicableJwtRule {
  readonly policy: Policy;
  /** Place in the policy's `jwtRules`. */
  readonly index: number;
  readonly rule: JwtRule;
}

/** The rules of all policies that are for the workload, by issuer, as istiod orders them. */
export function applicableJwtRules(policies: readonly Policy[], workload: TargetedWorkload): ApplicableJwtRule[] {
  const rules = policies
    .filter((policy) => isFor(policy, workload))
    .flatMap((policy) => policy.spec.jwtRules.map((rule, index) => ({ policy, index, rule })));
  return rules.sort((a, b) => (a.rule.issuer === b.rule.issuer ? 0 : a.rule.issuer < b.rule.issuer ? -1 : 1));
}

export interface KeySource {
  /** The keys are there, or an OpenID configuration is that says where they are. */
  readonly url: string;
  readonly kind: "keys" | "openid";
  readonly timeoutMs: number;
}

/** Undefined when the keys stand in the rule itself. */
export function keySourceOf({ jwks, jwksUri, issuer, timeout }: JwtRule): KeySource | undefined {
  if (jwks !== "") return undefined;
  if (jwksUri !== "") return { url: jwksUri, kind: "keys", timeoutMs: timeout };
  return { url: `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`, kind: "openid", timeoutMs: timeout };
}
