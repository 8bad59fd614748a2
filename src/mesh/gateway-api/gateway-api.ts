// The Gateway API as Istio understands it: its objects as Gateways, VirtualServices and DestinationRules of Istio, so that
// everything after it knows one set of kinds; and the status that each object is to carry.
import type { MeshObject } from "../objects/mesh-object.ts";
import { type AnyRoute, routeParents } from "./attachments.ts";
import { HostPolicies, type ServedPolicy } from "./backend-policies.ts";
import { backendTls } from "./backend-tls.ts";
import { backendTraffic } from "./backend-traffic.ts";
import type { BackendContext } from "./backends.ts";
import { tcpRules, tlsRules } from "./connection-rules.ts";
import { controllerOf, gatewayController } from "./controllers.ts";
import { gatewayServices } from "./gateway-services.ts";
import { backendClientCertificate } from "./gateway-tls.ts";
import { grantsOf } from "./grants.ts";
import { grpcRules } from "./grpc-rules.ts";
import { httpRules } from "./http-rules.ts";
import { type GatewayInfrastructureResult, gatewayInfrastructure } from "./infrastructure.ts";
import type { GatewayApiInput } from "./input.ts";
import {
  type AttachPoint,
  attachPoints,
  internalGateway,
  type KubernetesGateway,
  type ListenerSet,
  listenerFailure,
  takesListenersOf,
} from "./listeners.ts";
import type { MadeRoutes, RuleProblem } from "./made-route.ts";
import { httpVirtualServices, type ResolvedRoute, tcpVirtualServices, tlsVirtualServices } from "./virtual-services.ts";

export interface GatewayApi {
  /** Gateways, VirtualServices and DestinationRules of Istio. */
  readonly objects: readonly MeshObject<unknown>[];
  /** The Gateways that this mesh serves. */
  readonly gateways: readonly ServedGateway[];
  readonly routes: readonly ServedRoute[];
  readonly policies: readonly ServedPolicy[];
  readonly input: GatewayApiInput;
}

export interface ServedGateway {
  readonly object: KubernetesGateway;
  /** That the Gateway takes, oldest first. */
  readonly listenerSets: readonly ListenerSet[];
  /** Its own listeners, and those of its ListenerSets. */
  readonly points: readonly AttachPoint[];
  readonly services: ReturnType<typeof gatewayServices>;
  readonly infrastructure: GatewayInfrastructureResult;
  /** What backends are shown, by the name of the secret, or why they are not. */
  readonly backendCertificate: ReturnType<typeof backendClientCertificate>;
}

export interface ServedRoute {
  readonly object: AnyRoute;
  readonly parents: ResolvedRoute<unknown>["parents"];
  /** Of its rules, at Gateways and in the mesh. */
  readonly gatewayProblems: readonly RuleProblem[];
  readonly meshProblems: readonly RuleProblem[];
}

export function gatewayApi(input: GatewayApiInput): GatewayApi {
  const grants = grantsOf(input.referenceGrants);
  const gateways = input.gateways
    .filter(({ spec }) => controllerOf(spec.gatewayClassName, input.gatewayClasses) === gatewayController)
    .map((object): ServedGateway => {
      const listenerSets = listenerSetsOf(object, input);
      return {
        object,
        listenerSets,
        points: attachPoints(object, listenerSets, { ...input, grants }),
        services: gatewayServices(object, input.domain),
        infrastructure: gatewayInfrastructure(object, input),
        backendCertificate: backendClientCertificate(object, { ...input, grants }),
      };
    });
  const pointsByOwner = Map.groupBy(
    gateways.flatMap(({ points }) => points),
    ({ owner }) => ownerKey(owner),
  );
  const pointsByGateway = new Map(gateways.map(({ object, points }) => [object, points]));
  const routes: ServedRoute[] = [];
  const resolve = <Spec extends AnyRoute["spec"], Route>(
    object: MeshObject<Spec>,
    rules: (object: MeshObject<Spec>, context: BackendContext) => MadeRoutes<Route>,
  ): ResolvedRoute<Route> => {
    const parents = routeParents(object, { pointsByOwner, input });
    const from = { kind: object.kind, namespace: object.namespace };
    const made = (kind: "gateway" | "mesh"): MadeRoutes<Route> =>
      parents.some(({ target }) => target.kind === kind)
        ? rules(object, { input, from, grants: kind === "gateway" ? grants : undefined })
        : { routes: [], problems: [] };
    const [atGateways, inMesh] = [made("gateway"), made("mesh")];
    routes.push({ object, parents, gatewayProblems: atGateways.problems, meshProblems: inMesh.problems });
    return { object, parents, atGateways: atGateways.routes, inMesh: inMesh.routes };
  };
  const pointsOf = ({ gateway }: AttachPoint): readonly AttachPoint[] => pointsByGateway.get(gateway) ?? [];
  const http = [
    ...input.httpRoutes.map((object) => resolve(object, httpRules)),
    ...input.grpcRoutes.map((object) => resolve(object, grpcRules)),
  ].sort(byAgeAndNamespace);
  const hosts = new HostPolicies();
  const policies = [...backendTls(input, hosts), ...backendTraffic(input, hosts)];
  const objects: MeshObject<unknown>[] = [
    ...hosts.rules(),
    ...gateways.flatMap(({ points, services, backendCertificate }) =>
      points
        .filter((point) => listenerFailure(point) === undefined)
        .map((point) =>
          internalGateway(
            point,
            services.hostnames,
            typeof backendCertificate === "string" ? backendCertificate : undefined,
          ),
        ),
    ),
    ...httpVirtualServices(http, pointsOf),
    ...input.tcpRoutes.flatMap((object) => tcpVirtualServices(resolve(object, tcpRules), pointsOf)),
    ...input.tlsRoutes.flatMap((object) => tlsVirtualServices(resolve(object, tlsRules), pointsOf)),
  ];
  return { objects, gateways, routes, policies, input };
}

/** The Gateway API's order among routes whose matches are equal: oldest first, then by `namespace/name`. */
function byAgeAndNamespace(a: ResolvedRoute<unknown>, b: ResolvedRoute<unknown>): number {
  if (a.object.createdAt !== b.object.createdAt) return a.object.createdAt - b.object.createdAt;
  const [left, right] = [a, b].map(({ object }) => `${object.namespace}/${object.name}`) as [string, string];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** `Gateway/default/web`, as a parentRef names it. */
function ownerKey({ kind, namespace, name }: AttachPoint["owner"]): string {
  return `${kind === "ListenerSet" ? kind : "Gateway"}/${namespace}/${name}`;
}

function listenerSetsOf(gateway: KubernetesGateway, { listenerSets, namespaces }: GatewayApiInput): ListenerSet[] {
  return listenerSets.filter(
    ({ namespace, spec: { parentRef } }) =>
      parentRef.name === gateway.name &&
      (parentRef.namespace || namespace) === gateway.namespace &&
      takesListenersOf(gateway, namespace, namespaces),
  );
}
