// DestinationRules against the rest: hosts without a service, subsets without workloads, rules that others outrank.
import { formatOrigin, Severity } from "#base/issue.ts";
import { type MergedDestinationRule, mergeDestinationRules } from "../../kinds/destination-rule/resolve.ts";
import type { DestinationRuleSpec } from "../../kinds/destination-rule/spec.ts";
import { selects } from "../../objects/fields/selector.ts";
import { isSubsetOf, isWildcard } from "../../objects/host.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { nearest } from "../../objects/suggest.ts";
import type { Service } from "../service.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

type Rule = MeshObject<DestinationRuleSpec>;

export function checkDestinationRules(context: CheckContext): Finding[] {
  const namespaces = new Set(context.objects.all("DestinationRule").map((rule) => rule.namespace));
  const merged = [...namespaces].flatMap((namespace) =>
    mergeDestinationRules(context.objects.inNamespace("DestinationRule", namespace)),
  );
  return merged.flatMap((group) => [...outranked(group), ...group.rules.flatMap((rule) => checkHost(rule, context))]);
}

/** Of rules that merge, the oldest traffic policy and the first subset of a name stand. */
function outranked(group: MergedDestinationRule): Finding[] {
  const owner = group.rules.find((rule) => rule.spec.trafficPolicy !== undefined);
  return group.rules.flatMap((rule) => {
    const findings: Finding[] = [];
    if (owner !== undefined && owner !== rule && rule.spec.trafficPolicy !== undefined) {
      const message = `the trafficPolicy of ${formatOrigin(owner.origin)} for the same host is older and stands; this one has no effect`;
      findings.push(
        finding(rule, { code: "OUT0006", severity: Severity.Warning, path: "spec.trafficPolicy", message }, "partly"),
      );
    }
    for (const [index, subset] of rule.spec.subsets.entries()) {
      const winner = group.subsets.find((item) => item.name === subset.name)?.rule;
      if (winner === undefined || winner === rule) continue;
      const message = `subset "${subset.name}" is already defined by ${formatOrigin(winner.origin)}`;
      findings.push(
        finding(
          rule,
          { code: "OUT0006", severity: Severity.Warning, path: `spec.subsets[${index}]`, message },
          "partly",
        ),
      );
    }
    return findings;
  });
}

function checkHost(rule: Rule, context: CheckContext): Finding[] {
  const { host } = rule.spec;
  const services = isWildcard(host)
    ? context.services.all.filter((service) => isSubsetOf(service.hostname, host))
    : (context.services.byHostname.get(host) ??
      context.services.wildcards.filter((service) => isSubsetOf(host, service.hostname)));
  if (services.length > 0) return services.length === 1 ? emptySubsets(rule, services[0], context) : [];
  const near = nearest(
    host,
    context.services.visibleFrom(rule.namespace).map((service) => service.hostname),
  );
  const fix = near === undefined ? {} : { fix: `did you mean "${near}"?` };
  const message = `no service has the host ${host}`;
  return [
    finding(rule, { code: "IST0174", severity: Severity.Warning, path: "spec.host", message, ...fix }, "nothing"),
  ];
}

function emptySubsets(rule: Rule, service: Service | undefined, context: CheckContext): Finding[] {
  const port = service?.ports.find((item) => item.protocol !== "UDP");
  if (service === undefined || port === undefined || service.resolution !== "client-side-lb") return [];
  const endpoints = context.endpoints.of(service, port.number);
  if (endpoints.length === 0) return [];
  return rule.spec.subsets.flatMap((subset, index) => {
    if (endpoints.some((endpoint) => selects(subset.labels, endpoint.workload.labels))) return [];
    const labels = Object.entries(subset.labels).map(([key, value]) => `${key}=${value}`);
    const message = `no endpoint of ${service.hostname} carries the labels of subset "${subset.name}" (${labels.join(", ")})`;
    return [finding(rule, { code: "IST0173", path: `spec.subsets[${index}]`, message }, "partly")];
  });
}
