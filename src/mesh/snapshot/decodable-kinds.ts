// The kinds that a snapshot reads, and those that it accepts without effect. Adding a kind is adding its folder and
// one line here.
import { authorizationPolicy } from "../kinds/authorization-policy/kind.ts";
import { backendTlsPolicy } from "../kinds/backend-tls-policy/kind.ts";
import { configMap } from "../kinds/config-map/kind.ts";
import { destinationRule } from "../kinds/destination-rule/kind.ts";
import { endpointSlice } from "../kinds/endpoint-slice/kind.ts";
import { envoyFilter } from "../kinds/envoy-filter/kind.ts";
import { gateway } from "../kinds/gateway/kind.ts";
import { gatewayClass } from "../kinds/gateway-class/kind.ts";
import { grpcRoute } from "../kinds/grpc-route/kind.ts";
import { httpRoute } from "../kinds/http-route/kind.ts";
import { ingress } from "../kinds/ingress/kind.ts";
import { ingressClass } from "../kinds/ingress-class/kind.ts";
import { kubernetesGateway } from "../kinds/kubernetes-gateway/kind.ts";
import { listenerSet } from "../kinds/listener-set/kind.ts";
import { namespace } from "../kinds/namespace/kind.ts";
import { node } from "../kinds/node/kind.ts";
import { peerAuthentication } from "../kinds/peer-authentication/kind.ts";
import { pod } from "../kinds/pod/kind.ts";
import { proxyConfig } from "../kinds/proxy-config/kind.ts";
import { referenceGrant } from "../kinds/reference-grant/kind.ts";
import { requestAuthentication } from "../kinds/request-authentication/kind.ts";
import { secret } from "../kinds/secret/kind.ts";
import { service } from "../kinds/service/kind.ts";
import { serviceEntry } from "../kinds/service-entry/kind.ts";
import { sidecar } from "../kinds/sidecar/kind.ts";
import { tcpRoute } from "../kinds/tcp-route/kind.ts";
import { telemetry } from "../kinds/telemetry/kind.ts";
import { tlsRoute } from "../kinds/tls-route/kind.ts";
import { trafficExtension } from "../kinds/traffic-extension/kind.ts";
import { virtualService } from "../kinds/virtual-service/kind.ts";
import { wasmPlugin } from "../kinds/wasm-plugin/kind.ts";
import { workloadEntry } from "../kinds/workload-entry/kind.ts";
import { workloadGroup } from "../kinds/workload-group/kind.ts";
import { xBackendTrafficPolicy } from "../kinds/x-backend-traffic-policy/kind.ts";
import type { Kind } from "../objects/kind.ts";

/** Keyed by `group/Kind`; the group of Kubernetes' own kinds is empty. */
export const decodableKinds: ReadonlyMap<string, Kind<unknown>> = new Map<string, Kind<unknown>>([
  ["networking.istio.io/VirtualService", erase(virtualService)],
  ["networking.istio.io/DestinationRule", erase(destinationRule)],
  ["networking.istio.io/Gateway", erase(gateway)],
  ["networking.istio.io/ServiceEntry", erase(serviceEntry)],
  ["networking.istio.io/WorkloadEntry", erase(workloadEntry)],
  ["networking.istio.io/WorkloadGroup", erase(workloadGroup)],
  ["networking.istio.io/Sidecar", erase(sidecar)],
  ["networking.istio.io/ProxyConfig", erase(proxyConfig)],
  ["telemetry.istio.io/Telemetry", erase(telemetry)],
  ["networking.istio.io/EnvoyFilter", erase(envoyFilter)],
  ["security.istio.io/PeerAuthentication", erase(peerAuthentication)],
  ["security.istio.io/AuthorizationPolicy", erase(authorizationPolicy)],
  ["security.istio.io/RequestAuthentication", erase(requestAuthentication)],
  ["gateway.networking.k8s.io/GatewayClass", erase(gatewayClass)],
  ["gateway.networking.k8s.io/Gateway", erase(kubernetesGateway)],
  ["gateway.networking.k8s.io/ListenerSet", erase(listenerSet)],
  ["gateway.networking.k8s.io/HTTPRoute", erase(httpRoute)],
  ["gateway.networking.k8s.io/GRPCRoute", erase(grpcRoute)],
  ["gateway.networking.k8s.io/TCPRoute", erase(tcpRoute)],
  ["gateway.networking.k8s.io/TLSRoute", erase(tlsRoute)],
  ["gateway.networking.k8s.io/ReferenceGrant", erase(referenceGrant)],
  ["gateway.networking.k8s.io/BackendTLSPolicy", erase(backendTlsPolicy)],
  ["gateway.networking.x-k8s.io/XBackendTrafficPolicy", erase(xBackendTrafficPolicy)],
  ["networking.k8s.io/Ingress", erase(ingress)],
  ["networking.k8s.io/IngressClass", erase(ingressClass)],
  ["extensions.istio.io/WasmPlugin", erase(wasmPlugin)],
  ["extensions.istio.io/TrafficExtension", erase(trafficExtension)],
  ["/ConfigMap", erase(configMap)],
  ["/Service", erase(service)],
  ["/Pod", erase(pod)],
  ["/Secret", erase(secret)],
  ["/Namespace", erase(namespace)],
  ["/Node", erase(node)],
  ["discovery.k8s.io/EndpointSlice", erase(endpointSlice)],
]);

export function kindKey(apiVersion: string, kind: string): string {
  const slash = apiVersion.indexOf("/");
  return `${slash === -1 ? "" : apiVersion.slice(0, slash)}/${kind}`;
}

/** The name of an object's kind within the mesh: two groups have a Gateway. */
export function meshKind(object: { readonly apiVersion: string; readonly kind: string }): string {
  return decodableKinds.get(kindKey(object.apiVersion, object.kind))?.kind ?? object.kind;
}

// The one place where the type of a spec is forgotten; `objectsOf` in indexes gives it back by kind.
function erase<Spec>(kind: Kind<Spec>): Kind<unknown> {
  return kind as Kind<unknown>;
}
