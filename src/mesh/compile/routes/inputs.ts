// What routes of VirtualServices depend on beside the VirtualService: by this, clients and scopes share them.
import type { VirtualServiceSpec } from "../../kinds/virtual-service/spec.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { SidecarScope } from "../../snapshot/snapshot.ts";
import { nobody, once } from "../shared-work.ts";
import type { DestinationScope } from "./destination.ts";
import type { VirtualService } from "./virtual-service-hosts.ts";

/** Everything of the client that some VirtualService of its scope asks for. */
export function clientKey(scope: SidecarScope, proxy: ProxyNode): string {
  return once(scope, "asks for the client", () => scope.virtualServices.some(asksForClient)) ? labelsOf(proxy) : "";
}

/** The same for one VirtualService. */
export function clientKeyFor(object: VirtualService, proxy: ProxyNode): string {
  return asksForClient(object) ? `${proxy.namespace} ${labelsOf(proxy)}` : "";
}

function labelsOf({ labels }: ProxyNode): string {
  return JSON.stringify(Object.entries(labels).sort());
}

function asksForClient({ spec }: VirtualService): boolean {
  return [...spec.http, ...spec.tls, ...spec.tcp].some(({ match }) =>
    match.some(({ sourceLabels, sourceNamespace }) => sourceNamespace !== "" || Object.keys(sourceLabels).length > 0),
  );
}

/** The services that HTTP routes lead to, as the scope sees them, with their rules; in one order for one object. */
export function destinationsOf({ spec }: VirtualService, scope: DestinationScope): object[] {
  return httpHosts(spec).flatMap((host) => {
    const named = scope.service(host.toLowerCase());
    const service = named?.externalName ? scope.service(named.externalName.toLowerCase()) : named;
    return [named ?? nobody, service ?? nobody, (service && scope.destinationRule(service)) ?? nobody];
  });
}

function httpHosts({ http }: VirtualServiceSpec): string[] {
  return http.flatMap(({ route, mirrors, mirror }) => [
    ...route.map(({ destination }) => destination.host),
    ...mirrors.map(({ destination }) => destination.host),
    ...(mirror === undefined ? [] : [mirror.host]),
  ]);
}
