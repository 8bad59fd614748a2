// VirtualServices against the rest: hosts that two claim, gateways, destinations, subsets and ports that do not exist.
import { formatOrigin, Severity } from "#base/issue.ts";
import { serverHosts } from "../../kinds/gateway/resolve.ts";
import { exportedTo, hostsOnServer, isBoundToMesh, isDelegate } from "../../kinds/virtual-service/resolve.ts";
import { type Destination, meshGateway, type VirtualServiceSpec } from "../../kinds/virtual-service/spec.ts";
import { isVisible, visibility } from "../../objects/export-to.ts";
import { isSubsetOf } from "../../objects/host.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { nearest } from "../../objects/suggest.ts";
import type { Service } from "../service.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

type VirtualService = MeshObject<VirtualServiceSpec>;

export function checkVirtualServices(context: CheckContext): Finding[] {
  const all = context.objects.all("VirtualService");
  return [
    ...conflictingHosts(all, context),
    ...all.flatMap((virtualService) => [
      ...unknownGateways(virtualService, context),
      ...destinationsOf(virtualService).flatMap((place) => checkDestination(virtualService, place, context)),
    ]),
  ];
}

/** In the mesh the first VirtualService owns a host; later ones have no effect for it. */
function conflictingHosts(all: readonly VirtualService[], context: CheckContext): Finding[] {
  const claims = new Map<string, VirtualService[]>();
  for (const virtualService of inOrderOfClaim(all.filter(isBoundToMesh), context)) {
    for (const host of new Set(virtualService.spec.hosts)) {
      const claimants = claims.get(host);
      if (claimants === undefined) claims.set(host, [virtualService]);
      else claimants.push(virtualService);
    }
  }
  const lost = new Map<VirtualService, { host: string; winner: VirtualService }[]>();
  for (const [host, claimants] of claims) {
    for (const [place, virtualService] of claimants.entries()) {
      const winner = claimants.slice(0, place).find((earlier) => meet(earlier, virtualService, context));
      if (winner === undefined) continue;
      const losses = lost.get(virtualService);
      if (losses === undefined) lost.set(virtualService, [{ host, winner }]);
      else losses.push({ host, winner });
    }
  }
  return [...lost].flatMap(([virtualService, losses]) => {
    const onlyMesh = virtualService.spec.gateways.every((gateway) => gateway === meshGateway);
    const all = onlyMesh && losses.length === new Set(virtualService.spec.hosts).size;
    return losses.map(({ host, winner }) =>
      finding(
        virtualService,
        {
          code: "IST0109",
          path: `spec.hosts[${virtualService.spec.hosts.indexOf(host)}]`,
          message: `${host} is already routed by ${formatOrigin(winner.origin)}, which comes first; this one has no effect for it`,
          fix: `put the routes into one VirtualService, or delete one of the two`,
        },
        all ? "shadowed" : "partly",
      ),
    );
  });
}

function inOrderOfClaim(all: readonly VirtualService[], context: CheckContext): VirtualService[] {
  const rank = { private: 0, named: 1, public: 2 };
  const rankOf = (item: VirtualService): number => rank[visibility(exportOf(item, context), item.namespace)];
  return [...all].sort((a, b) => rankOf(a) - rankOf(b));
}

/** Tells whether some namespace sees both. */
function meet(a: VirtualService, b: VirtualService, context: CheckContext): boolean {
  const namespaces = (item: VirtualService): string[] =>
    exportOf(item, context).map((entry) => (entry === "." ? item.namespace : entry));
  const seenBy = (item: VirtualService, names: readonly string[]): boolean =>
    names.some((name) => name !== "~" && (name === "*" || isVisible(exportOf(item, context), item.namespace, name)));
  const [ofA, ofB] = [namespaces(a), namespaces(b)];
  return seenBy(a, ofB) || seenBy(b, ofA) || (ofA.includes("*") && ofB.includes("*"));
}

function exportOf(virtualService: VirtualService, context: CheckContext): readonly string[] {
  return exportedTo(virtualService, context.meshConfig.defaultVirtualServiceExportTo);
}

function unknownGateways(virtualService: VirtualService, context: CheckContext): Finding[] {
  const names = virtualService.spec.gateways;
  return names.flatMap((name, index) => {
    if (name === meshGateway) return [];
    const [namespace = "", gatewayName = ""] = name.split("/");
    const path = `spec.gateways[${index}]`;
    const gateway = context.objects.find("Gateway", namespace, gatewayName);
    const effect = names.length === 1 ? "nothing" : "partly";
    if (gateway === undefined) {
      const known = context.objects.all("Gateway").map((item) => spell(item.namespace, item.name, virtualService));
      const fix = suggestion(spell(namespace, gatewayName, virtualService), known, "gateways");
      return [
        finding(virtualService, { code: "IST0101", path, message: `there is no Gateway ${name}`, ...fix }, effect),
      ];
    }
    const admitted = gateway.spec.servers.flatMap((server) => serverHosts(server, gateway.namespace));
    if (hostsOnServer(virtualService, admitted).length > 0) return [];
    const hosts = [...new Set(admitted.map(({ host }) => host))].join(", ");
    return [
      finding(
        virtualService,
        {
          code: "IST0132",
          severity: Severity.Warning,
          path,
          message: `no host of this VirtualService is served by ${formatOrigin(gateway.origin)} (its hosts: ${hosts})`,
        },
        effect,
      ),
    ];
  });
}

function spell(namespace: string, name: string, virtualService: VirtualService): string {
  return namespace === virtualService.namespace ? name : `${namespace}/${name}`;
}

interface DestinationPlace {
  readonly destination: Destination;
  readonly path: string;
}

function destinationsOf({ spec }: VirtualService): DestinationPlace[] {
  const places: DestinationPlace[] = [];
  const add = (destination: Destination, path: string): void => void places.push({ destination, path });
  for (const [index, route] of spec.http.entries()) {
    route.route.forEach((item, at) => add(item.destination, `spec.http[${index}].route[${at}].destination`));
    route.mirrors.forEach((item, at) => add(item.destination, `spec.http[${index}].mirrors[${at}].destination`));
    if (route.mirror !== undefined) add(route.mirror, `spec.http[${index}].mirror`);
  }
  for (const protocol of ["tls", "tcp"] as const) {
    for (const [index, route] of spec[protocol].entries()) {
      route.route.forEach((item, at) => add(item.destination, `spec.${protocol}[${index}].route[${at}].destination`));
    }
  }
  return places;
}

function checkDestination(virtualService: VirtualService, place: DestinationPlace, context: CheckContext): Finding[] {
  const { destination, path } = place;
  const known = context.services.byHostname.get(destination.host) ?? [];
  const service = known.find((item) => isVisible(item.exportTo, item.namespace, virtualService.namespace)) ?? known[0];
  if (service === undefined) {
    if (context.services.wildcards.some((item) => isSubsetOf(destination.host, item.hostname))) return [];
    const fix = suggestion(
      shorten(destination.host, virtualService, context),
      hostNames(virtualService, context),
      "hosts",
    );
    return [
      finding(
        virtualService,
        { code: "IST0101", path: `${path}.host`, message: `there is no service ${destination.host}`, ...fix },
        "partly",
      ),
    ];
  }
  return [
    ...checkVisible(virtualService, service, place),
    ...checkPort(virtualService, service, place),
    ...checkSubset(virtualService, service, place, context),
  ];
}

function checkVisible(virtualService: VirtualService, service: Service, { path }: DestinationPlace): Finding[] {
  if (isVisible(service.exportTo, service.namespace, virtualService.namespace)) return [];
  const message = `${service.hostname} is not exported to namespace ${virtualService.namespace} (exportTo: ${service.exportTo.join(", ")})`;
  return [finding(virtualService, { code: "IST0101", path: `${path}.host`, message }, "partly")];
}

function checkPort(virtualService: VirtualService, service: Service, place: DestinationPlace): Finding[] {
  const numbers = service.ports.filter((port) => port.protocol !== "UDP").map((port) => port.number);
  const number = place.destination.port?.number ?? 0;
  if (number !== 0 && !numbers.includes(number)) {
    const message = `${service.hostname} has no port ${number}`;
    const fix = `its ports: ${numbers.join(", ")}`;
    return [finding(virtualService, { code: "IST0101", path: `${place.path}.port.number`, message, fix }, "partly")];
  }
  if (number === 0 && numbers.length > 1 && !isBoundToMesh(virtualService) && !isDelegate(virtualService)) {
    const message = `${service.hostname} has several ports (${numbers.join(", ")}), and the destination names none`;
    const fix = `port: { number: ${numbers[0] ?? 80} }`;
    return [finding(virtualService, { code: "IST0112", path: `${place.path}.host`, message, fix }, "partly")];
  }
  return [];
}

function checkSubset(
  virtualService: VirtualService,
  service: Service,
  { destination, path }: DestinationPlace,
  context: CheckContext,
): Finding[] {
  if (destination.subset === "") return [];
  const client = { namespace: virtualService.namespace, labels: {} };
  const rule = context.destinationRules.find(client, service);
  const names = rule?.subsets.map((subset) => subset.name) ?? [];
  if (names.includes(destination.subset)) return [];
  const where =
    rule === undefined
      ? `there is no DestinationRule for ${service.hostname}`
      : `${rule.rules.map((item) => formatOrigin(item.origin)).join(" and ")} defines ${names.length === 0 ? "no subsets" : "others"}`;
  const fix =
    names.length > 0
      ? suggestion(destination.subset, names, "subsets")
      : { fix: `add a DestinationRule for ${service.hostname} with the subset ${destination.subset}` };
  const message = `there is no subset "${destination.subset}" of ${service.hostname}: ${where}`;
  return [finding(virtualService, { code: "IST0101", path: `${path}.subset`, message, ...fix }, "partly")];
}

/** As a person would write it from this namespace. */
function shorten(host: string, virtualService: VirtualService, context: CheckContext): string {
  const suffix = `.${virtualService.namespace}.svc.${context.domain}`;
  return host.endsWith(suffix) ? host.slice(0, -suffix.length) : host;
}

function hostNames(virtualService: VirtualService, context: CheckContext): string[] {
  return context.services
    .visibleFrom(virtualService.namespace)
    .map((service) => shorten(service.hostname, virtualService, context));
}

function suggestion(wanted: string, known: readonly string[], what: string): { fix?: string } {
  const near = nearest(wanted, known);
  if (near !== undefined && known.length > 12) return { fix: `did you mean "${near}"?` };
  if (known.length === 0 || known.length > 12) return {};
  const list = `known ${what}: ${known.join(", ")}`;
  return { fix: near === undefined ? list : `did you mean "${near}"? (${list})` };
}
