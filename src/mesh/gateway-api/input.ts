// What the Gateway API is worked out from: its own objects, and what of the cluster they refer to.
import type { BackendTlsPolicySpec } from "../kinds/backend-tls-policy/spec.ts";
import type { ConfigMapSpec } from "../kinds/config-map/spec.ts";
import type { GatewayClassSpec } from "../kinds/gateway-class/spec.ts";
import type { GrpcRouteSpec } from "../kinds/grpc-route/spec.ts";
import type { HttpRouteSpec } from "../kinds/http-route/spec.ts";
import type { KubernetesGatewaySpec } from "../kinds/kubernetes-gateway/spec.ts";
import type { ListenerSetSpec } from "../kinds/listener-set/spec.ts";
import type { ReferenceGrantSpec } from "../kinds/reference-grant/spec.ts";
import type { ServiceEntrySpec } from "../kinds/service-entry/spec.ts";
import type { TcpRouteSpec } from "../kinds/tcp-route/spec.ts";
import type { TlsRouteSpec } from "../kinds/tls-route/spec.ts";
import type { BackendTrafficPolicySpec } from "../kinds/x-backend-traffic-policy/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";

/** Lists of objects are oldest first. */
export interface GatewayApiInput {
  readonly gatewayClasses: readonly MeshObject<GatewayClassSpec>[];
  readonly gateways: readonly MeshObject<KubernetesGatewaySpec>[];
  readonly listenerSets: readonly MeshObject<ListenerSetSpec>[];
  readonly httpRoutes: readonly MeshObject<HttpRouteSpec>[];
  readonly grpcRoutes: readonly MeshObject<GrpcRouteSpec>[];
  readonly tcpRoutes: readonly MeshObject<TcpRouteSpec>[];
  readonly tlsRoutes: readonly MeshObject<TlsRouteSpec>[];
  readonly referenceGrants: readonly MeshObject<ReferenceGrantSpec>[];
  readonly backendTlsPolicies: readonly MeshObject<BackendTlsPolicySpec>[];
  readonly backendTrafficPolicies: readonly MeshObject<BackendTrafficPolicySpec>[];
  readonly serviceEntries: readonly MeshObject<ServiceEntrySpec>[];
  readonly namespaces: readonly MeshObject<unknown>[];
  readonly configMaps: readonly MeshObject<ConfigMapSpec>[];
  /** Of Kubernetes and of ServiceEntries, by hostname. */
  readonly services: ReadonlyMap<string, readonly KnownService[]>;
  /** Why a Secret gives no certificate, or a ConfigMap no roots; undefined when it does, or when nobody knows. */
  credentialProblem(name: string): string | undefined;
  /** `cluster.local` */
  readonly domain: string;
  /** Where defaults of classes are. */
  readonly rootNamespace: string;
}

interface KnownService {
  readonly hostname: string;
  readonly name: string;
  readonly namespace: string;
  readonly source: "kubernetes" | "service-entry";
  readonly ports: readonly { readonly number: number; readonly name: string }[];
}

export function serviceHostname(name: string, namespace: string, domain: string): string {
  return `${name}.${namespace}.svc.${domain}`.toLowerCase();
}
