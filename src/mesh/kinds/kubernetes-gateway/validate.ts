// Rules for Gateways that the types of their fields cannot say: those of the CRD's patterns and CEL expressions.
import { validateListeners } from "../../objects/fields/listener.ts";
import type { Report } from "../../objects/report.ts";
import { isIpAddress } from "../../objects/validate-names.ts";
import type { KubernetesGatewaySpec } from "./spec.ts";

export function validateKubernetesGateway(spec: KubernetesGatewaySpec, report: Report): void {
  if (spec.gatewayClassName === "") {
    report({ path: "spec.gatewayClassName", message: "a class is needed", fix: "gatewayClassName: istio" });
  }
  validateListeners(spec.listeners, report);
  for (const [index, { type, value }] of spec.addresses.entries()) {
    const path = `spec.addresses[${index}]`;
    if (type === "IPAddress" && value !== "" && !isIpAddress(value)) {
      report({ path, message: `"${value}" is not an IP address`, fix: "type: Hostname, for the name of a Service" });
    }
  }
}
