// WorkloadEntries with a name for their address, selected by a ServiceEntry that does not resolve names: they are left
// out, without a word from Istio.
import { Severity } from "#base/issue.ts";
import { selects } from "../../objects/fields/selector.ts";
import { isIpAddress } from "../../objects/validate-names.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

export function checkWorkloadEntries({ objects }: CheckContext): Finding[] {
  const named = objects
    .all("WorkloadEntry")
    .filter(({ spec: { address } }) => address !== "" && !address.startsWith("unix://") && !isIpAddress(address));
  return named.flatMap((entry) => {
    const labels = { ...entry.metadata.labels, ...entry.spec.labels };
    const service = objects.inNamespace("ServiceEntry", entry.namespace).find(({ spec }) => {
      const selector = spec.workloadSelector?.labels ?? {};
      return spec.resolution === "STATIC" && Object.keys(selector).length > 0 && selects(selector, labels);
    });
    if (service === undefined) return [];
    const message = `ServiceEntry ${service.namespace}/${service.name} resolves no names: this endpoint is left out`;
    const fix = "give an IP address, or set resolution: DNS";
    const path = "spec.address";
    return [finding(entry, { code: "OUT0003", severity: Severity.Warning, path, message, fix }, "partly")];
  });
}
