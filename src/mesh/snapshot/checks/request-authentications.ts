// RequestAuthentications against what is known of their issuers: keys that could not be fetched.
import { Severity } from "#base/issue.ts";
import { keySourceOf } from "../../kinds/request-authentication/resolve.ts";
import { keySourceName } from "../key-sets.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

export function checkRequestAuthentications({ objects, keySets }: CheckContext): Finding[] {
  if (keySets === undefined) return [];
  return objects.all("RequestAuthentication").flatMap((policy) =>
    policy.spec.jwtRules.flatMap((rule, index) => {
      const source = keySourceOf(rule);
      const fetched = source === undefined ? undefined : keySets.get(keySourceName(source));
      if (source === undefined || fetched?.failure === undefined) return [];
      const path = `spec.jwtRules[${index}].${rule.jwksUri === "" ? "issuer" : "jwksUri"}`;
      const hasKeys = "keys" in fetched;
      const effect = hasKeys ? "the keys that were there before are used" : `every token of ${rule.issuer} is refused`;
      const message = `no keys come from ${source.url}: ${fetched.failure}; ${effect}`;
      const severity = hasKeys ? Severity.Warning : Severity.Error;
      return [finding(policy, { code: "OUT0009", severity, path, message }, hasKeys ? undefined : "partly")];
    }),
  );
}
