// Makes Services of Kubernetes Services.
import { annotatedExportTo, isHeadless, portProtocol, trafficDistributionOf } from "../kinds/service/resolve.ts";
import type { ServiceSpec } from "../kinds/service/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { Resolution, type Service } from "./service.ts";

export function serviceFromKubernetes(
  object: MeshObject<ServiceSpec>,
  domain: string,
  defaultExportTo: readonly string[],
): Service {
  const { spec } = object;
  const headless = isHeadless(spec);
  const exportTo = annotatedExportTo(object);
  const isExternalName = spec.type === "ExternalName" && spec.externalName !== "";
  return {
    hostname: `${object.name}.${object.namespace}.svc.${domain}`.toLowerCase(),
    name: object.name,
    namespace: object.namespace,
    source: "kubernetes",
    addresses: isExternalName ? [] : clusterAddresses(spec),
    autoAllocatedAddresses: [],
    ports: spec.ports.map((port) => ({
      name: port.name,
      number: port.port,
      protocol: portProtocol(port),
      targetPort: port.targetPort,
    })),
    resolution: isExternalName ? Resolution.DnsLb : headless ? Resolution.Passthrough : Resolution.ClientSideLb,
    meshExternal: isExternalName,
    headless,
    exportTo: exportTo.length > 0 ? exportTo : defaultExportTo,
    subjectAltNames: [],
    externalName: isExternalName ? spec.externalName.toLowerCase() : "",
    trafficDistribution: trafficDistributionOf(spec.trafficDistribution, object.metadata),
    nodeLocal: spec.internalTrafficPolicy === "Local",
    labels: object.metadata.labels ?? {},
    selector: spec.selector,
    createdAt: object.createdAt,
    origin: object.origin,
  };
}

function clusterAddresses(spec: ServiceSpec): string[] {
  const all = spec.clusterIPs.length > 0 ? spec.clusterIPs : [spec.clusterIP];
  return all.filter((address) => address !== "" && address !== "None");
}
