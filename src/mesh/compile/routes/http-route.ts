// The HTTP routes of a VirtualService, for one proxy, gateway and port; and the route of a service that no
// VirtualService is about.
import { create } from "@bufbuild/protobuf";
import { type Route, RouteSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import {
  hasSegmentPrefixes,
  hasGatewaySemantics as usesGatewaySemantics,
} from "../../kinds/virtual-service/resolve.ts";
import type { HttpMatchRequest, HttpRoute, VirtualServiceSpec } from "../../kinds/virtual-service/spec.ts";
import type { HttpRetry } from "../../objects/fields/http-retry.ts";
import { type MeshObject, originAt } from "../../objects/mesh-object.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { Service } from "../../snapshot/service.ts";
import { milliseconds } from "../envoy-values.ts";
import { configOf, resourceMetadata } from "../metadata.ts";
import { defaultRouteName, outboundClusterName, parseOutboundClusterName } from "../names.ts";
import { type DestinationScope, hashPolicies } from "./destination.ts";
import { hasSessions, sessionSettings } from "./persistent-session.ts";
import { retryPolicy } from "./retry-policy.ts";
import { type RouteInit, routeAction } from "./route-action.ts";
import { routeFilterSettings } from "./route-filters.ts";
import { appliesTo, isCatchAll, routeMatch } from "./route-match.ts";

export interface RoutePlace {
  readonly proxy: ProxyNode;
  readonly scope: DestinationScope;
  /** `mesh`, or the gateway as `namespace/name`. */
  readonly gateway: string;
  readonly port: number;
  readonly secure: boolean;
  readonly defaultRetries: HttpRetry | undefined;
}

/** Compiles the routes in order, up to the first that matches everything; empty when none is for this place. */
export function virtualServiceRoutes(object: MeshObject<VirtualServiceSpec>, place: RoutePlace): Route[] {
  const routes: Route[] = [];
  const hasGatewaySemantics = usesGatewaySemantics(object);
  for (const [index, http] of object.spec.http.entries()) {
    const matches: (HttpMatchRequest | undefined)[] = http.match.length === 0 ? [undefined] : [...http.match];
    for (const match of matches) {
      if (match !== undefined && !appliesTo(match, place.proxy, place)) continue;
      const compiledMatch = routeMatch(match, hasSegmentPrefixes(object));
      const action = routeAction(http, { ...place, ...(hasGatewaySemantics && { gatewayMatch: compiledMatch }) });
      if (action === undefined) continue;
      const init: RouteInit = {
        ...action,
        // Istio joins both names even where the first is empty.
        name: match === undefined || match.name === "" ? http.name : `${http.name}.${match.name}`,
        match: compiledMatch,
        statPrefix: match?.statPrefix ?? "",
        typedPerFilterConfig: {
          ...routeFilterSettings(http),
          ...sessionSettings(servicesWithSessions(http, place)[0], http.session),
        },
        metadata: resourceMetadata({
          istio: { config: configOf(object) },
          origins: [originAt(object, `spec.http[${index}]`)],
        }),
      };
      routes.push(create(RouteSchema, { ...init, decorator: { operation: operationName(init, object.name, place) } }));
      if (isCatchAll(compiledMatch)) return routes;
    }
  }
  return routes;
}

/** Of several destinations with sessions the first one's are kept. */
function servicesWithSessions(route: HttpRoute, { scope }: RoutePlace): Service[] {
  const services = route.route.flatMap(({ destination }) => scope.service(destination.host.toLowerCase()) ?? []);
  return services.filter(hasSessions);
}

/** The route of a service by its own: to its one cluster. */
export function defaultRoute(service: Service, place: RoutePlace): Route {
  const rule = place.scope.destinationRule(service);
  const hashes = hashPolicies(rule, place.port, "");
  const retries = retryPolicy(place.defaultRetries, hashes.length > 0);
  const noTimeout = milliseconds(0);
  return create(RouteSchema, {
    name: defaultRouteName,
    match: { pathSpecifier: { case: "prefix", value: "/" } },
    action: {
      case: "route",
      value: {
        clusterSpecifier: { case: "cluster", value: outboundClusterName(place.port, "", service.hostname) },
        timeout: noTimeout,
        maxGrpcTimeout: noTimeout,
        hashPolicy: hashes,
        ...(retries && { retryPolicy: retries }),
      },
    },
    decorator: { operation: `${service.hostname}:${place.port}/*` },
    metadata: resourceMetadata({ origins: [service.origin] }),
  });
}

/** What traces call the route: the one destination, or the VirtualService where there are several. */
function operationName(route: RouteInit, virtualService: string, place: RoutePlace): string {
  const specifier = route.match?.pathSpecifier;
  const path =
    specifier?.case === "prefix"
      ? `${specifier.value}*`
      : specifier?.case === "path"
        ? specifier.value
        : specifier?.case === "safeRegex"
          ? (specifier.value.regex ?? "")
          : "/*";
  const cluster = route.action?.case === "route" ? route.action.value.clusterSpecifier : undefined;
  const target = cluster?.case === "cluster" ? parseOutboundClusterName(cluster.value) : undefined;
  return target === undefined ? `${virtualService}:${place.port}${path}` : `${target.host}:${target.port}${path}`;
}
