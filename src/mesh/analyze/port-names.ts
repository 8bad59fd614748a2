// IST0118: Service ports whose protocol nobody declared, so that every connection is sniffed.
import { type Issue, Severity } from "#base/issue.ts";
import { portProtocol } from "../kinds/service/resolve.ts";
import { Protocol } from "../objects/fields/port.ts";
import { toIssue } from "../objects/report.ts";
import type { ObjectTable } from "../snapshot/object-table.ts";

/** Namespaces that the mesh never injects into. */
const systemNamespaces: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease"]);

export function checkPortNames(objects: ObjectTable): Issue[] {
  return objects.all("Service").flatMap((service) => {
    if (systemNamespaces.has(service.namespace) || service.spec.type === "ExternalName") return [];
    return service.spec.ports.flatMap((port, index) => {
      if (portProtocol(port) !== Protocol.Unsupported) return [];
      const problem = {
        code: "IST0118",
        severity: Severity.Info,
        path: `spec.ports[${index}]`,
        message: `the name of port ${port.port} ("${port.name}") declares no protocol; connections are sniffed`,
        fix: `name it http-${port.name || "web"}, tcp-${port.name || "data"}, ..., or set appProtocol`,
      };
      return [toIssue(problem, service.origin, (path) => service.position(path))];
    });
  });
}
