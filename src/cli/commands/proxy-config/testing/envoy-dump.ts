// For tests: one small dump as Envoy's admin API writes it, and the same as `istioctl proxy-config all -o json` saves
// it. Keys of maps and of free-form metadata have underscores in both.

/** Of O=test, serial number 1234abcd, valid from 2026-11-21 until 2054. */
const certificate = `-----BEGIN CERTIFICATE-----
MIIBZjCCAQugAwIBAgIEEjSrzTAKBggqhkjOPQQDAjAPMQ0wCwYDVQQKDAR0ZXN0
MCAXDTI2MTEyMTA0MDEzOVoYDzIwNTQwNDA3MDQwMTM5WjAPMQ0wCwYDVQQKDAR0
ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1YWTQ7C2IozfxkFE8s+0/3W0
KrlCzshG7y8yNrJeEA5qqHUVEH3LyECCUpy+PMqyD1R8b7LvTcCTxu2EiqMZ06NT
MFEwHQYDVR0OBBYEFCuA/sSdeBpdzXG1vKPNpZSRYgABMB8GA1UdIwQYMBaAFCuA
/sSdeBpdzXG1vKPNpZSRYgABMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwID
SQAwRgIhAM7qjsg0QPnmq0Axme3sVt2dW1BCMljo06ES09UcSi1FAiEAohav0zlS
c3BbgTLKhxCuv8FciQHC8Zy6aIzIp0fc+n8=
-----END CERTIFICATE-----
`;

const certificateBase64: string = Buffer.from(certificate).toString("base64");

export const envoyDump: object = {
  configs: [
    {
      "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
      bootstrap: {
        node: {
          id: "sidecar~10.0.0.9~shop-v1-5f-abcde.default~default.svc.cluster.local",
          cluster: "shop.default",
          metadata: { ISTIO_VERSION: "1.31.0", proxy_config: { image_type: "x" } },
          locality: { sub_zone: "s" },
        },
      },
      last_updated: "2026-01-01T00:00:00.000Z",
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
      static_clusters: [{ cluster: { name: "xds-grpc", type: "STATIC" } }],
      dynamic_active_clusters: [
        {
          version_info: "c1",
          cluster: {
            name: "outbound|80|v1|api.default.svc.cluster.local",
            type: "EDS",
            connect_timeout: "10s",
            metadata: {
              filter_metadata: {
                istio: {
                  config: "/apis/networking.istio.io/v1/namespaces/default/destination-rule/api_rule",
                  default_original_port: 80,
                },
              },
            },
            typed_extension_protocol_options: {
              "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": { use_downstream_protocol_config: {} },
            },
          },
        },
        { version_info: "c2", cluster: { name: "PassthroughCluster", type: "ORIGINAL_DST" } },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump",
      dynamic_endpoint_configs: [
        {
          endpoint_config: {
            cluster_name: "outbound|80|v1|api.default.svc.cluster.local",
            endpoints: [
              {
                locality: { region: "eu", zone: "a" },
                lb_endpoints: [
                  {
                    endpoint: { address: { socket_address: { address: "10.0.0.2", port_value: 8080 } } },
                    health_status: "HEALTHY",
                  },
                  { endpoint: { address: { pipe: { path: "/run/x" } } } },
                ],
              },
            ],
          },
        },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
      dynamic_listeners: [
        {
          name: "virtualInbound",
          active_state: {
            version_info: "l1",
            listener: {
              name: "virtualInbound",
              address: { socket_address: { address: "0.0.0.0", port_value: 15006 } },
              filter_chains: [
                {
                  filter_chain_match: {
                    destination_port: 8080,
                    transport_protocol: "tls",
                    application_protocols: ["istio", "istio-peer-exchange"],
                    prefix_ranges: [{ address_prefix: "10.0.0.9", prefix_len: 32 }],
                  },
                  filters: [
                    {
                      name: "rbac",
                      typed_config: {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
                        rules: {
                          policies: { "ns[default]-policy[allow_one]-rule[0]": { permissions: [{ and_rules: {} }] } },
                        },
                      },
                    },
                    {
                      name: "http",
                      typed_config: {
                        "@type":
                          "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        route_config: {
                          virtual_hosts: [
                            {
                              routes: [
                                { match: { prefix: "/" } },
                                { match: { safe_regex: { regex: "/a.*" }, headers: [{ name: "end_user" }] } },
                              ],
                            },
                          ],
                        },
                      },
                    },
                  ],
                },
              ],
              default_filter_chain: {
                filters: [
                  {
                    name: "tcp",
                    typed_config: {
                      "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                      weighted_clusters: {
                        clusters: [
                          { name: "a", weight: 1 },
                          { name: "b", weight: 99 },
                        ],
                      },
                    },
                  },
                ],
              },
            },
          },
        },
        {
          name: "0.0.0.0_80",
          active_state: {
            version_info: "l2",
            listener: {
              name: "0.0.0.0_80",
              address: { socket_address: { address: "0.0.0.0", port_value: 80 } },
              filter_chains: [
                {
                  filter_chain_match: { server_names: ["api.example"] },
                  filters: [
                    {
                      name: "http",
                      typed_config: {
                        "@type":
                          "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        rds: { route_config_name: "80" },
                      },
                    },
                  ],
                },
              ],
            },
          },
        },
        { name: "refused", error_state: { details: "no" } },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump",
      dynamic_route_configs: [
        {
          version_info: "r1",
          route_config: {
            name: "80",
            virtual_hosts: [
              {
                name: "api.default.svc.cluster.local:80",
                domains: ["api", "api.default", "10.96.0.7"],
                routes: [
                  {
                    match: { path_separated_prefix: "/v1" },
                    metadata: {
                      filter_metadata: {
                        istio: { config: "/apis/networking.istio.io/v1/namespaces/default/virtual-service/api_routes" },
                      },
                    },
                    typed_per_filter_config: { "my_filter.v1": { "@type": "x", some_field: 1 } },
                  },
                  { match: { path: "/exact" } },
                ],
              },
              { name: "block_all", domains: ["*"] },
            ],
          },
        },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump",
      ecds_filters: [
        {
          version_info: "1",
          ecds_filter: {
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            name: "settings",
            typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer" },
          },
        },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump",
      dynamic_active_secrets: [
        {
          name: "default",
          secret: {
            name: "default",
            tls_certificate: {
              certificate_chain: { inline_bytes: certificateBase64 },
              private_key: { inline_bytes: "W3JlZGFjdGVkXQ==" },
            },
          },
        },
      ],
      dynamic_warming_secrets: [
        { name: "ROOTCA", secret: { name: "ROOTCA", validation_context: { trusted_ca: { inline_string: "no PEM" } } } },
      ],
    },
  ],
};

export const istioctlDump: object = {
  configs: [
    {
      "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
      bootstrap: {
        node: {
          id: "sidecar~10.0.0.9~shop-v1-5f-abcde.default~default.svc.cluster.local",
          cluster: "shop.default",
          metadata: { ISTIO_VERSION: "1.31.0", proxy_config: { image_type: "x" } },
          locality: { subZone: "s" },
        },
      },
      lastUpdated: "2026-01-01T00:00:00.000Z",
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
      staticClusters: [{ cluster: { name: "xds-grpc", type: "STATIC" } }],
      dynamicActiveClusters: [
        {
          versionInfo: "c1",
          cluster: {
            name: "outbound|80|v1|api.default.svc.cluster.local",
            type: "EDS",
            connectTimeout: "10s",
            metadata: {
              filterMetadata: {
                istio: {
                  config: "/apis/networking.istio.io/v1/namespaces/default/destination-rule/api_rule",
                  default_original_port: 80,
                },
              },
            },
            typedExtensionProtocolOptions: {
              "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": { useDownstreamProtocolConfig: {} },
            },
          },
        },
        { versionInfo: "c2", cluster: { name: "PassthroughCluster", type: "ORIGINAL_DST" } },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump",
      dynamicEndpointConfigs: [
        {
          endpointConfig: {
            clusterName: "outbound|80|v1|api.default.svc.cluster.local",
            endpoints: [
              {
                locality: { region: "eu", zone: "a" },
                lbEndpoints: [
                  {
                    endpoint: { address: { socketAddress: { address: "10.0.0.2", portValue: 8080 } } },
                    healthStatus: "HEALTHY",
                  },
                  { endpoint: { address: { pipe: { path: "/run/x" } } } },
                ],
              },
            ],
          },
        },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
      dynamicListeners: [
        {
          name: "virtualInbound",
          activeState: {
            versionInfo: "l1",
            listener: {
              name: "virtualInbound",
              address: { socketAddress: { address: "0.0.0.0", portValue: 15006 } },
              filterChains: [
                {
                  filterChainMatch: {
                    destinationPort: 8080,
                    transportProtocol: "tls",
                    applicationProtocols: ["istio", "istio-peer-exchange"],
                    prefixRanges: [{ addressPrefix: "10.0.0.9", prefixLen: 32 }],
                  },
                  filters: [
                    {
                      name: "rbac",
                      typedConfig: {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
                        rules: {
                          policies: { "ns[default]-policy[allow_one]-rule[0]": { permissions: [{ andRules: {} }] } },
                        },
                      },
                    },
                    {
                      name: "http",
                      typedConfig: {
                        "@type":
                          "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        routeConfig: {
                          virtualHosts: [
                            {
                              routes: [
                                { match: { prefix: "/" } },
                                { match: { safeRegex: { regex: "/a.*" }, headers: [{ name: "end_user" }] } },
                              ],
                            },
                          ],
                        },
                      },
                    },
                  ],
                },
              ],
              defaultFilterChain: {
                filters: [
                  {
                    name: "tcp",
                    typedConfig: {
                      "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                      weightedClusters: {
                        clusters: [
                          { name: "a", weight: 1 },
                          { name: "b", weight: 99 },
                        ],
                      },
                    },
                  },
                ],
              },
            },
          },
        },
        {
          name: "0.0.0.0_80",
          activeState: {
            versionInfo: "l2",
            listener: {
              name: "0.0.0.0_80",
              address: { socketAddress: { address: "0.0.0.0", portValue: 80 } },
              filterChains: [
                {
                  filterChainMatch: { serverNames: ["api.example"] },
                  filters: [
                    {
                      name: "http",
                      typedConfig: {
                        "@type":
                          "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        rds: { routeConfigName: "80" },
                      },
                    },
                  ],
                },
              ],
            },
          },
        },
        { name: "refused", errorState: { details: "no" } },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump",
      dynamicRouteConfigs: [
        {
          versionInfo: "r1",
          routeConfig: {
            name: "80",
            virtualHosts: [
              {
                name: "api.default.svc.cluster.local:80",
                domains: ["api", "api.default", "10.96.0.7"],
                routes: [
                  {
                    match: { pathSeparatedPrefix: "/v1" },
                    metadata: {
                      filterMetadata: {
                        istio: { config: "/apis/networking.istio.io/v1/namespaces/default/virtual-service/api_routes" },
                      },
                    },
                    typedPerFilterConfig: { "my_filter.v1": { "@type": "x", someField: 1 } },
                  },
                  { match: { path: "/exact" } },
                ],
              },
              { name: "block_all", domains: ["*"] },
            ],
          },
        },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump",
      ecdsFilters: [
        {
          versionInfo: "1",
          ecdsFilter: {
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            name: "settings",
            typedConfig: { "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer" },
          },
        },
      ],
    },
    {
      "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump",
      dynamicActiveSecrets: [
        {
          name: "default",
          secret: {
            name: "default",
            tlsCertificate: {
              certificateChain: { inlineBytes: certificateBase64 },
              privateKey: { inlineBytes: "W3JlZGFjdGVkXQ==" },
            },
          },
        },
      ],
      dynamicWarmingSecrets: [
        { name: "ROOTCA", secret: { name: "ROOTCA", validationContext: { trustedCa: { inlineString: "no PEM" } } } },
      ],
    },
  ],
};

export const envoyClusters: object = {
  cluster_statuses: [
    {
      name: "outbound|80|v1|api.default.svc.cluster.local",
      host_statuses: [
        {
          address: { socket_address: { address: "10.0.0.3", port_value: 8080 } },
          health_status: { failed_outlier_check: true, eds_health_status: "UNHEALTHY" },
        },
        {
          address: { socket_address: { address: "10.0.0.2", port_value: 8080 } },
          health_status: { eds_health_status: "HEALTHY" },
        },
        { address: { envoy_internal_address: { server_listener_name: "inner", endpoint_id: "1" } } },
      ],
    },
    { name: "BlackHoleCluster" },
  ],
};

export const istioctlClusters: object = {
  clusterStatuses: [
    {
      name: "outbound|80|v1|api.default.svc.cluster.local",
      hostStatuses: [
        {
          address: { socketAddress: { address: "10.0.0.3", portValue: 8080 } },
          healthStatus: { failedOutlierCheck: true, edsHealthStatus: "UNHEALTHY" },
        },
        {
          address: { socketAddress: { address: "10.0.0.2", portValue: 8080 } },
          healthStatus: { edsHealthStatus: "HEALTHY" },
        },
        { address: { envoyInternalAddress: { serverListenerName: "inner", endpointId: "1" } } },
      ],
    },
    { name: "BlackHoleCluster" },
  ],
};
