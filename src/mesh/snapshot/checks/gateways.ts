// Gateways against the rest: selectors without pods, servers that cannot share a port.
import { formatOrigin, Severity } from "#base/issue.ts";
import { podSubject, selectsWorkload } from "../../kinds/gateway/resolve.ts";
import { mergeServers } from "../gateway-scopes.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

export function checkGateways(context: CheckContext): Finding[] {
  const gateways = context.objects.all("Gateway");
  const pods = context.objects.all("Pod");
  const findings: Finding[] = [];
  if (pods.length > 0) {
    for (const gateway of gateways) {
      if (pods.some((pod) => selectsWorkload(gateway, podSubject(pod), context.scopesGateways))) continue;
      const selector = Object.entries(gateway.spec.selector).map(([key, value]) => `${key}=${value}`);
      const where = context.scopesGateways ? ` of namespace ${gateway.namespace}` : "";
      const message = `no pod${where} carries the labels of the selector (${selector.join(", ")})`;
      findings.push(finding(gateway, { code: "IST0101", path: "spec.selector", message }, "nothing"));
    }
  }
  const bySelector = Map.groupBy(gateways, ({ namespace, spec }) =>
    JSON.stringify([context.scopesGateways ? namespace : "", ...Object.entries(spec.selector).sort()]),
  );
  for (const group of bySelector.values()) {
    for (const { gateway, index, reason, winner } of mergeServers(group, new Map()).conflicts) {
      const message = `${reason} (${formatOrigin(winner.origin)}); this server is left out`;
      const effect = gateway.spec.servers.length === 1 ? "shadowed" : "partly";
      findings.push(
        finding(
          gateway,
          { code: "IST0145", severity: Severity.Error, path: `spec.servers[${index}]`, message },
          effect,
        ),
      );
    }
  }
  return findings;
}
