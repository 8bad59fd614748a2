// RequestAuthentications against what is known of their issuers: keys that could not be fetched, or that nobody can.
import { Severity } from "#base/issue.ts";
import type { RequestAuthenticationSpec } from "../../kinds/request-authentication/spec.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import type { KeyPlan } from "../key-plan.ts";
import { type FetchedKeys, keySourceName } from "../key-sets.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

export function checkRequestAuthentications({ objects, keySets, keyPlan }: CheckContext): Finding[] {
  return objects.all("RequestAuthentication").flatMap((policy) =>
    policy.spec.jwtRules.flatMap((rule, index) => {
      const plan = keyPlan(rule);
      if (plan.by === "proxy") return notInMesh(policy, plan, index);
      if (plan.by === "nobody" || keySets === undefined) return [];
      return notFetched(policy, keySets.get(keySourceName(plan.source)), plan.source.url, index);
    }),
  );
}

type Policy = MeshObject<RequestAuthenticationSpec>;

function notFetched(policy: Policy, fetched: FetchedKeys | undefined, url: string, index: number): Finding[] {
  if (fetched?.failure === undefined) return [];
  const rule = policy.spec.jwtRules[index];
  const path = `spec.jwtRules[${index}].${rule?.jwksUri === "" ? "issuer" : "jwksUri"}`;
  const hasKeys = "keys" in fetched;
  const effect = hasKeys ? "the keys that were there before are used" : `every token of ${rule?.issuer} is refused`;
  const message = `no keys come from ${url}: ${fetched.failure}; ${effect}`;
  const severity = hasKeys ? Severity.Warning : Severity.Error;
  return [finding(policy, { code: "OUT0009", severity, path, message }, hasKeys ? undefined : "partly")];
}

function notInMesh(policy: Policy, plan: Extract<KeyPlan, { by: "proxy" }>, index: number): Finding[] {
  if (plan.isService) return [];
  const path = `spec.jwtRules[${index}].jwksUri`;
  const message =
    `proxies fetch the keys at ${plan.source.url} themselves (PILOT_JWT_ENABLE_REMOTE_JWKS=envoy), and no service of ` +
    `the mesh is ${plan.hostname}:${plan.port}; every token of ${policy.spec.jwtRules[index]?.issuer} is refused`;
  const fix = `a ServiceEntry for ${plan.hostname}`;
  return [finding(policy, { code: "OUT0009", severity: Severity.Error, path, message, fix }, "partly")];
}
