// IST0116, IST0137, IST0144: what a workload's Services and its user ids mean for its sidecar.
import { type Issue, Severity } from "#base/issue.ts";
import type { ServicePortSpec, ServiceSpec } from "../kinds/service/spec.ts";
import { selects } from "../objects/fields/selector.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { Problem } from "../objects/report.ts";
import {
  type AnalysisContext,
  at,
  type JsonRecord,
  podTemplate,
  recordOf,
  recordsOf,
  type WrittenObject,
} from "./context.ts";
import { isInMesh } from "./injection.ts";

interface PortOfService {
  readonly service: string;
  readonly port: ServicePortSpec;
}

export function checkServiceAssociations({ objects, written }: AnalysisContext): Issue[] {
  return written.ofKind("Deployment").flatMap((deployment) => {
    const template = recordOf(at(deployment.body, "spec", "template"));
    if (!isInMesh(template, deployment.namespace, written)) return [];
    const { labels } = podTemplate(deployment.body);
    const services = objects
      .inNamespace("Service", deployment.namespace)
      .filter(({ spec }) => Object.keys(spec.selector).length > 0 && selects(spec.selector, labels));
    const ports = services.flatMap(portsOf);
    const report = (code: string, message: string, fix: string): Issue =>
      deployment.issue({ code, severity: Severity.Warning, path: "metadata.name", message, fix });
    return [
      ...[...Map.groupBy(ports, ({ port }) => port.port)].flatMap(([number, group]) => {
        const protocols = new Set(group.map(({ port }) => port.protocol));
        if (protocols.size < 2) return [];
        const message = `port ${number} of its Services ${namesOf(group)} is ${[...protocols].join(" and ")}`;
        return [report("IST0116", message, "one protocol for the port, or another port")];
      }),
      ...[...Map.groupBy(ports, ({ port }) => String(port.targetPort))].flatMap(([target, group]) => {
        const numbers = [...new Set(group.map(({ port }) => port.port))].sort((a, b) => a - b);
        if (numbers.length < 2) return [];
        const message = `its Services ${namesOf(group)} lead to targetPort ${target} from the ports ${numbers.join(", ")}`;
        return [report("IST0137", message, "one port for the target port in all of them")];
      }),
    ];
  });
}

function portsOf({ name, spec }: MeshObject<ServiceSpec>): PortOfService[] {
  return spec.ports.map((port) => ({ service: name, port }));
}

function namesOf(group: readonly PortOfService[]): string {
  return [...new Set(group.map(({ service }) => service))].sort().join(", ");
}

const proxyUser = 1337;

/** What runs as the sidecar's user is not captured. */
export function checkApplicationUser({ written }: AnalysisContext): Issue[] {
  const of = (object: WrittenObject, spec: JsonRecord, path: string): Issue[] => {
    if (isControlPlane(object)) return [];
    const problem = (where: string): Problem => ({
      code: "IST0144",
      severity: Severity.Warning,
      path: where,
      message: `user ${proxyUser} is the sidecar's: what it sends is not captured`,
      fix: "another runAsUser",
    });
    const found: Issue[] = [];
    if (at(spec, "securityContext", "runAsUser") === proxyUser) {
      found.push(object.issue(problem(`${path}.securityContext.runAsUser`)));
    }
    for (const [index, container] of recordsOf(spec["containers"]).entries()) {
      if (container["name"] === "istio-proxy" || at(container, "securityContext", "runAsUser") !== proxyUser) continue;
      found.push(object.issue(problem(`${path}.containers[${index}].securityContext.runAsUser`)));
    }
    return found;
  };
  return [
    ...written.ofKind("Pod").flatMap((pod) => of(pod, recordOf(at(pod.body, "spec")), "spec")),
    ...written
      .ofKind("Deployment")
      .flatMap((deployment) => of(deployment, podTemplate(deployment.body).spec, "spec.template.spec")),
  ];
}

function isControlPlane({ labels, body }: WrittenObject): boolean {
  const all = { ...labels, ...podTemplate(body).labels };
  return all["istio"] !== undefined || all["release"] === "istio";
}
