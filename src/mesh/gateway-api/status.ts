// The statuses of the Gateway API's objects, as Istio writes them: conditions with their reasons, routes attached to each
// listener, kinds that a listener supports, addresses of a Gateway.
import { ipVersion } from "#base/net/ip-version.ts";
import type { DesiredStatus } from "../objects/desired-status.ts";
import { gatewayApiGroup, type ParentReference } from "../objects/fields/route-reference.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { RouteParent } from "./attachments.ts";
import type { ServedPolicy } from "./backend-policies.ts";
import { type ApiProblem, type ConditionSettings, conditions } from "./conditions.ts";
import { controllerOf, gatewayController, meshController, unmanagedController } from "./controllers.ts";
import type { GatewayApi, ServedGateway, ServedRoute } from "./gateway-api.ts";
import { isInsecure } from "./gateway-tls.ts";
import { type AttachPoint, type ListenerSet, listenerFailure } from "./listeners.ts";

/** What statuses tell beyond the configuration. */
export interface StatusFacts {
  /** Of the version of an object that is stored now. */
  generation(object: MeshObject<unknown>): number;
  /** Undefined when there is no such Service. */
  service(hostname: string): ServiceFacts | undefined;
}

export interface ServiceFacts {
  readonly type: string;
  readonly ports: readonly number[];
  readonly clusterAddresses: readonly string[];
  /** Of a load balancer. */
  readonly externalAddresses: readonly string[];
}

export function gatewayApiStatuses(api: GatewayApi, facts: StatusFacts): DesiredStatus[] {
  const { gatewayClasses, gateways } = api.input;
  const ours = new Set([gatewayController, unmanagedController]);
  return [
    ...gatewayClasses.filter(({ spec }) => ours.has(spec.controllerName)).map((object) => classStatus(object, facts)),
    ...gateways
      .filter(({ spec }) => controllerOf(spec.gatewayClassName, gatewayClasses) === unmanagedController)
      .map((object) => remoteStatus(object, facts)),
    ...api.gateways.map((gateway) => gatewayStatus(gateway, api, facts)),
    ...api.input.listenerSets.flatMap((object) => listenerSetStatus(object, api, facts) ?? []),
    ...api.routes.map((route) => routeStatus(route, facts)),
    ...api.policies.map((policy) => policyStatus(policy, facts)),
  ];
}

function desired(object: MeshObject<unknown>, status: DesiredStatus["status"]): DesiredStatus {
  const { apiVersion, namespace, name } = object;
  const kind = object.kind === "Gateway.gateway.networking.k8s.io" ? "Gateway" : object.kind;
  return { apiVersion, kind, namespace, name, status };
}

function classStatus(object: MeshObject<unknown>, facts: StatusFacts): DesiredStatus {
  const accepted = { reason: "Accepted", message: "Handled by Istio controller" };
  return desired(object, {
    conditions: conditions(facts.generation(object), { Accepted: accepted }),
    supportedFeatures: supportedFeatures.map((name) => ({ name })),
  });
}

/** Names of the Gateway API's conformance suite; sorted. */
const supportedFeatures = [
  "BackendTLSPolicy",
  "BackendTLSPolicySANValidation",
  "GRPCRoute",
  "GRPCRouteNamedRouteRule",
  "Gateway",
  "GatewayAddressEmpty",
  "GatewayBackendClientCertificate",
  "GatewayFrontendClientCertificateValidation",
  "GatewayFrontendClientCertificateValidationInsecureFallback",
  "GatewayHTTPListenerIsolation",
  "GatewayHTTPSListenerDetectMisdirectedRequests",
  "GatewayInfrastructurePropagation",
  "GatewayPort8080",
  "HTTPRoute",
  "HTTPRoute303RedirectStatusCode",
  "HTTPRoute307RedirectStatusCode",
  "HTTPRoute308RedirectStatusCode",
  "HTTPRouteBackendProtocolH2C",
  "HTTPRouteBackendProtocolWebSocket",
  "HTTPRouteBackendRequestHeaderModification",
  "HTTPRouteBackendTimeout",
  "HTTPRouteCORS",
  "HTTPRouteDestinationPortMatching",
  "HTTPRouteHostRewrite",
  "HTTPRouteMethodMatching",
  "HTTPRouteNamedRouteRule",
  "HTTPRouteParentRefPort",
  "HTTPRoutePathRedirect",
  "HTTPRoutePathRewrite",
  "HTTPRoutePortRedirect",
  "HTTPRouteQueryParamMatching",
  "HTTPRouteRequestMirror",
  "HTTPRouteRequestMultipleMirrors",
  "HTTPRouteRequestPercentageMirror",
  "HTTPRouteRequestTimeout",
  "HTTPRouteResponseHeaderModification",
  "HTTPRouteRetry",
  "HTTPRouteSchemeRedirect",
  "ListenerSet",
  "Mesh",
  "MeshConsumerRoute",
  "MeshHTTPRouteRewritePath",
  "ReferenceGrant",
  "TCPRoute",
  "TLSRoute",
  "TLSRouteModeMixed",
  "TLSRouteModeTerminate",
];

const accepted = { reason: "Accepted", message: "Resource accepted" };

function remoteStatus(object: GatewayApi["input"]["gateways"][number], facts: StatusFacts): DesiredStatus {
  return desired(object, {
    addresses: object.spec.addresses,
    conditions: conditions(facts.generation(object), {
      Accepted: accepted,
      Programmed: { reason: "Programmed", message: "This Gateway is remote; Istio will not program it" },
    }),
  });
}

function gatewayStatus(gateway: ServedGateway, api: GatewayApi, facts: StatusFacts): DesiredStatus {
  const { object, points, services, infrastructure } = gateway;
  const generation = facts.generation(object);
  const refused = infrastructure.problem ?? services.problem;
  const places = gatewayAddresses(gateway, facts);
  return desired(object, {
    ...(places.addresses.length > 0 && { addresses: places.addresses.map(typedAddress) }),
    conditions: conditions(generation, {
      Accepted: { ...listenersAccepted(gateway), ...(refused && { problem: refused }) },
      Programmed: { reason: "Programmed", message: places.message, problem: programmedProblem(gateway, facts) },
      ...tlsConditions(gateway),
    }),
    ...(object.spec.allowedListeners !== undefined && { attachedListenerSets: gateway.listenerSets.length }),
    listeners: points.filter(({ owner }) => owner === object).map((point) => listenerStatus(point, api, generation)),
  });
}

/** A Gateway is accepted while any of its listeners is, and says so when not all are. */
function listenersAccepted({ object, points }: ServedGateway): ConditionSettings {
  const own = points.filter(({ owner }) => owner === object);
  const invalid = own.filter((point) => acceptance(point) !== undefined);
  if (invalid.length === 0) return accepted;
  const reason = "ListenersNotValid";
  if (invalid.length < own.length) {
    return { reason, message: "One or more of the Gateway's listeners are invalid" };
  }
  return { ...accepted, problem: { reason, message: "None of the Gateway's listeners are valid" } };
}

/** Only where the Gateway has such settings. */
function tlsConditions({ object, backendCertificate }: ServedGateway): Record<string, ConditionSettings> {
  const message = "clients without a certificate that the roots vouch for are let in (AllowInsecureFallback)";
  const isUnresolved = typeof backendCertificate === "object";
  return {
    ...(isInsecure(object) && { InsecureFrontendValidationMode: { reason: "ConfigurationChanged", message } }),
    ...(backendCertificate !== undefined && {
      ResolvedRefs: {
        reason: "ResolvedRefs",
        message: "All references resolved",
        ...(isUnresolved && { problem: backendCertificate }),
      },
    }),
  };
}

/** Why a listener is not accepted. */
function acceptance({ problems }: AttachPoint): ApiProblem | undefined {
  const { protocol, conflict, clientRoots } = problems;
  return protocol ?? conflict ?? (clientRoots && { reason: "NoValidCACertificate", message: clientRoots.message });
}

function listenerStatus(point: AttachPoint, api: GatewayApi, generation: number) {
  return {
    name: point.listener.name,
    attachedRoutes: attachedRoutes(point, api.routes),
    supportedKinds: point.supportedKinds.map((kind) => ({ group: gatewayApiGroup, kind })),
    conditions: listenerConditions(point, generation),
  };
}

/** Undefined when its Gateway is not one of this mesh. */
function listenerSetStatus(object: ListenerSet, api: GatewayApi, facts: StatusFacts): DesiredStatus | undefined {
  const gateway = parentOf(object, api);
  if (gateway === undefined) return undefined;
  const generation = facts.generation(object);
  const isTaken = gateway.listenerSets.includes(object);
  const refused = isTaken ? undefined : notAllowed(gateway);
  const own = gateway.points.filter(({ owner }) => owner === object);
  const isServed = own.some((point) => listenerFailure(point) === undefined);
  const invalid = { reason: "ListenersNotValid", message: "no listener can be served" };
  return desired(object, {
    conditions: conditions(generation, {
      Accepted: { ...accepted, problem: refused ?? (isServed ? undefined : invalid) },
      Programmed: {
        reason: "Programmed",
        message: "Resource programmed",
        problem: refused ?? (isServed ? programmedProblem(gateway, facts) : invalid),
      },
    }),
    listeners: own.map((point) => listenerStatus(point, api, generation)),
  });
}

export function parentOf(
  { namespace, spec: { parentRef } }: ListenerSet,
  { gateways }: GatewayApi,
): ServedGateway | undefined {
  return gateways.find(
    ({ object }) => object.name === parentRef.name && object.namespace === (parentRef.namespace || namespace),
  );
}

export function notAllowed({ object }: ServedGateway): ApiProblem {
  const message = `the Gateway ${object.namespace}/${object.name} takes no listeners of this namespace (spec.allowedListeners)`;
  return { reason: "NotAllowed", message };
}

function listenerConditions(point: AttachPoint, generation: number) {
  const { conflict, certificates, clientRoots, routeKinds } = point.problems;
  const well = { message: "No errors found" };
  const failure = listenerFailure(point);
  const invalid: ApiProblem | undefined = failure && { reason: "Invalid", message: failure.message };
  return conditions(generation, {
    Accepted: { ...well, reason: "Accepted", problem: acceptance(point) },
    Conflicted: { ...well, reason: "NoConflicts", problem: conflict, negative: true },
    Programmed: { ...well, reason: "Programmed", problem: invalid },
    ResolvedRefs: { ...well, reason: "ResolvedRefs", problem: certificates ?? clientRoots ?? routeKinds },
  });
}

function attachedRoutes(point: AttachPoint, routes: readonly ServedRoute[]): number {
  return routes.filter(({ parents }) =>
    parents.some(({ target }) => target.kind === "gateway" && target.points.includes(point)),
  ).length;
}

function gatewayAddresses(
  { services, points }: ServedGateway,
  facts: StatusFacts,
): { addresses: string[]; message: string } {
  const known = services.hostnames.flatMap((hostname) => {
    const service = facts.service(hostname);
    return service === undefined ? [] : [{ hostname, service }];
  });
  const external = known.flatMap(({ service }) => service.externalAddresses);
  const internal = known.flatMap(({ hostname, service }) =>
    service.clusterAddresses.length > 0 ? service.clusterAddresses : [hostname],
  );
  const ports = [...new Set(points.map(({ listener }) => listener.port))];
  const places = known.flatMap(({ hostname }) => ports.map((port) => `${hostname}:${port}`));
  const assigned = places.length === 0 ? "" : `, assigned to service(s) ${places.join(", ")}`;
  return { addresses: external.length > 0 ? external : internal, message: `Resource programmed${assigned}` };
}

function typedAddress(value: string): { type: string; value: string } {
  return { type: ipVersion(value) === undefined ? "Hostname" : "IPAddress", value };
}

/** Why the Gateway as a whole is not served: its Service is not there, or lacks a port. */
export function programmedProblem(
  { services, points }: ServedGateway,
  facts: Pick<StatusFacts, "service">,
): ApiProblem | undefined {
  const { hostnames } = services;
  if (hostnames.length === 0) {
    return { reason: "UnsupportedAddress", message: "Failed to assign to any requested addresses" };
  }
  const warnings = hostnames.flatMap((hostname) => {
    const service = facts.service(hostname);
    if (service === undefined) return [`hostname "${hostname}" not found`];
    const missing = points.map(({ listener }) => listener.port).filter((port) => !service.ports.includes(port));
    const unserved = [...new Set(missing)].map((port) => `port ${port} not found for hostname "${hostname}"`);
    const isPending = service.type === "LoadBalancer" && service.externalAddresses.length === 0;
    return isPending ? [...unserved, `address pending for hostname "${hostname}"`] : unserved;
  });
  if (warnings.length === 0) return undefined;
  const message = `Failed to assign to any requested addresses: ${warnings.join("; ")}`;
  return { reason: "AddressNotAssigned", message };
}

function routeStatus(
  { object, parents, gatewayProblems, meshProblems }: ServedRoute,
  facts: StatusFacts,
): DesiredStatus {
  const generation = facts.generation(object);
  return desired(object, {
    parents: parents
      .filter(({ target }) => target.kind !== "none")
      .map((parent) => {
        const problems = parent.target.kind === "mesh" ? meshProblems : gatewayProblems;
        return {
          parentRef: writtenReference(parent.ref),
          controllerName: gatewayController,
          conditions: conditions(generation, {
            Accepted: { reason: "Accepted", message: acceptedMessage(parent), problem: parent.denied },
            ResolvedRefs: {
              reason: "ResolvedRefs",
              message: "All references resolved",
              problem: joinProblems(problems),
            },
          }),
        };
      }),
  });
}

function policyStatus({ object, roots, targets }: ServedPolicy, facts: StatusFacts): DesiredStatus {
  const message = "Configuration is valid";
  const invalid = roots && { reason: "NoValidCACertificate", message: roots.message };
  return desired(object, {
    ancestors: targets.map(({ target, problem }) => ({
      ancestorRef: {
        group: target.group,
        kind: target.kind,
        name: target.name,
        ...(target.sectionName && { sectionName: target.sectionName }),
      },
      controllerName: meshController,
      conditions: conditions(facts.generation(object), {
        Accepted: { reason: "Accepted", message, problem: problem ?? invalid },
        ...(object.kind === "BackendTLSPolicy" && {
          ResolvedRefs: { reason: "ResolvedRefs", message, problem: roots },
        }),
      }),
    })),
  });
}

function acceptedMessage({ target }: RouteParent): string {
  const bound = target.kind === "gateway" ? target.points.length : 1;
  return bound > 1 ? `Route was valid, bound to ${bound} parents` : "Route was valid";
}

function joinProblems(problems: readonly ApiProblem[]): ApiProblem | undefined {
  const [first] = problems;
  return first && { reason: first.reason, message: [...new Set(problems.map(({ message }) => message))].join("; ") };
}

/** The reference as the API server has it: with its defaults, without what was not set. */
function writtenReference({ group, kind, namespace, name, sectionName, port }: ParentReference): object {
  return {
    group,
    kind,
    ...(namespace !== "" && { namespace }),
    name,
    ...(sectionName !== "" && { sectionName }),
    ...(port !== 0 && { port }),
  };
}
