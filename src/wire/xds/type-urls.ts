// xDS v3 type URLs and the order in which a consistent update applies them (make before break).

export const typeUrl = {
  cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  endpoint: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
  listener: "type.googleapis.com/envoy.config.listener.v3.Listener",
  route: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
  secret: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
  extensionConfig: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
  /** How a workload outside of the cluster is; from proxies to the control plane. */
  healthInformation: "type.googleapis.com/istio.v1.HealthInformation",
} as const;

/** Istio's push order. */
export const pushOrder: readonly string[] = [
  typeUrl.cluster,
  typeUrl.endpoint,
  typeUrl.listener,
  typeUrl.route,
  typeUrl.secret,
];
