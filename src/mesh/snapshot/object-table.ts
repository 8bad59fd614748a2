// The objects in force, by kind, by namespace and by name.
import type { AuthorizationPolicySpec } from "../kinds/authorization-policy/spec.ts";
import type { BackendTlsPolicySpec } from "../kinds/backend-tls-policy/spec.ts";
import type { ConfigMapSpec } from "../kinds/config-map/spec.ts";
import type { DestinationRuleSpec } from "../kinds/destination-rule/spec.ts";
import type { EndpointSliceSpec } from "../kinds/endpoint-slice/spec.ts";
import type { EnvoyFilterSpec } from "../kinds/envoy-filter/spec.ts";
import type { GatewaySpec } from "../kinds/gateway/spec.ts";
import type { GatewayClassSpec } from "../kinds/gateway-class/spec.ts";
import type { GrpcRouteSpec } from "../kinds/grpc-route/spec.ts";
import type { HttpRouteSpec } from "../kinds/http-route/spec.ts";
import type { IngressSpec } from "../kinds/ingress/spec.ts";
import type { IngressClassSpec } from "../kinds/ingress-class/spec.ts";
import type { KubernetesGatewaySpec } from "../kinds/kubernetes-gateway/spec.ts";
import type { ListenerSetSpec } from "../kinds/listener-set/spec.ts";
import type { NamespaceSpec } from "../kinds/namespace/spec.ts";
import type { NodeSpec } from "../kinds/node/spec.ts";
import type { PeerAuthenticationSpec } from "../kinds/peer-authentication/spec.ts";
import type { PodSpec } from "../kinds/pod/spec.ts";
import type { ProxyConfigSpec } from "../kinds/proxy-config/spec.ts";
import type { ReferenceGrantSpec } from "../kinds/reference-grant/spec.ts";
import type { RequestAuthenticationSpec } from "../kinds/request-authentication/spec.ts";
import type { SecretSpec } from "../kinds/secret/spec.ts";
import type { ServiceSpec } from "../kinds/service/spec.ts";
import type { ServiceEntrySpec } from "../kinds/service-entry/spec.ts";
import type { SidecarSpec } from "../kinds/sidecar/spec.ts";
import type { TcpRouteSpec } from "../kinds/tcp-route/spec.ts";
import type { TelemetrySpec } from "../kinds/telemetry/spec.ts";
import type { TlsRouteSpec } from "../kinds/tls-route/spec.ts";
import type { TrafficExtensionSpec } from "../kinds/traffic-extension/spec.ts";
import type { VirtualServiceSpec } from "../kinds/virtual-service/spec.ts";
import type { WasmPluginSpec } from "../kinds/wasm-plugin/spec.ts";
import type { WorkloadEntrySpec } from "../kinds/workload-entry/spec.ts";
import type { WorkloadGroupSpec } from "../kinds/workload-group/spec.ts";
import type { BackendTrafficPolicySpec } from "../kinds/x-backend-traffic-policy/spec.ts";
import { byAge, type MeshObject } from "../objects/mesh-object.ts";

/** The spec of each kind; `decodable-kinds.ts` reads them. */
export interface SpecByKind {
  readonly VirtualService: VirtualServiceSpec;
  readonly DestinationRule: DestinationRuleSpec;
  readonly Gateway: GatewaySpec;
  readonly ServiceEntry: ServiceEntrySpec;
  readonly WorkloadEntry: WorkloadEntrySpec;
  readonly WorkloadGroup: WorkloadGroupSpec;
  readonly Sidecar: SidecarSpec;
  readonly ProxyConfig: ProxyConfigSpec;
  readonly WasmPlugin: WasmPluginSpec;
  readonly TrafficExtension: TrafficExtensionSpec;
  readonly Telemetry: TelemetrySpec;
  readonly EnvoyFilter: EnvoyFilterSpec;
  readonly PeerAuthentication: PeerAuthenticationSpec;
  readonly AuthorizationPolicy: AuthorizationPolicySpec;
  readonly RequestAuthentication: RequestAuthenticationSpec;
  readonly Service: ServiceSpec;
  readonly Pod: PodSpec;
  readonly Secret: SecretSpec;
  readonly Node: NodeSpec;
  readonly EndpointSlice: EndpointSliceSpec;
  readonly ConfigMap: ConfigMapSpec;
  readonly Namespace: NamespaceSpec;
  readonly Ingress: IngressSpec;
  readonly IngressClass: IngressClassSpec;
  readonly GatewayClass: GatewayClassSpec;
  readonly "Gateway.gateway.networking.k8s.io": KubernetesGatewaySpec;
  readonly ListenerSet: ListenerSetSpec;
  readonly HTTPRoute: HttpRouteSpec;
  readonly GRPCRoute: GrpcRouteSpec;
  readonly TCPRoute: TcpRouteSpec;
  readonly TLSRoute: TlsRouteSpec;
  readonly ReferenceGrant: ReferenceGrantSpec;
  readonly BackendTLSPolicy: BackendTlsPolicySpec;
  readonly XBackendTrafficPolicy: BackendTrafficPolicySpec;
}

export class ObjectTable {
  readonly #byKind: Map<string, MeshObject<unknown>[]> = new Map();
  readonly #byNamespace: Map<string, Map<string, MeshObject<unknown>[]>> = new Map();
  readonly #byName: Map<string, Map<string, MeshObject<unknown>>> = new Map();

  constructor(objects: Iterable<MeshObject<unknown>>) {
    for (const object of objects) {
      const list = this.#byKind.get(object.kind);
      if (list === undefined) this.#byKind.set(object.kind, [object]);
      else list.push(object);
    }
    for (const list of this.#byKind.values()) list.sort(byAge);
  }

  /** A table that has further objects besides. */
  with(more: readonly MeshObject<unknown>[]): ObjectTable {
    if (more.length === 0) return this;
    const next = this.#without(new Set(more.map(({ kind }) => kind)));
    for (const [kind, some] of Map.groupBy(more, (object) => object.kind)) {
      next.#byKind.set(kind, [...this.ofKind(kind), ...some].sort(byAge));
    }
    return next;
  }

  /** The next table, where some objects came in place of others: everything else is shared. Costs what differs. */
  replaced(before: Iterable<MeshObject<unknown>>, after: Iterable<MeshObject<unknown>>): ObjectTable {
    // An object whose meaning stayed is in both.
    const [gone, come] = [new Set(before), new Set(after)];
    const [left, added] = [gone.difference(come), come.difference(gone)];
    const kinds = new Set([...left, ...added].map(({ kind }) => kind));
    if (kinds.size === 0) return this;
    const next = this.#without(kinds);
    for (const kind of kinds) {
      next.#renew(
        kind,
        left,
        [...added].filter((object) => object.kind === kind),
        this,
      );
    }
    return next;
  }

  #renew(
    kind: string,
    left: ReadonlySet<MeshObject<unknown>>,
    come: readonly MeshObject<unknown>[],
    previous: ObjectTable,
  ): void {
    const before = previous.ofKind(kind);
    const all = merged(
      before.filter((object) => !left.has(object)),
      [...come].sort(byAge),
    );
    if (all.length > 0) this.#byKind.set(kind, all);
    const names = previous.#byName.get(kind);
    if (names === undefined) return;
    const next = new Map(names);
    for (const object of left) if (object.kind === kind) next.delete(nameOf(object));
    for (const object of come) next.set(nameOf(object), object);
    this.#byName.set(kind, next);
  }

  #without(kinds: ReadonlySet<string>): ObjectTable {
    const next = new ObjectTable([]);
    for (const [kind, list] of this.#byKind) if (!kinds.has(kind)) next.#byKind.set(kind, list);
    for (const [kind, groups] of this.#byNamespace) if (!kinds.has(kind)) next.#byNamespace.set(kind, groups);
    for (const [kind, names] of this.#byName) if (!kinds.has(kind)) next.#byName.set(kind, names);
    return next;
  }

  /** All objects of a kind, oldest first. */
  all<K extends keyof SpecByKind>(kind: K): readonly MeshObject<SpecByKind[K]>[] {
    return this.ofKind(kind) as readonly MeshObject<SpecByKind[K]>[];
  }

  ofKind(kind: string): readonly MeshObject<unknown>[] {
    return this.#byKind.get(kind) ?? [];
  }

  /** The objects of a kind in a namespace, oldest first. */
  inNamespace<K extends keyof SpecByKind>(kind: K, namespace: string): readonly MeshObject<SpecByKind[K]>[] {
    let groups = this.#byNamespace.get(kind);
    if (groups === undefined) {
      groups = Map.groupBy(this.ofKind(kind), (object) => object.namespace);
      this.#byNamespace.set(kind, groups);
    }
    return (groups.get(namespace) ?? []) as MeshObject<SpecByKind[K]>[];
  }

  find<K extends keyof SpecByKind>(kind: K, namespace: string, name: string): MeshObject<SpecByKind[K]> | undefined {
    return this.findOfKind(kind, namespace, name) as MeshObject<SpecByKind[K]> | undefined;
  }

  findOfKind(kind: string, namespace: string, name: string): MeshObject<unknown> | undefined {
    let names = this.#byName.get(kind);
    if (names === undefined) {
      names = new Map(this.ofKind(kind).map((object) => [nameOf(object), object]));
      this.#byName.set(kind, names);
    }
    return names.get(`${namespace}/${name}`);
  }
}

/** Both are in order. */
function merged(long: readonly MeshObject<unknown>[], short: readonly MeshObject<unknown>[]): MeshObject<unknown>[] {
  if (short.length === 0) return [...long];
  const all: MeshObject<unknown>[] = [];
  let place = 0;
  for (const object of short) {
    const end = placeFor(object, long, place);
    for (; place < end; place++) all.push(long[place] as MeshObject<unknown>);
    all.push(object);
  }
  for (; place < long.length; place++) all.push(long[place] as MeshObject<unknown>);
  return all;
}

/** The first place from `from` on where what stands there comes after the object. */
function placeFor(object: MeshObject<unknown>, list: readonly MeshObject<unknown>[], from: number): number {
  let low = from;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (byAge(list[middle] as MeshObject<unknown>, object) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nameOf({ namespace, name }: MeshObject<unknown>): string {
  return `${namespace}/${name}`;
}
