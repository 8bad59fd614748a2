// Envoy bootstraps for the two proxies of a sidecar pair, with what a mesh has switched on: mutual TLS both ways,
// SPIFFE verification, RBAC by principal, Istio's metrics, access log off as in Istio's default.
import { type CertificateFiles, readText } from "./certificates.ts";

export interface PairHop {
  readonly listenPort: number;
  readonly upstreamPort: number;
  readonly adminPort: number;
  readonly files: CertificateFiles;
  /** SPIFFE id of the other hop. */
  readonly peer: string;
}

const type = (name: string): string => `type.googleapis.com/${name}`;
const tlsPackage = "envoy.extensions.transport_sockets.tls.v3";

export function clientBootstrap(hop: PairHop): object {
  return bootstrap("client", hop, {
    listener: listener(hop.listenPort, "OUTBOUND", [istioStats("client"), router()], { cluster: "server" }),
    cluster: cluster("server", hop.upstreamPort, {
      name: "tls",
      typed_config: {
        "@type": type(`${tlsPackage}.UpstreamTlsContext`),
        sni: "outbound_.80_._.server.default.svc.cluster.local",
        common_tls_context: {
          alpn_protocols: ["istio-peer-exchange", "istio"],
          ...secretReferences([{ exact: hop.peer }]),
        },
      },
    }),
  });
}

export function serverBootstrap(hop: PairHop): object {
  return bootstrap("server", hop, {
    listener: listener(
      hop.listenPort,
      "INBOUND",
      [rbac(hop.peer), istioStats("server"), router()],
      { cluster: "app" },
      {
        name: "tls",
        typed_config: {
          "@type": type(`${tlsPackage}.DownstreamTlsContext`),
          require_client_certificate: true,
          common_tls_context: {
            alpn_protocols: ["h2", "http/1.1"],
            ...secretReferences([{ prefix: "spiffe://cluster.local/" }]),
          },
        },
      },
    ),
    cluster: cluster("app", hop.upstreamPort),
  });
}

function bootstrap(id: string, hop: PairHop, resources: { listener: object; cluster: object }): object {
  return {
    node: { id: `sidecar~127.0.0.1~${id}.default~default.svc.cluster.local`, cluster: id },
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: hop.adminPort } } },
    static_resources: {
      listeners: [resources.listener],
      clusters: [resources.cluster],
      secrets: [
        {
          name: "default",
          tls_certificate: {
            certificate_chain: { inline_string: readText(hop.files.certificate) },
            private_key: { inline_string: readText(hop.files.key) },
          },
        },
        { name: "ROOTCA", validation_context: { trusted_ca: { inline_string: readText(hop.files.root) } } },
      ],
    },
  };
}

function listener(port: number, direction: string, filters: object[], route: object, transportSocket?: object): object {
  return {
    name: `127.0.0.1_${port}`,
    traffic_direction: direction,
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [
      {
        ...(transportSocket !== undefined && { transport_socket: transportSocket }),
        filters: [
          {
            name: "envoy.filters.network.http_connection_manager",
            typed_config: {
              "@type": type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
              stat_prefix: `127.0.0.1_${port}`,
              route_config: {
                name: "local",
                virtual_hosts: [
                  {
                    name: "all",
                    domains: ["*"],
                    routes: [{ name: "default", match: { prefix: "/" }, route: { timeout: "0s", ...route } }],
                  },
                ],
              },
              forward_client_cert_details: direction === "INBOUND" ? "APPEND_FORWARD" : "SANITIZE",
              set_current_client_cert_details: { subject: true, dns: true, uri: true },
              http_filters: filters,
            },
          },
        ],
      },
    ],
  };
}

function cluster(name: string, port: number, transportSocket?: object): object {
  return {
    name,
    type: "STATIC",
    connect_timeout: "10s",
    lb_policy: "LEAST_REQUEST",
    load_assignment: {
      cluster_name: name,
      endpoints: [
        { lb_endpoints: [{ endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } } }] },
      ],
    },
    ...(transportSocket !== undefined && { transport_socket: transportSocket }),
  };
}

function secretReferences(sans: object[]): object {
  const sds = (name: string): object => ({ name, sds_config: { ads: {}, resource_api_version: "V3" } });
  return {
    tls_certificate_sds_secret_configs: [sds("default")],
    combined_validation_context: {
      default_validation_context: {
        match_typed_subject_alt_names: sans.map((matcher) => ({ san_type: "URI", matcher })),
      },
      validation_context_sds_secret_config: sds("ROOTCA"),
    },
  };
}

function rbac(principal: string): object {
  return {
    name: "envoy.filters.http.rbac",
    typed_config: {
      "@type": type("envoy.extensions.filters.http.rbac.v3.RBAC"),
      rules: {
        action: "ALLOW",
        policies: {
          "ns[default]-policy[allow-client]-rule[0]": {
            permissions: [{ and_rules: { rules: [{ any: true }] } }],
            principals: [{ and_ids: { ids: [{ authenticated: { principal_name: { exact: principal } } }] } }],
          },
        },
      },
    },
  };
}

function istioStats(side: "client" | "server"): object {
  return {
    name: "istio.stats",
    typed_config: { "@type": type("stats.PluginConfig"), disable_host_header_fallback: side === "client" },
  };
}

function router(): object {
  return {
    name: "envoy.filters.http.router",
    typed_config: { "@type": type("envoy.extensions.filters.http.router.v3.Router") },
  };
}
