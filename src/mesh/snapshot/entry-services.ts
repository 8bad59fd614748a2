// Makes Services of ServiceEntries: one for each host.

import { trafficDistributionOf } from "../kinds/service/resolve.ts";
import { EntryLocation, EntryResolution, type ServiceEntrySpec } from "../kinds/service-entry/spec.ts";
import { parseProtocol } from "../objects/fields/port.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { HostAddresses } from "./address-allocation.ts";
import { Resolution, type Service } from "./service.ts";

export function servicesFromEntry(
  object: MeshObject<ServiceEntrySpec>,
  defaultExportTo: readonly string[],
  allocated: HostAddresses | undefined,
): Service[] {
  const { spec } = object;
  return spec.hosts.map((host) => ({
    hostname: host.toLowerCase(),
    name: host.toLowerCase(),
    namespace: object.namespace,
    source: "service-entry",
    addresses: spec.addresses,
    autoAllocatedAddresses: allocated?.get(host.toLowerCase()) ?? [],
    ports: spec.ports.map((port) => ({
      name: port.name,
      number: port.number,
      protocol: parseProtocol(port.protocol),
      targetPort: port.targetPort === 0 ? port.number : port.targetPort,
    })),
    resolution: resolutions[spec.resolution],
    meshExternal: spec.location === EntryLocation.MeshExternal,
    headless: false,
    exportTo: spec.exportTo.length > 0 ? spec.exportTo : defaultExportTo,
    subjectAltNames: spec.subjectAltNames,
    externalName: "",
    trafficDistribution: trafficDistributionOf("", object.metadata),
    nodeLocal: false,
    labels: object.metadata.labels ?? {},
    selector: spec.workloadSelector?.labels ?? {},
    createdAt: object.createdAt,
    origin: object.origin,
  }));
}

const resolutions: Readonly<Record<EntryResolution, Resolution>> = {
  [EntryResolution.None]: Resolution.Passthrough,
  [EntryResolution.Static]: Resolution.ClientSideLb,
  [EntryResolution.Dns]: Resolution.DnsLb,
  [EntryResolution.DnsRoundRobin]: Resolution.DnsRoundRobinLb,
  [EntryResolution.DynamicDns]: Resolution.DynamicDns,
};
