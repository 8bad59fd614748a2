// How a VirtualService and its matches name Gateways.
import type { Report } from "../../objects/report.ts";
import { isDnsLabel, isDnsName, isNamespaceName, warn } from "../../objects/validate-names.ts";

/** `name`, `namespace/name`, or the old `name.namespace.svc.cluster.local`. */
export function validateGatewayNames(gateways: readonly string[], path: string, report: Report): void {
  for (const [index, gateway] of gateways.entries()) {
    const at = `${path}[${index}]`;
    const slash = gateway.indexOf("/");
    const [namespace, name] = [gateway.slice(0, Math.max(slash, 0)), gateway.slice(slash + 1)];
    if (slash !== -1 && !isNamespaceName(namespace)) report({ path: at, message: `"${namespace}" is not a namespace` });
    else if (slash === -1 ? !isDnsName(name) : !isDnsLabel(name)) {
      report({ path: at, message: `"${gateway}" is not [namespace/]name` });
    } else if (slash === -1 && name.includes(".")) {
      const [short = "", second = ""] = name.split(".");
      report(warn(at, "a gateway named by its DNS name is an old spelling", `${second}/${short}`));
    }
  }
}
