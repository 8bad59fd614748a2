// IST0118 and IST0150: Service ports whose protocol nobody declared, so that every connection is sniffed, and those of
// external names that are not told from others.
import { type Issue, Severity } from "#base/issue.ts";
import { portProtocol } from "../kinds/service/resolve.ts";
import { Protocol } from "../objects/fields/port.ts";
import { type AnalysisContext, issueOf } from "./context.ts";

/** Namespaces that the mesh never injects into. */
const systemNamespaces: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease"]);

export function checkPortNames({ objects }: AnalysisContext): Issue[] {
  return objects.all("Service").flatMap((service) => {
    if (systemNamespaces.has(service.namespace)) return [];
    const isExternal = service.spec.type === "ExternalName";
    return service.spec.ports.flatMap((port, index) => {
      const path = `spec.ports[${index}]`;
      const isUndeclared = portProtocol(port) === Protocol.Unsupported;
      if (isExternal && (isUndeclared || port.name === "tcp")) {
        const message = `port ${port.port} ("${port.name}") of an external name takes all traffic to that port, whoever it is for`;
        const fix = "name it http-... or tls-..., or set appProtocol";
        return [issueOf(service, { code: "IST0150", severity: Severity.Warning, path, message, fix })];
      }
      if (isExternal || !isUndeclared) return [];
      const message = `the name of port ${port.port} ("${port.name}") declares no protocol; connections are sniffed`;
      const fix = `name it http-${port.name || "web"}, tcp-${port.name || "data"}, ..., or set appProtocol`;
      return [issueOf(service, { code: "IST0118", severity: Severity.Info, path, message, fix })];
    });
  });
}
