// The listeners of Gateways: what is wrong with each, who may attach, and the Istio Gateway that it becomes.
import type { GatewaySpec, Server } from "../kinds/gateway/spec.ts";
import type { KubernetesGatewaySpec } from "../kinds/kubernetes-gateway/spec.ts";
import type { ListenerSetSpec } from "../kinds/listener-set/spec.ts";
import type { Listener, ListenerTls, RouteNamespaces } from "../objects/fields/listener.ts";
import { gatewayApiGroup } from "../objects/fields/route-reference.ts";
import { matchesKubernetesSelector } from "../objects/fields/selector.ts";
import { ServerTlsMode, type ServerTlsSettings, TlsVersion } from "../objects/fields/server-tls.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ApiProblem } from "./conditions.ts";
import { clientRoots, frontendValidation, mutualTls, type ReferenceContext } from "./gateway-tls.ts";
import { generated } from "./generated-object.ts";
import { listenerConflicts } from "./listener-conflicts.ts";
import { gatewayServiceAnnotation, internalGatewayName } from "./names.ts";

export type KubernetesGateway = MeshObject<KubernetesGatewaySpec>;
export type ListenerSet = MeshObject<ListenerSetSpec>;

/** A listener, ready for routes to attach. */
export interface AttachPoint {
  readonly gateway: KubernetesGateway;
  /** Who wrote the listener: the Gateway or a ListenerSet. */
  readonly owner: KubernetesGateway | ListenerSet;
  readonly listener: Listener;
  /** Place in the owner's list. */
  readonly index: number;
  /** The generated Gateway as VirtualServices name it: `namespace/name`. */
  readonly internalName: string;
  /** Namespaces whose routes may attach; `*` stands for all. */
  readonly namespaces: readonly string[];
  /** Kinds of routes. */
  readonly supportedKinds: readonly string[];
  /** Part of its TLS: what clients have to show. */
  readonly clients?: Partial<ServerTlsSettings> | undefined;
  readonly problems: ListenerProblems;
}

interface ListenerProblems {
  readonly protocol?: ApiProblem | undefined;
  readonly conflict?: ApiProblem | undefined;
  readonly certificates?: ApiProblem | undefined;
  /** Nobody could tell which clients to let in. */
  readonly clientRoots?: ApiProblem | undefined;
  /** The listener works, for fewer kinds of routes than were asked for. */
  readonly routeKinds?: ApiProblem | undefined;
}

export interface ListenerContext extends ReferenceContext {
  readonly namespaces: readonly MeshObject<unknown>[];
}

/** The listeners of a Gateway: its own, then those of the ListenerSets that it takes, oldest first. */
export function attachPoints(
  gateway: KubernetesGateway,
  listenerSets: readonly ListenerSet[],
  context: ListenerContext,
): AttachPoint[] {
  const all = [gateway, ...listenerSets].flatMap((owner) =>
    owner.spec.listeners.map((listener, index) => ({ owner, listener, index })),
  );
  const conflicts = listenerConflicts(all.map(({ listener }) => listener));
  return all.map(({ owner, listener, index }, place) => {
    const { kinds, problem } = routeKinds(listener);
    const clients = clientsOf(gateway, listener, context);
    return {
      gateway,
      owner,
      listener,
      index,
      internalName: `${owner.namespace}/${internalGatewayName(owner.name, listener.name)}`,
      namespaces: admittedNamespaces(listener.allowedRoutes?.namespaces, owner.namespace, context.namespaces),
      supportedKinds: kinds,
      clients: clients !== undefined && "reason" in clients ? undefined : clients,
      problems: {
        protocol: unsupportedProtocol(listener.protocol),
        conflict: conflicts.get(place),
        certificates: certificateProblem(listener.tls, owner, context),
        clientRoots: clients !== undefined && "reason" in clients ? clients : undefined,
        routeKinds: problem,
      },
    };
  });
}

/** Tells whether a Gateway takes the listeners of a namespace; without a word it takes none. */
export function takesListenersOf(
  { spec, namespace: own }: KubernetesGateway,
  namespace: string,
  namespaces: readonly MeshObject<unknown>[],
): boolean {
  const allowed = spec.allowedListeners?.namespaces ?? { from: "None" };
  const admitted = admittedNamespaces(allowed, own, namespaces);
  return admitted.includes("*") || admitted.includes(namespace);
}

/** Why no traffic reaches the listener. */
export function listenerFailure({ problems }: AttachPoint): ApiProblem | undefined {
  return problems.protocol ?? problems.conflict ?? problems.certificates ?? problems.clientRoots;
}

/** At listeners that end TLS with a certificate of their own. */
function clientsOf(
  gateway: KubernetesGateway,
  { port, tls }: Listener,
  context: ListenerContext,
): Partial<ServerTlsSettings> | ApiProblem | undefined {
  const validation = frontendValidation(gateway, port);
  if (tls === undefined || tls.mode === "Passthrough" || isMeshMode(tls) || validation === undefined) return undefined;
  const roots = clientRoots(gateway, validation, context);
  return typeof roots === "string" ? mutualTls(roots, validation) : roots;
}

const kindsByProtocol: Readonly<Record<string, readonly string[]>> = {
  HTTP: ["HTTPRoute", "GRPCRoute"],
  HTTPS: ["HTTPRoute", "GRPCRoute"],
  TCP: ["TCPRoute"],
  TLS: ["TLSRoute", "TCPRoute"],
};

function unsupportedProtocol(protocol: string): ApiProblem | undefined {
  if (protocol in kindsByProtocol) return undefined;
  const upper = protocol.toUpperCase();
  const hint = upper in kindsByProtocol ? `; write ${upper}` : "; HTTP, HTTPS, TLS and TCP are";
  return { reason: "UnsupportedProtocol", message: `protocol "${protocol}" is not supported${hint}` };
}

function routeKinds(listener: Listener): { kinds: readonly string[]; problem?: ApiProblem } {
  const passes = listener.protocol === "TLS" && listener.tls?.mode === "Passthrough";
  const supported = passes ? ["TLSRoute"] : (kindsByProtocol[listener.protocol] ?? []);
  const asked = listener.allowedRoutes?.kinds ?? [];
  if (asked.length === 0) return { kinds: supported };
  const isAsked = (kind: string): boolean =>
    asked.some((entry) => entry.group === gatewayApiGroup && entry.kind === kind);
  const kinds = supported.filter(isAsked);
  if (kinds.length === asked.length) return { kinds };
  const wrong = asked.filter(({ group, kind }) => group !== gatewayApiGroup || !supported.includes(kind));
  const message = `${wrong.map(({ kind }) => kind).join(", ")} cannot attach to a listener of protocol ${listener.protocol}`;
  return { kinds, problem: { reason: "InvalidRouteKinds", message } };
}

function admittedNamespaces(
  allowed: RouteNamespaces | undefined,
  own: string,
  namespaces: readonly MeshObject<unknown>[],
): string[] {
  switch (allowed?.from) {
    case "All":
      return ["*"];
    case "Selector":
      return namespaces
        .filter(({ name, metadata }) =>
          matchesKubernetesSelector(allowed.selector ?? {}, {
            "kubernetes.io/metadata.name": name,
            ...metadata.labels,
          }),
        )
        .map(({ name }) => name)
        .sort();
    case "None":
      return [];
    default:
      return [own];
  }
}

function certificateProblem(
  tls: ListenerTls | undefined,
  owner: AttachPoint["owner"],
  { grants, credentialProblem }: ListenerContext,
): ApiProblem | undefined {
  if (tls === undefined || tls.mode === "Passthrough" || isMeshMode(tls)) return undefined;
  const from = { kind: owner.kind === "ListenerSet" ? owner.kind : "Gateway", namespace: owner.namespace };
  for (const ref of tls.certificateRefs) {
    if (ref.group !== "" || ref.kind !== "Secret") {
      return { reason: "InvalidCertificateRef", message: `certificateRef ${ref.name} is a ${ref.kind}, not a Secret` };
    }
    const namespace = ref.namespace || owner.namespace;
    if (!grants(from, { ...ref, namespace })) {
      return {
        reason: "RefNotPermitted",
        message: `certificateRef ${namespace}/${ref.name} is in another namespace, and no ReferenceGrant there permits it`,
      };
    }
  }
  const problems = certificateNames(tls, owner.namespace).flatMap((name) => credentialProblem(name) ?? []);
  if (problems.length > 0) return { reason: "InvalidCertificateRef", message: problems.join("; ") };
  if (tls.certificateRefs.length > 2) {
    return { reason: "InvalidCertificateRef", message: "more than two certificates cannot be served" };
  }
  return undefined;
}

const terminateMode = "gateway.istio.io/tls-terminate-mode";

function isMeshMode({ options }: ListenerTls): boolean {
  return options[terminateMode] === "ISTIO_MUTUAL";
}

/** The Istio Gateway with the one server of a listener; `services` are the hosts of the Services in front. */
export function internalGateway(
  point: AttachPoint,
  services: readonly string[],
  backendCertificate: string | undefined,
): MeshObject<GatewaySpec> {
  const { owner, listener, index, namespaces } = point;
  const host = listener.hostname || "*";
  const server: Server = {
    name: "",
    port: { number: listener.port, protocol: listener.protocol, name: "default", targetPort: 0 },
    bind: "",
    // A server needs a host; this one admits nobody.
    hosts: namespaces.length === 0 ? [`~/${host}`] : namespaces.map((namespace) => `${namespace}/${host}`),
    ...(listener.tls !== undefined && { tls: { ...serverTls(listener.tls, owner.namespace), ...point.clients } }),
    defaultEndpoint: "",
  };
  return generated<GatewaySpec>({
    kind: "Gateway",
    name: internalGatewayName(owner.name, listener.name),
    namespace: owner.namespace,
    createdAt: point.gateway.createdAt,
    annotations: { [gatewayServiceAnnotation]: services.join() },
    spec: {
      selector: {},
      servers: [server],
      ...(backendCertificate !== undefined && { backendCertificate }),
    },
    sources: [{ object: owner, path: `spec.listeners[${index}]` }],
    sourceOf: () => 0,
  });
}

function certificateNames({ certificateRefs }: ListenerTls, namespace: string): string[] {
  return certificateRefs.map((ref) => `kubernetes-gateway://${ref.namespace || namespace}/${ref.name}`);
}

function serverTls(tls: ListenerTls, namespace: string): ServerTlsSettings {
  const names = isMeshMode(tls) ? [] : certificateNames(tls, namespace);
  const [first = ""] = names;
  return {
    ...noTls,
    mode: tls.mode === "Passthrough" ? ServerTlsMode.Passthrough : terminationMode(tls),
    credentialName: names.length === 1 ? first : "",
    credentialNames: names.length > 1 ? names : [],
    cipherSuites: (tls.options["gateway.istio.io/tls-cipher-suites"] ?? "")
      .split(",")
      .map((suite) => suite.trim())
      .filter((suite) => suite !== ""),
  };
}

function terminationMode(tls: ListenerTls): ServerTlsMode {
  switch (tls.options[terminateMode]) {
    case "MUTUAL":
      return ServerTlsMode.Mutual;
    case "OPTIONAL_MUTUAL":
      return ServerTlsMode.OptionalMutual;
    case "ISTIO_MUTUAL":
      return ServerTlsMode.IstioMutual;
    default:
      return ServerTlsMode.Simple;
  }
}

const noTls: ServerTlsSettings = {
  httpsRedirect: false,
  mode: ServerTlsMode.Simple,
  serverCertificate: "",
  privateKey: "",
  caCertificates: "",
  caCrl: "",
  credentialName: "",
  credentialNames: [],
  caCertCredentialName: "",
  tlsCertificates: [],
  subjectAltNames: [],
  verifyCertificateSpki: [],
  verifyCertificateHash: [],
  minProtocolVersion: TlsVersion.Auto,
  maxProtocolVersion: TlsVersion.Auto,
  cipherSuites: [],
};
