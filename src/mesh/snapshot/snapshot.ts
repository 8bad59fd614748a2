// The snapshot: everything the user configured, decoded, resolved and indexed at one moment, and the questions that
// compile, analyze, explain and the control plane ask of it. Immutable; `buildSnapshot` (build.ts) makes one.
// In a snapshot short host names are expanded, gateway names are `namespace/name`, and defaults of the mesh's
// exportTo are applied to services (not to the specs).
import type { Issue, ObjectRef, Origin } from "#base/issue.ts";
import type { GatewayDeployments } from "../gateway-api/deployments.ts";
import type { AuthorizationPolicies } from "../kinds/authorization-policy/resolve.ts";
import type { MergedDestinationRule } from "../kinds/destination-rule/resolve.ts";
import type { EnvoyFilterSpec } from "../kinds/envoy-filter/spec.ts";
import type { GatewaySpec, Server } from "../kinds/gateway/spec.ts";
import type { MeshConfig } from "../kinds/mesh-config/spec.ts";
import type { MtlsDecision } from "../kinds/peer-authentication/resolve.ts";
import type { EffectiveMtlsMode } from "../kinds/peer-authentication/spec.ts";
import type { ProxyConfigLayers } from "../kinds/proxy-config/resolve.ts";
import type { ApplicableJwtRule, KeySource } from "../kinds/request-authentication/resolve.ts";
import type { CaptureMode, EgressProxy, SidecarSpec } from "../kinds/sidecar/spec.ts";
import type { TelemetrySpec } from "../kinds/telemetry/spec.ts";
import type { VirtualServiceSpec } from "../kinds/virtual-service/spec.ts";
import type { DesiredStatus } from "../objects/desired-status.ts";
import type { OutboundMode } from "../objects/fields/outbound-traffic-policy.ts";
import type { Port, Protocol } from "../objects/fields/port.ts";
import type { Labels } from "../objects/fields/selector.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { CredentialAccess } from "./credential-access.ts";
import type { Credential, CredentialName } from "./credentials.ts";
import type { Endpoint, Locality } from "./endpoint.ts";
import type { SelectedPatch } from "./envoy-filter-index.ts";
import type { KeyPlanner } from "./key-plan.ts";
import type { KeySets } from "./key-sets.ts";
import type { Networks } from "./networks.ts";
import type { ProxyNode } from "./proxy-node.ts";
import type { Service, ServicePort } from "./service.ts";

export type { AuthorizationPolicies } from "../kinds/authorization-policy/resolve.ts";
export type { MergedDestinationRule, MergedSubset } from "../kinds/destination-rule/resolve.ts";
export type { MtlsDecision } from "../kinds/peer-authentication/resolve.ts";
export type { ApplicableJwtRule, KeySource } from "../kinds/request-authentication/resolve.ts";

import type { WorkloadExtensions } from "./workload-extensions.ts";

export interface MeshSnapshot {
  /** Hash of the content: equal versions mean equal answers. */
  readonly version: string;
  /** Hash of what is not an object: MeshConfig, keys of token issuers. */
  readonly settings: string;
  readonly meshConfig: MeshConfig;
  /** `cluster.local` */
  readonly domain: string;
  /** The cluster that endpoints are of. */
  readonly clusterId: string;
  readonly networks: Networks;
  /** All issues of all objects, in the order file, line. */
  readonly issues: readonly Issue[];
  /** Objects that were added, changed or removed since the previous snapshot; all of them without a previous one. */
  readonly changes: readonly ObjectChange[];
  /** Version of the snapshot that the changes are counted from. */
  readonly changedFrom: string | undefined;

  /** All services, oldest first. */
  readonly services: readonly Service[];
  servicesIn(namespace: string): readonly Service[];
  /** The objects of a kind that are in force, oldest first. */
  objects(kind: string): readonly MeshObject<unknown>[];
  object(kind: string, namespace: string, name: string): MeshObject<unknown> | undefined;

  /** What a sidecar sees: its Sidecar resource and everybody's exportTo applied. */
  scope(proxy: ProxyNode): SidecarScope;
  /** What a gateway pod serves: all Gateways that select it, merged per port. */
  gateways(proxy: ProxyNode): GatewayScope;
  /** The services whose endpoint the proxy itself is. */
  serviceInstances(proxy: ProxyNode): readonly ServiceInstance[];

  /** Where the proxy's workload runs: as it says itself, else as its pod and node say. */
  placeOf(proxy: ProxyNode): ProxyPlace;

  /** Endpoints of a service port, as its clients see them; `subsetLabels` keeps only workloads that carry them. */
  endpoints(service: Service, portNumber: number, subsetLabels?: Labels): readonly Endpoint[];
  /** SPIFFE ids that may answer for a service: of its endpoints, and its ServiceEntries' subjectAltNames. Sorted. */
  serviceAccountsOf(service: Service): readonly string[];

  /** What the proxy demands on a port of its workload (target port), and the policy that says so. */
  inboundMtlsMode(proxy: ProxyNode, targetPort?: number): MtlsDecision;
  /** The ports for which a PeerAuthentication says something of its own. */
  inboundMtlsPorts(proxy: ProxyNode): ReadonlyMap<number, MtlsDecision>;
  /** What clients can expect of a service port: DISABLE only when every workload behind it refuses mutual TLS. */
  serviceMtlsMode(service: Service, portNumber: number): EffectiveMtlsMode;

  /** The Telemetries that apply to a workload, from the mesh's to its own. */
  telemetry(workload: WorkloadSubject): readonly MeshObject<TelemetrySpec>[];
  /** What ProxyConfigs say about a workload. */
  proxyConfig(workload: WorkloadSubject): ProxyConfigLayers;

  /** The authorization policies that apply to the proxy's workload, by action, in their order of evaluation. */
  authorizationPolicies(proxy: ProxyNode): AuthorizationPolicies;
  /** Whether a workload may have CUSTOM policies of several providers; otherwise they deny. */
  readonly severalProviders: boolean;
  /** What a Secret gives under an SDS name. */
  credential(name: CredentialName): Credential;
  /** A variable of the control plane, as mesh configuration may name them; undefined: it has none of the name. */
  readonly environment: (name: string) => string | undefined;
  /** What a Secret holds for pulling images: JSON; undefined: nothing, or it is not there. */
  pullSecret(namespace: string, name: string): string | undefined;
  /** Whether pods of the namespace may be given a Secret because this Gateway names it. */
  readonly mayLeadTo: CredentialAccess;
  /** Whose tokens the proxy's workload believes, by issuer. */
  jwtRules(proxy: ProxyNode): readonly ApplicableJwtRule[];
  /** Who fetches the keys of a rule's issuer. */
  readonly keyPlan: KeyPlanner;
  /** Where the control plane has to fetch keys of token issuers from. */
  keySources(): readonly KeySource[];
  /** What came from there; undefined where nobody fetches keys, as in a command that reads files only. */
  readonly keySets: KeySets | undefined;

  /** Wasm modules among the filters of a workload, in their order. The same list for the same modules. */
  readonly extensions: WorkloadExtensions;
  /** EnvoyFilters that are for the proxy, whatever their patches ask of it, in order. */
  envoyFilters(proxy: ProxyNode): readonly MeshObject<EnvoyFilterSpec>[];
  /** What EnvoyFilters change for the proxy, in order. The same list for proxies with the same patches. */
  envoyFilterPatches(proxy: ProxyNode): readonly SelectedPatch[];

  /** State of every object of Istio's kinds and of the Gateway API's. */
  resourceStates(): readonly ResourceState[];
  /** What the statuses of the Gateway API's objects and of Ingresses are to say. */
  gatewayApiStatuses(): readonly DesiredStatus[];
  /** What the cluster has to run for the Gateway API. */
  gatewayDeployments(): GatewayDeployments;
}

export interface ProxyPlace {
  readonly locality: Locality;
  /** Empty when unknown. */
  readonly nodeName: string;
}

export interface WorkloadSubject {
  readonly namespace: string;
  readonly labels: Labels;
}

export interface ObjectChange extends ObjectRef {
  readonly change: "added" | "changed" | "removed";
}

export interface SidecarScope {
  /** Undefined when no Sidecar resource applies. */
  readonly sidecar: MeshObject<SidecarSpec> | undefined;
  /** Visible services, one per hostname, oldest first. */
  readonly services: readonly Service[];
  /** By hostname in lower case; exact names only. */
  service(hostname: string): Service | undefined;
  /** Bound to `mesh`, visible, in the order in which they apply. */
  readonly virtualServices: readonly MeshObject<VirtualServiceSpec>[];
  /** The rule (or merged rules) for a service as this proxy sees it. */
  destinationRule(service: Service): MergedDestinationRule | undefined;
  /** One catch-all listener when the Sidecar names none. */
  readonly egressListeners: readonly EgressListener[];
  /** Empty when inbound listeners follow the services of the workload. */
  readonly ingress: SidecarSpec["ingress"];
  readonly outboundTrafficPolicy: OutboundMode;
  /** Where unknown destinations are sent instead, with ALLOW_ANY. */
  readonly egressProxy: EgressProxy | undefined;
}

export interface EgressListener {
  /** Undefined on the catch-all listener. */
  readonly port: Port | undefined;
  readonly bind: string;
  readonly captureMode: CaptureMode;
  readonly services: readonly Service[];
  readonly virtualServices: readonly MeshObject<VirtualServiceSpec>[];
}

export interface ServiceInstance {
  readonly service: Service;
  readonly port: ServicePort;
  /** The port on which the workload listens. */
  readonly targetPort: number;
}

export interface GatewayScope {
  /** One per (bind, port), in ascending order. */
  readonly listeners: readonly GatewayListener[];
  /** The secret that backends of BackendTLSPolicies are shown: that of the oldest Gateway that names one. */
  readonly backendCertificate?: string | undefined;
  /** Services visible to the gateway's namespace. */
  readonly services: readonly Service[];
  service(hostname: string): Service | undefined;
  destinationRule(service: Service): MergedDestinationRule | undefined;
}

export interface GatewayListener {
  /** The port that the pod listens on: the target port where the gateway's Service maps the server's port. */
  readonly port: number;
  readonly bind: string;
  /** Decides the form of the listener: plain HTTP servers share one route configuration, TLS servers have a chain each. */
  readonly family: "http" | "tcp" | "tls";
  readonly servers: readonly GatewayServer[];
}

export interface GatewayServer {
  readonly gateway: MeshObject<GatewaySpec>;
  /** Place in the Gateway's `servers`. */
  readonly index: number;
  readonly server: Server;
  readonly protocol: Protocol;
  /** `http.8080` or `https.443.<port name>.<gateway>.<namespace>`; empty for servers without routes (TCP, passthrough). */
  readonly routeName: string;
  /** Hosts without their namespace part, in lower case. */
  readonly hosts: readonly string[];
  /** VirtualServices bound to this server, in order, each with the hosts that the server admits. */
  readonly virtualServices: readonly BoundVirtualService[];
}

export interface BoundVirtualService {
  readonly virtualService: MeshObject<VirtualServiceSpec>;
  /** The intersection of the VirtualService's hosts and the server's: the more specific of each pair. */
  readonly hosts: readonly string[];
  /** `namespace/name` of the gateway, as matches name it. */
  readonly gateway: string;
}

export const ForceState = {
  InForce: "in force",
  /** Some of it has no effect: see the reasons. */
  Partly: "partly in force",
  /** Another object claims the same and comes first. */
  Shadowed: "shadowed",
  MatchesNothing: "matches nothing",
  /** Refused. An earlier good version may still be in force: see the reasons. */
  Invalid: "invalid",
  /** What this version accepts without effect. */
  NotInForce: "not in force",
} as const;
export type ForceState = (typeof ForceState)[keyof typeof ForceState];

export interface ResourceState {
  readonly origin: Origin;
  readonly apiVersion: string;
  /** Of the newest version, also when that one is refused; 0 when there is none. */
  readonly generation: number;
  readonly state: ForceState;
  /** Why, in words; empty when in force. */
  readonly reasons: readonly string[];
  readonly issues: readonly Issue[];
}
