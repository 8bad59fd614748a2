// Every kind that the mesh or its embedded cluster serves: group, versions (storage first), names and scope.

export interface CatalogEntry {
  readonly kind: string;
  readonly group: string;
  readonly versions: readonly string[];
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  /** True for Istio's own kinds, the Gateway API's and Ingress: their field positions are kept and their status is reported. */
  readonly mesh: boolean;
}

const kubernetes = (
  group: string,
  version: string,
  kind: string,
  plural: string,
  shortNames: string[] = [],
  namespaced = true,
): CatalogEntry => ({
  kind,
  group,
  versions: [version],
  plural,
  singular: kind.toLowerCase(),
  shortNames,
  namespaced,
  mesh: false,
});

const istio = (
  group: string,
  versions: string[],
  kind: string,
  plural: string,
  shortNames: string[] = [],
): CatalogEntry => ({
  kind,
  group,
  versions,
  plural,
  singular: kind.toLowerCase(),
  shortNames,
  namespaced: true,
  mesh: true,
});

const gatewayApi = (
  versions: string[],
  kind: string,
  plural: string,
  shortNames: string[] = [],
  namespaced = true,
): CatalogEntry => ({ ...istio("gateway.networking.k8s.io", versions, kind, plural, shortNames), namespaced });

const networking = "networking.istio.io";
const security = "security.istio.io";

export const catalog: readonly CatalogEntry[] = [
  kubernetes("", "v1", "Namespace", "namespaces", ["ns"], false),
  kubernetes("", "v1", "Node", "nodes", ["no"], false),
  kubernetes("", "v1", "Pod", "pods", ["po"]),
  kubernetes("", "v1", "Service", "services", ["svc"]),
  kubernetes("", "v1", "ServiceAccount", "serviceaccounts", ["sa"]),
  kubernetes("", "v1", "ConfigMap", "configmaps", ["cm"]),
  kubernetes("", "v1", "Secret", "secrets"),
  kubernetes("", "v1", "Endpoints", "endpoints", ["ep"]),
  kubernetes("", "v1", "Event", "events", ["ev"]),
  kubernetes("apps", "v1", "Deployment", "deployments", ["deploy"]),
  kubernetes("apps", "v1", "ReplicaSet", "replicasets", ["rs"]),
  kubernetes("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", ["hpa"]),
  kubernetes("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", ["pdb"]),
  kubernetes("apps", "v1", "StatefulSet", "statefulsets", ["sts"]),
  kubernetes("apps", "v1", "DaemonSet", "daemonsets", ["ds"]),
  kubernetes("batch", "v1", "Job", "jobs"),
  kubernetes("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
  kubernetes("coordination.k8s.io", "v1", "Lease", "leases"),
  kubernetes("rbac.authorization.k8s.io", "v1", "Role", "roles"),
  kubernetes("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
  kubernetes("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", [], false),
  kubernetes("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", [], false),
  kubernetes(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    [],
    false,
  ),
  kubernetes(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    [],
    false,
  ),
  kubernetes("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", ["csr"], false),
  kubernetes("certificates.k8s.io", "v1beta1", "ClusterTrustBundle", "clustertrustbundles", [], false),
  kubernetes("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", [], false),
  istio(networking, ["v1", "v1beta1", "v1alpha3"], "VirtualService", "virtualservices", ["vs"]),
  istio(networking, ["v1", "v1beta1", "v1alpha3"], "DestinationRule", "destinationrules", ["dr"]),
  istio(networking, ["v1", "v1beta1", "v1alpha3"], "Gateway", "gateways", ["gw"]),
  istio(networking, ["v1", "v1beta1", "v1alpha3"], "ServiceEntry", "serviceentries", ["se"]),
  istio(networking, ["v1", "v1beta1", "v1alpha3"], "Sidecar", "sidecars"),
  istio(networking, ["v1", "v1beta1", "v1alpha3"], "WorkloadEntry", "workloadentries", ["we"]),
  istio(networking, ["v1", "v1beta1", "v1alpha3"], "WorkloadGroup", "workloadgroups", ["wg"]),
  istio(networking, ["v1alpha3"], "EnvoyFilter", "envoyfilters"),
  istio(networking, ["v1beta1"], "ProxyConfig", "proxyconfigs"),
  istio(security, ["v1", "v1beta1"], "AuthorizationPolicy", "authorizationpolicies", ["ap"]),
  istio(security, ["v1", "v1beta1"], "PeerAuthentication", "peerauthentications", ["pa"]),
  istio(security, ["v1", "v1beta1"], "RequestAuthentication", "requestauthentications", ["ra"]),
  istio("telemetry.istio.io", ["v1alpha1", "v1"], "Telemetry", "telemetries", ["telemetry"]),
  istio("extensions.istio.io", ["v1alpha1"], "WasmPlugin", "wasmplugins"),
  istio("extensions.istio.io", ["v1alpha1"], "TrafficExtension", "trafficextensions"),
  { ...kubernetes("networking.k8s.io", "v1", "Ingress", "ingresses", ["ing"]), mesh: true },
  { ...kubernetes("networking.k8s.io", "v1", "IngressClass", "ingressclasses", [], false), mesh: true },
  gatewayApi(["v1", "v1beta1"], "GatewayClass", "gatewayclasses", ["gc"], false),
  gatewayApi(["v1", "v1beta1"], "Gateway", "gateways", ["gtw"]),
  gatewayApi(["v1"], "ListenerSet", "listenersets", ["lset"]),
  gatewayApi(["v1", "v1beta1"], "HTTPRoute", "httproutes"),
  gatewayApi(["v1"], "GRPCRoute", "grpcroutes"),
  gatewayApi(["v1", "v1alpha2"], "TCPRoute", "tcproutes"),
  gatewayApi(["v1", "v1alpha3", "v1alpha2"], "TLSRoute", "tlsroutes"),
  gatewayApi(["v1beta1", "v1"], "ReferenceGrant", "referencegrants", ["refgrant"]),
  gatewayApi(["v1", "v1alpha3"], "BackendTLSPolicy", "backendtlspolicies", ["btlspolicy"]),
  istio("gateway.networking.x-k8s.io", ["v1alpha1"], "XBackendTrafficPolicy", "xbackendtrafficpolicies", [
    "xbtrafficpolicy",
  ]),
];

export function findKind(apiVersion: string, kind: string): CatalogEntry | undefined {
  const slash = apiVersion.indexOf("/");
  const group = slash === -1 ? "" : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  return catalog.find((entry) => entry.kind === kind && entry.group === group && entry.versions.includes(version));
}

/** A kind that is known to be in the catalog. */
export function catalogKind(apiVersion: string, kind: string): CatalogEntry {
  const entry = findKind(apiVersion, kind);
  if (entry === undefined) throw new TypeError(`${apiVersion} ${kind} is not in the catalog`);
  return entry;
}
