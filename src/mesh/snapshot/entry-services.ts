// Makes Services of ServiceEntries: one for each host.

import { type ServiceEntryVisibility, Visibility } from "../kinds/mesh-config/spec.ts";
import { trafficDistributionOf } from "../kinds/service/resolve.ts";
import { EntryLocation, EntryResolution, type ServiceEntrySpec } from "../kinds/service-entry/spec.ts";
import { parseProtocol } from "../objects/fields/port.ts";
import { type Labels, matchesKubernetesSelector } from "../objects/fields/selector.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { HostAddresses } from "./address-allocation.ts";
import { Resolution, type Service } from "./service.ts";

export function servicesFromEntry(
  object: MeshObject<ServiceEntrySpec>,
  defaultExportTo: readonly string[],
  allocated: HostAddresses | undefined,
  visibility: Visibility,
): Service[] {
  const { spec } = object;
  const exportTo = seen(spec.exportTo.length > 0 ? spec.exportTo : defaultExportTo, object.namespace, visibility);
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
    exportTo,
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

/** How far sidecars and gateways see an entry of the namespace at most. */
export function visibilityOf(config: ServiceEntryVisibility | undefined, namespaceLabels: Labels): Visibility {
  if (config?.applyToSidecars !== true) return Visibility.Public;
  const policy = config.policies.find(({ matchingRules }) =>
    matchingRules.every(
      // A rule of a kind that nobody knows matches nothing.
      ({ namespaceSelector: selector }) =>
        selector !== undefined && matchesKubernetesSelector(selector, namespaceLabels),
    ),
  );
  return policy?.visibility ?? config.defaultVisibility;
}

/** What is left of exportTo. */
function seen(exportTo: readonly string[], namespace: string, visibility: Visibility): readonly string[] {
  if (visibility === Visibility.None) return ["~"];
  if (visibility !== Visibility.Namespace) return exportTo;
  return exportTo.some((to) => to === "*" || to === "." || to === namespace) ? ["."] : ["~"];
}

const resolutions: Readonly<Record<EntryResolution, Resolution>> = {
  [EntryResolution.None]: Resolution.Passthrough,
  [EntryResolution.Static]: Resolution.ClientSideLb,
  [EntryResolution.Dns]: Resolution.DnsLb,
  [EntryResolution.DnsRoundRobin]: Resolution.DnsRoundRobinLb,
  [EntryResolution.DynamicDns]: Resolution.DynamicDns,
};
