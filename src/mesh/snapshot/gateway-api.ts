// The Gateway API within a snapshot: what it is worked out from, once for as long as nothing of that changes, and the
// facts that its statuses tell.
import { type ApiFinding, gatewayApiFindings } from "../gateway-api/findings.ts";
import { type GatewayApi, gatewayApi } from "../gateway-api/gateway-api.ts";
import { gatewayApiStatuses, type ServiceFacts } from "../gateway-api/status.ts";
import type { DesiredStatus } from "../objects/desired-status.ts";
import { type MeshObject, objectKey } from "../objects/mesh-object.ts";
import { toIssue } from "../objects/report.ts";
import type { Finding } from "./checks/finding.ts";
import { findCredential, parseCredentialName } from "./credentials.ts";
import type { ObjectTable, SpecByKind } from "./object-table.ts";
import type { Entry } from "./read-object.ts";
import type { ServiceIndex } from "./service-index.ts";
import type { ObjectChange } from "./snapshot.ts";

export interface SnapshotGatewayApi {
  readonly api: GatewayApi;
  /** What it was worked out from: equal lists give an equal answer. */
  readonly inputs: readonly (readonly MeshObject<unknown>[])[];
  readonly domain: string;
  readonly rootNamespace: string;
}

const kinds = [
  "GatewayClass",
  "Gateway.gateway.networking.k8s.io",
  "ListenerSet",
  "HTTPRoute",
  "GRPCRoute",
  "TCPRoute",
  "TLSRoute",
  "ReferenceGrant",
  "BackendTLSPolicy",
  "XBackendTrafficPolicy",
  "Service",
  "ServiceEntry",
  "Namespace",
  "Secret",
  "ConfigMap",
] as const satisfies readonly (keyof SpecByKind)[];

export function snapshotGatewayApi(
  objects: ObjectTable,
  services: ServiceIndex,
  { domain, rootNamespace }: { readonly domain: string; readonly rootNamespace: string },
  previous: SnapshotGatewayApi | undefined,
): SnapshotGatewayApi {
  const inputs = kinds.map((kind) => objects.ofKind(kind));
  if (
    previous !== undefined &&
    previous.domain === domain &&
    previous.rootNamespace === rootNamespace &&
    isSame(previous.inputs, inputs)
  )
    return previous;
  const api = gatewayApi({
    gatewayClasses: objects.all("GatewayClass"),
    gateways: objects.all("Gateway.gateway.networking.k8s.io"),
    listenerSets: objects.all("ListenerSet"),
    httpRoutes: objects.all("HTTPRoute"),
    grpcRoutes: objects.all("GRPCRoute"),
    tcpRoutes: objects.all("TCPRoute"),
    tlsRoutes: objects.all("TLSRoute"),
    referenceGrants: objects.all("ReferenceGrant"),
    backendTlsPolicies: objects.all("BackendTLSPolicy"),
    backendTrafficPolicies: objects.all("XBackendTrafficPolicy"),
    serviceEntries: objects.all("ServiceEntry"),
    namespaces: objects.all("Namespace"),
    configMaps: objects.all("ConfigMap"),
    services: services.byHostname,
    credentialProblem: (name) => credentialProblem(objects, name),
    domain,
    rootNamespace,
  });
  return { api, inputs, domain, rootNamespace };
}

/** Nothing is said while no object of the kind is known at all: then they are not in this snapshot. */
function credentialProblem(objects: ObjectTable, name: string): string | undefined {
  const asked = parseCredentialName(name, "");
  if (asked === undefined) return undefined;
  if (objects.ofKind(asked.scheme === "configmap" ? "ConfigMap" : "Secret").length === 0) return undefined;
  const found = findCredential(objects, asked);
  return found.type === "none" ? found.problem : undefined;
}

function isSame(a: SnapshotGatewayApi["inputs"], b: SnapshotGatewayApi["inputs"]): boolean {
  return a.every((list, index) => {
    const other = b[index] ?? [];
    return list.length === other.length && list.every((object, place) => object === other[place]);
  });
}

/** What is made of other objects changes with what it is made from. */
export function changesOfGenerated(
  previous: readonly MeshObject<unknown>[] | undefined,
  next: readonly MeshObject<unknown>[],
): ObjectChange[] {
  if (previous === next || previous === undefined) return [];
  const [before, after] = [previous, next].map(
    (objects) => new Map(objects.map((object) => [objectKey(object), object])),
  ) as [Map<string, MeshObject<unknown>>, Map<string, MeshObject<unknown>>];
  return [...new Map([...before, ...after])].flatMap(([key, { kind, namespace, name }]) => {
    const [old, now] = [before.get(key), after.get(key)];
    if (old !== undefined && now !== undefined && contentOf(old) === contentOf(now)) return [];
    const change = old === undefined ? "added" : now === undefined ? "removed" : "changed";
    return { kind, namespace, name, change } as const;
  });
}

/** With the places that provenance names. */
function contentOf(object: MeshObject<unknown>): string {
  const places = Object.entries(object.spec as object).flatMap(([field, value]) =>
    Array.isArray(value) ? value.map((_, index) => object.position(`spec.${field}[${index}]`)) : [],
  );
  return JSON.stringify([object, places]);
}

export function gatewayApiChecks({ api }: SnapshotGatewayApi, entries: ReadonlyMap<string, Entry>): Finding[] {
  return gatewayApiFindings(api, { service: serviceFacts(api, entries) }).map(
    ({ object, problem, effect }: ApiFinding): Finding => ({
      object,
      issue: toIssue(problem, object.origin, (path) => object.position(path)),
      ...(effect !== undefined && { effect }),
    }),
  );
}

export function gatewayApiObjectStatuses(
  { api }: SnapshotGatewayApi,
  entries: ReadonlyMap<string, Entry>,
): DesiredStatus[] {
  return gatewayApiStatuses(api, {
    generation: (object) => entries.get(objectKey(object))?.source.metadata.generation ?? 0,
    service: serviceFacts(api, entries),
  });
}

/** Addresses of load balancers stand in a Service's status, which is no part of the configuration. */
function serviceFacts(
  { input }: GatewayApi,
  entries: ReadonlyMap<string, Entry>,
): (hostname: string) => ServiceFacts | undefined {
  return (hostname) => {
    const service = input.services.get(hostname)?.[0];
    if (service === undefined) return undefined;
    const { name, namespace } = service;
    const source = entries.get(objectKey({ kind: "Service", namespace, name }))?.source;
    const spec = source?.["spec"] as { type?: unknown; clusterIPs?: unknown } | undefined;
    const status = source?.["status"] as { loadBalancer?: { ingress?: unknown } } | undefined;
    const ingress = status?.loadBalancer?.ingress;
    return {
      type: typeof spec?.type === "string" ? spec.type : "",
      ports: service.ports.map(({ number }) => number),
      clusterAddresses: texts(spec?.clusterIPs).filter((address) => address !== "None"),
      externalAddresses: (Array.isArray(ingress) ? (ingress as { ip?: unknown; hostname?: unknown }[]) : []).flatMap(
        (entry) => texts([entry?.ip, entry?.hostname]).slice(0, 1),
      ),
    };
  };
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
