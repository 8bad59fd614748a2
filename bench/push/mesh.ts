// A mesh of any size as Kubernetes objects: services with pods behind them, one VirtualService for every tenth service,
// and, when it is scoped, a Sidecar in each namespace that lets its workloads see their own namespace only.
import type { KubernetesObject } from "../../src/mesh/objects/kubernetes-object.ts";

export interface MeshSize {
  readonly services: number;
  readonly endpoints: number;
  readonly namespaces: number;
  readonly scoped: boolean;
}

export interface SimulatedPod {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  readonly service: number;
}

export function meshObjects(size: MeshSize): KubernetesObject[] {
  const objects: KubernetesObject[] = [];
  for (let index = 0; index < size.namespaces; index++) objects.push(namespaceObject(`ns-${index}`));
  objects.push(namespaceObject(lonelyNamespace));
  if (size.scoped) {
    for (let index = 0; index < size.namespaces; index++) objects.push(sidecar(`ns-${index}`));
    objects.push(sidecar(lonelyNamespace));
  }
  for (let service = 0; service < size.services; service++) {
    objects.push(...serviceObjects(size, service));
    if (service % 10 === 0) objects.push(virtualService(size, service, "5s"));
  }
  objects.push(...lonelyObjects());
  return objects;
}

export function serviceObjects(size: MeshSize, service: number): KubernetesObject[] {
  const pods = Array.from({ length: size.endpoints }, (_, endpoint) => podOf(size, service, endpoint));
  const namespace = namespaceOf(size, service);
  return [
    serviceObject(namespace, `svc-${service}`, `10.${100 + (service >> 16)}.${(service >> 8) & 255}.${service & 255}`),
    ...pods.map(podObject),
    endpointSlice(namespace, `svc-${service}`, pods),
  ];
}

/** The pod number `generation` at a place behind a service: pods come and go, places stay. */
export function podOf(size: MeshSize, service: number, endpoint: number, generation = 0): SimulatedPod {
  const serial = (generation * size.services + service) * 16 + endpoint;
  return {
    name: `svc-${service}-${endpoint}-${generation}`,
    namespace: namespaceOf(size, service),
    address: `10.${200 + (serial >> 16)}.${(serial >> 8) & 255}.${serial & 255}`,
    service,
  };
}

const lonelyNamespace = "lonely";
export const lonelyPod: SimulatedPod = {
  name: "lonely-0",
  namespace: lonelyNamespace,
  address: "10.99.0.1",
  service: -1,
};

function lonelyObjects(): KubernetesObject[] {
  return [
    serviceObject(lonelyNamespace, lonelyNamespace, "10.98.0.1"),
    podObject(lonelyPod),
    endpointSlice(lonelyNamespace, lonelyNamespace, [lonelyPod]),
    lonelyVirtualService("5s"),
  ];
}

/** Seen by one proxy alone. */
export function lonelyVirtualService(timeout: string): KubernetesObject {
  return route(lonelyNamespace, lonelyNamespace, timeout, ["."]);
}

export function virtualService(size: MeshSize, service: number, timeout: string): KubernetesObject {
  return route(namespaceOf(size, service), `svc-${service}`, timeout, ["*"]);
}

function route(namespace: string, name: string, timeout: string, exportTo: string[]): KubernetesObject {
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name, namespace },
    spec: { hosts: [name], exportTo, http: [{ timeout, route: [{ destination: { host: name } }] }] },
  };
}

function namespaceOf(size: MeshSize, service: number): string {
  return `ns-${service % size.namespaces}`;
}

function namespaceObject(name: string): KubernetesObject {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { "istio-injection": "enabled" } } };
}

function sidecar(namespace: string): KubernetesObject {
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "Sidecar",
    metadata: { name: "default", namespace },
    spec: { egress: [{ hosts: ["./*", "istio-system/*"] }] },
  };
}

function serviceObject(namespace: string, name: string, clusterIP: string): KubernetesObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { clusterIP, selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  };
}

export function podObject(pod: SimulatedPod): KubernetesObject {
  const app = appOf(pod);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: pod.name, namespace: pod.namespace, labels: { app, version: "v1" } },
    spec: { serviceAccountName: app, nodeName: "node", containers: [{ name: "app", image: "app" }] },
    status: { podIP: pod.address, phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  };
}

export function endpointSlice(namespace: string, service: string, pods: readonly SimulatedPod[]): KubernetesObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${service}-1`, namespace, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: pods.map((pod) => ({
      addresses: [pod.address],
      conditions: { ready: true },
      targetRef: { kind: "Pod", name: pod.name, namespace: pod.namespace },
    })),
  };
}

export function appOf(pod: SimulatedPod): string {
  return pod.service < 0 ? lonelyNamespace : `svc-${pod.service}`;
}
