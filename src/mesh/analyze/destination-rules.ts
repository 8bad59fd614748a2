// IST0128 and IST0129: TLS to servers whose roots nobody named.
import { type Issue, Severity } from "#base/issue.ts";
import type { DestinationRuleSpec } from "../kinds/destination-rule/spec.ts";
import type { ClientTlsSettings } from "../objects/fields/traffic-policy.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { type AnalysisContext, issueOf } from "./context.ts";

export function checkServerVerification({ objects }: AnalysisContext): Issue[] {
  return objects.all("DestinationRule").flatMap((rule) => {
    const { trafficPolicy } = rule.spec;
    return [
      ...unverified(rule, trafficPolicy?.tls, "spec.trafficPolicy.tls", "IST0128", ""),
      ...(trafficPolicy?.portLevelSettings ?? []).flatMap(({ port, tls }, index) => {
        const path = `spec.trafficPolicy.portLevelSettings[${index}].tls`;
        return unverified(rule, tls, path, "IST0129", ` at port ${port?.number}`);
      }),
    ];
  });
}

function unverified(
  rule: MeshObject<DestinationRuleSpec>,
  tls: ClientTlsSettings | undefined,
  path: string,
  code: string,
  where: string,
): Issue[] {
  if (tls === undefined || (tls.mode !== "SIMPLE" && tls.mode !== "MUTUAL")) return [];
  if (tls.caCertificates !== "" || tls.credentialName !== "" || tls.insecureSkipVerify === true) return [];
  const message = `no roots are named for ${rule.spec.host}${where}: the platform's count, and every host that they know`;
  const fix = "caCertificates or credentialName, or caCertificates: system to say that it is meant";
  return [issueOf(rule, { code, severity: Severity.Warning, path, message, fix })];
}
