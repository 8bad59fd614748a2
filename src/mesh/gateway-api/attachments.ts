// What a route attaches to: the listeners of Gateways that admit it, and Services of the mesh. Follows the Gateway API's
// rules for ParentReference: section and port, allowed kinds and namespaces, and hostnames in common.

import { gatewayApiGroup, type ParentReference } from "../objects/fields/route-reference.ts";
import { hostsOverlap, isSubsetOf, isWildcard } from "../objects/host.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { nearest } from "../objects/suggest.ts";
import type { ApiProblem } from "./conditions.ts";
import { type GatewayApiInput, serviceHostname } from "./input.ts";
import { type AttachPoint, listenerFailure } from "./listeners.ts";

/** The part that all kinds of routes share. */
interface RouteSpec {
  readonly parentRefs: readonly ParentReference[];
  readonly hostnames?: readonly string[];
}

export type AnyRoute = MeshObject<RouteSpec>;

/** What one parentRef comes to. */
export interface RouteParent {
  readonly index: number;
  readonly ref: ParentReference;
  readonly target: ParentTarget;
  /** Why the route is not accepted there. */
  readonly denied?: ApiProblem | undefined;
}

type ParentTarget =
  /** The listeners that the route attaches to; empty where it is denied. */
  | { readonly kind: "gateway"; readonly points: readonly AttachPoint[] }
  /** The hosts of the Service or ServiceEntry, and the namespace that owns them. */
  | { readonly kind: "mesh"; readonly hosts: readonly string[]; readonly namespace: string }
  /** A kind of another controller, or a parent that does not exist: no status is written. */
  | { readonly kind: "none"; readonly message: string; readonly fix?: string | undefined };

export interface AttachContext {
  /** The listeners that this mesh serves, by who wrote them: `Gateway/namespace/name`, `ListenerSet/...`. */
  readonly pointsByOwner: ReadonlyMap<string, readonly AttachPoint[]>;
  readonly input: GatewayApiInput;
}

export function routeParents(route: AnyRoute, context: AttachContext): RouteParent[] {
  return route.spec.parentRefs.map((ref, index) => ({ index, ref, ...attach(route, ref, context) }));
}

type Attachment = Pick<RouteParent, "target" | "denied">;

function attach(route: AnyRoute, ref: ParentReference, context: AttachContext): Attachment {
  const namespace = ref.namespace || route.namespace;
  if (ref.group === gatewayApiGroup && (ref.kind === "Gateway" || ref.kind === "ListenerSet")) {
    const points = context.pointsByOwner.get(`${ref.kind}/${namespace}/${ref.name}`);
    if (points === undefined) return { target: noOwner(ref, namespace, context) };
    return attachToListeners(route, ref, points);
  }
  if (ref.group === "" && ref.kind === "Service") return attachToService(ref, namespace, context.input);
  if (ref.group === "networking.istio.io" && ref.kind === "ServiceEntry") {
    const entry = context.input.serviceEntries.find((item) => item.namespace === namespace && item.name === ref.name);
    if (entry === undefined) return notThere(`there is no ServiceEntry ${namespace}/${ref.name}`, namespace);
    return { target: { kind: "mesh", hosts: entry.spec.hosts.map((host) => host.toLowerCase()), namespace } };
  }
  return { target: { kind: "none", message: `parents of kind ${ref.group}/${ref.kind} are not served here` } };
}

function noOwner(ref: ParentReference, namespace: string, { input }: AttachContext): ParentTarget {
  const owners: readonly MeshObject<unknown>[] = ref.kind === "Gateway" ? input.gateways : input.listenerSets;
  const isThere = owners.some((item) => item.namespace === namespace && item.name === ref.name);
  if (isThere) return { kind: "none", message: `the ${ref.kind} ${namespace}/${ref.name} is not served by this mesh` };
  const known = owners.map((item) => (item.namespace === namespace ? item.name : `${item.namespace}/${item.name}`));
  const suggestion = nearest(ref.name, known);
  return {
    kind: "none",
    message: `there is no ${ref.kind} ${namespace}/${ref.name}`,
    fix: suggestion === undefined ? undefined : `did you mean "${suggestion}"?`,
  };
}

function attachToService(ref: ParentReference, namespace: string, input: GatewayApiInput): Attachment {
  const hostname = serviceHostname(ref.name, namespace, input.domain);
  const service = input.services.get(hostname)?.find(({ source }) => source === "kubernetes");
  if (service === undefined) return notThere(`there is no Service ${namespace}/${ref.name}`, namespace);
  if (ref.port !== 0 && !service.ports.some(({ number }) => number === ref.port)) {
    return notThere(`the Service ${namespace}/${ref.name} has no port ${ref.port}`, namespace);
  }
  return { target: { kind: "mesh", hosts: [hostname], namespace } };
}

function notThere(message: string, namespace: string): Attachment {
  return { target: { kind: "mesh", hosts: [], namespace }, denied: { reason: "NoMatchingParent", message } };
}

/** From the one that comes nearest to success. */
const reasonsByRank = ["NotAllowedByListeners", "NoMatchingListenerHostname", "NoMatchingParent"];

function attachToListeners(route: AnyRoute, ref: ParentReference, points: readonly AttachPoint[]): Attachment {
  const admitted: AttachPoint[] = [];
  const denials: ApiProblem[] = [];
  for (const point of points) {
    const denial = denialAt(route, ref, point);
    if (denial === undefined) admitted.push(point);
    else denials.push(denial);
  }
  if (admitted.length > 0) return { target: { kind: "gateway", points: admitted } };
  denials.sort((a, b) => reasonsByRank.indexOf(a.reason) - reasonsByRank.indexOf(b.reason));
  const reason = denials[0]?.reason ?? "NoMatchingParent";
  const messages = new Set(denials.filter((denial) => denial.reason === reason).map(({ message }) => message));
  return {
    target: { kind: "gateway", points: [] },
    denied: { reason, message: [...messages].join("; ") || `${ref.kind} ${ref.name} has no listeners` },
  };
}

function denialAt(route: AnyRoute, ref: ParentReference, point: AttachPoint): ApiProblem | undefined {
  const { listener } = point;
  if (ref.port !== 0 && ref.port !== listener.port) {
    return { reason: "NoMatchingParent", message: `no listener has the port ${ref.port}` };
  }
  if (ref.sectionName !== "" && ref.sectionName !== listener.name) {
    return { reason: "NoMatchingParent", message: `there is no listener "${ref.sectionName}"` };
  }
  if (point.problems.protocol !== undefined || point.problems.conflict !== undefined) {
    const { message } = listenerFailure(point) ?? { message: "" };
    return { reason: "NoMatchingParent", message: `the listener ${listener.name} is not accepted: ${message}` };
  }
  if (!point.supportedKinds.includes(route.kind)) {
    const kinds = point.supportedKinds.join(" and ") || "nothing";
    return {
      reason: "NotAllowedByListeners",
      message: `the listener ${listener.name} takes ${kinds}, not ${route.kind}`,
    };
  }
  if (!point.namespaces.some((name) => name === "*" || name === route.namespace)) {
    const message = `the listener ${listener.name} does not allow routes of the namespace ${route.namespace}`;
    return { reason: "NotAllowedByListeners", message };
  }
  const { hostnames = [] } = route.spec;
  if (hostnames.length > 0 && !hostnames.some((name) => hostsOverlap(name, listener.hostname || "*"))) {
    return {
      reason: "NoMatchingListenerHostname",
      message: `none of ${hostnames.join(", ")} is a host of the listener ${listener.name} (${listener.hostname})`,
    };
  }
  return undefined;
}

/**
 * Tells whether a host of a route is for this listener and not for a more specific one of the Gateway on the same port:
 * `shop.example.com` goes to the listener for that name, though one for `*.example.com` would take it too.
 */
export function isForListener(host: string, point: AttachPoint, all: readonly AttachPoint[]): boolean {
  const own = point.listener.hostname || "*";
  if (!hostsOverlap(host, own)) return false;
  if (!isWildcard(own)) return true;
  return !all.some(({ listener }) => {
    if (listener === point.listener || listener.port !== point.listener.port) return false;
    const other = listener.hostname || "*";
    return listener.protocol === point.listener.protocol && other.length > own.length && isSubsetOf(host, other);
  });
}
