// What a cluster has before anybody uses it: its namespaces, the Services `kubernetes` and `kube-dns` with their fixed
// addresses, and the roles that client libraries expect.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { applyDefaults } from "../admission/defaults/defaults.ts";
import { reservedAddresses, withServiceAddresses } from "../admission/service-addresses.ts";
import { clusterRoleBindings, clusterRoles, endpointSlices, namespaces, services } from "../store/resources.ts";
import type { ObjectStore, ResourceKey } from "../store/store.ts";
import { ensureContent } from "./namespace/namespace-content.ts";
import type { ControllerOptions } from "./options.ts";

const systemNamespaces = ["default", "kube-system", "kube-public"];

export function bootstrap(options: ControllerOptions): void {
  const { store, caPem } = options;
  for (const name of systemNamespaces) {
    ensure(store, namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    ensureContent(store, name, caPem);
  }
  for (const role of roles) ensure(store, clusterRoles, role);
  for (const binding of bindings) ensure(store, clusterRoleBindings, binding);
  ensure(store, services, apiService);
  ensure(store, services, dnsService);
  if (options.apiServer !== undefined) {
    const { host, port } = options.apiServer;
    writeEndpoint(store, "default", "kubernetes", host, [{ name: "https", port, protocol: "TCP" }]);
  }
  if (options.dns !== undefined) {
    const { host, port } = options.dns;
    writeEndpoint(store, "kube-system", "kube-dns", host, [
      { name: "dns", port, protocol: "UDP" },
      { name: "dns-tcp", port, protocol: "TCP" },
    ]);
  }
}

const rbacVersion = "rbac.authorization.k8s.io/v1";

const roles: readonly KubernetesObject[] = [
  {
    apiVersion: rbacVersion,
    kind: "ClusterRole",
    metadata: { name: "cluster-admin" },
    rules: [
      { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
      { nonResourceURLs: ["*"], verbs: ["*"] },
    ],
  },
  {
    apiVersion: rbacVersion,
    kind: "ClusterRole",
    metadata: { name: "system:auth-delegator" },
    rules: [
      { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
      { apiGroups: ["authorization.k8s.io"], resources: ["subjectaccessreviews"], verbs: ["create"] },
    ],
  },
];

const bindings: readonly KubernetesObject[] = [
  {
    apiVersion: rbacVersion,
    kind: "ClusterRoleBinding",
    metadata: { name: "cluster-admin" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: "system:masters" }],
  },
];

const apiService: KubernetesObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "kubernetes", namespace: "default", labels: { component: "apiserver", provider: "kubernetes" } },
  spec: { clusterIP: reservedAddresses["default/kubernetes"], ports: [{ name: "https", port: 443, targetPort: 6443 }] },
};

const dnsService: KubernetesObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "kube-dns", namespace: "kube-system", labels: { "k8s-app": "kube-dns" } },
  spec: {
    clusterIP: reservedAddresses["kube-system/kube-dns"],
    ports: [
      { name: "dns", port: 53, protocol: "UDP" },
      { name: "dns-tcp", port: 53, protocol: "TCP" },
    ],
  },
};

function ensure(store: ObjectStore, resource: ResourceKey, object: KubernetesObject): void {
  const { name, namespace = "" } = object.metadata;
  if (store.get(resource, namespace, name) !== undefined) return;
  const complete = applyDefaults(resource, object, undefined);
  store.create(resource, resource === services ? withServiceAddresses(store, complete) : complete);
}

/** These Services have no selector: their one endpoint is written here, anew at each start. */
function writeEndpoint(
  store: ObjectStore,
  namespace: string,
  name: string,
  host: string,
  ports: readonly unknown[],
): void {
  const slice: KubernetesObject = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports,
    endpoints: [{ addresses: [host], conditions: { ready: true, serving: true, terminating: false } }],
  };
  if (store.get(endpointSlices, namespace, name) === undefined) store.create(endpointSlices, slice);
  else store.update(endpointSlices, slice);
}
