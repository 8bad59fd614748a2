// The resources that the cluster's own parts read and write, by name.

import type { ResourceKey } from "./store.ts";

const core = (plural: string): ResourceKey => ({ group: "", plural });

export const namespaces: ResourceKey = core("namespaces");
export const nodes: ResourceKey = core("nodes");
export const pods: ResourceKey = core("pods");
export const services: ResourceKey = core("services");
export const serviceAccounts: ResourceKey = core("serviceaccounts");
export const configMaps: ResourceKey = core("configmaps");
export const secrets: ResourceKey = core("secrets");
export const events: ResourceKey = core("events");
export const deployments: ResourceKey = { group: "apps", plural: "deployments" };
export const replicaSets: ResourceKey = { group: "apps", plural: "replicasets" };
export const statefulSets: ResourceKey = { group: "apps", plural: "statefulsets" };
export const daemonSets: ResourceKey = { group: "apps", plural: "daemonsets" };
export const jobs: ResourceKey = { group: "batch", plural: "jobs" };
export const endpointSlices: ResourceKey = { group: "discovery.k8s.io", plural: "endpointslices" };

const rbac = (plural: string): ResourceKey => ({ group: "rbac.authorization.k8s.io", plural });
export const roles: ResourceKey = rbac("roles");
export const roleBindings: ResourceKey = rbac("rolebindings");
export const clusterRoles: ResourceKey = rbac("clusterroles");
export const clusterRoleBindings: ResourceKey = rbac("clusterrolebindings");

const admission = (plural: string): ResourceKey => ({ group: "admissionregistration.k8s.io", plural });
export const mutatingWebhooks: ResourceKey = admission("mutatingwebhookconfigurations");
export const validatingWebhooks: ResourceKey = admission("validatingwebhookconfigurations");

const certificates = (plural: string): ResourceKey => ({ group: "certificates.k8s.io", plural });
export const signingRequests: ResourceKey = certificates("certificatesigningrequests");
export const trustBundles: ResourceKey = certificates("clustertrustbundles");

export const customResourceDefinitions: ResourceKey = {
  group: "apiextensions.k8s.io",
  plural: "customresourcedefinitions",
};

/** The cluster's own keys. Never served. */
export const clusterKeys: ResourceKey = { group: "internal.outrigger.dev", plural: "clusterkeys" };

/** The path of a resource as people write it: `pods`, `deployments.apps`. */
export function formatResource(resource: ResourceKey): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}
