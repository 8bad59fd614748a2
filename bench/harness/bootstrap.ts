// Envoy bootstraps for our proxy: plain hops, the two proxies of a sidecar pair, TCP. A pair has what a mesh has
// switched on: mutual TLS both ways, SPIFFE verification, RBAC by principal, Istio's metrics; access log off as in
// Istio's default.
import { readFileSync } from "node:fs";
import type { CertificateFiles } from "./certificates.ts";

export const clientId = "spiffe://cluster.local/ns/default/sa/client";
export const serverId = "spiffe://cluster.local/ns/default/sa/server";

export interface Hop {
  readonly listenPort: number;
  readonly upstreamPort: number;
}

export interface SecureHop extends Hop {
  readonly files: CertificateFiles;
}

const type = (name: string): string => `type.googleapis.com/${name}`;
const tlsPackage = "envoy.extensions.transport_sockets.tls.v3";

/** HTTP in, HTTP out, nothing else. */
export function plainHop(hop: Hop): object {
  return bootstrap("plain", {
    listener: listener(hop.listenPort, "OUTBOUND", [connectionManager("OUTBOUND", [router()], "next")]),
    clusters: [staticCluster("next", hop.upstreamPort)],
  });
}

/** Answers by itself, with 1 KiB. */
/** Answers every request that the filters let through. */
export function answering(listenPort: number, filters: readonly object[] = []): object {
  const answer = { status: 200, body: { inline_string: "x".repeat(1024) } };
  const host = { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: answer }] };
  return bootstrap("answering", {
    listener: listener(listenPort, "OUTBOUND", [connectionManager("OUTBOUND", [...filters, router()], [host])]),
    clusters: [],
  });
}

/** Policies of which none is met: each is a regular expression that the path of every request is held against. */
export function pathPolicies(count: number): object {
  const policy = (index: number): object => ({
    permissions: [{ url_path: { path: { safe_regex: { regex: `/shop-${index}/.*` } } } }],
    principals: [{ any: true }],
  });
  return {
    name: "envoy.filters.http.rbac",
    typed_config: {
      "@type": type("envoy.extensions.filters.http.rbac.v3.RBAC"),
      rules: {
        action: "DENY",
        policies: Object.fromEntries(Array.from({ length: count }, (_, index) => [`shop-${index}`, policy(index)])),
      },
    },
  };
}

/** The sidecar of the caller: plain in, mutual TLS out. */
export function clientSidecar(hop: SecureHop): object {
  return bootstrap("client", {
    listener: listener(hop.listenPort, "OUTBOUND", [
      connectionManager("OUTBOUND", [istioAlpn(), istioStats("client"), router()], "server"),
    ]),
    clusters: [staticCluster("server", hop.upstreamPort, upstreamTls(["istio-peer-exchange", "istio"]))],
    files: hop.files,
  });
}

/** The sidecar of the callee: mutual TLS in, plain out, only the caller's identity may in. */
export function serverSidecar(hop: SecureHop, appSpeaksHttp2 = false): object {
  const filters = [rbac(clientId), istioStats("server"), router()];
  return bootstrap("server", {
    listener: listener(
      hop.listenPort,
      "INBOUND",
      [connectionManager("INBOUND", filters, "app")],
      downstreamTls(["h2", "http/1.1"]),
    ),
    clusters: [{ ...staticCluster("app", hop.upstreamPort), ...(appSpeaksHttp2 ? http2Options : {}) }],
    files: hop.files,
  });
}

/** Bytes in, bytes out. */
export function tcpHop(hop: Hop): object {
  return bootstrap("tcp", {
    listener: listener(hop.listenPort, "OUTBOUND", [tcpProxy("next")]),
    clusters: [staticCluster("next", hop.upstreamPort)],
  });
}

/** Bytes in, mutual TLS out. */
export function tcpClientSidecar(hop: SecureHop): object {
  return bootstrap("client", {
    listener: listener(hop.listenPort, "OUTBOUND", [istioStats("client"), tcpProxy("server")]),
    clusters: [staticCluster("server", hop.upstreamPort, upstreamTls(["istio-peer-exchange", "istio"]))],
    files: hop.files,
  });
}

/** Mutual TLS in, bytes out. */
export function tcpServerSidecar(hop: SecureHop): object {
  return bootstrap("server", {
    listener: listener(
      hop.listenPort,
      "INBOUND",
      [networkRbac(clientId), istioStats("server"), tcpProxy("app")],
      downstreamTls(["istio-peer-exchange", "istio"]),
    ),
    clusters: [staticCluster("app", hop.upstreamPort)],
    files: hop.files,
  });
}

/** A sidecar of a mesh with that many services: a cluster, a virtual host and a route for each. */
export function manyClusters(hop: SecureHop, count: number): object {
  const names = Array.from({ length: count }, (_, i) => `service-${i}.default.svc.cluster.local`);
  const tls = upstreamTls(["istio-peer-exchange", "istio"]);
  const hosts = names.map((name, i) => ({
    name: `${name}:80`,
    domains: [
      name,
      `${name}:80`,
      `service-${i}`,
      `service-${i}:80`,
      `service-${i}.default.svc`,
      `service-${i}.default`,
    ],
    routes: [{ name: "default", match: { prefix: "/" }, route: { timeout: "0s", cluster: clusterName(name) } }],
  }));
  const manager = connectionManager("OUTBOUND", [istioStats("client"), router()], hosts);
  return bootstrap("client", {
    listener: listener(hop.listenPort, "OUTBOUND", [manager]),
    clusters: names.map((name) => staticCluster(clusterName(name), hop.upstreamPort, tls)),
    files: hop.files,
  });
}

function clusterName(host: string): string {
  return `outbound|80||${host}`;
}

interface Parts {
  readonly listener: object;
  readonly clusters: readonly object[];
  readonly files?: CertificateFiles;
}

function bootstrap(id: string, { listener: one, clusters, files }: Parts): object {
  return {
    node: { id: `sidecar~127.0.0.1~${id}.default~default.svc.cluster.local`, cluster: id },
    static_resources: { listeners: [one], clusters, ...(files !== undefined && { secrets: secrets(files) }) },
  };
}

function secrets(files: CertificateFiles): object[] {
  const inline = (path: string): object => ({ inline_string: readFileSync(path, "utf8") });
  return [
    {
      name: "default",
      tls_certificate: { certificate_chain: inline(files.certificate), private_key: inline(files.key) },
    },
    { name: "ROOTCA", validation_context: { trusted_ca: inline(files.root) } },
  ];
}

function listener(port: number, direction: string, filters: object[], transportSocket?: object): object {
  return {
    name: `127.0.0.1_${port}`,
    traffic_direction: direction,
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ ...(transportSocket !== undefined && { transport_socket: transportSocket }), filters }],
  };
}

/** `to`: one cluster for everything, or virtual hosts. */
function connectionManager(direction: string, filters: object[], to: string | object[]): object {
  const everything = {
    name: "all",
    domains: ["*"],
    routes: [{ name: "default", match: { prefix: "/" }, route: { timeout: "0s", cluster: to } }],
  };
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": type("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
      stat_prefix: "bench",
      route_config: {
        name: "local",
        virtual_hosts: typeof to === "string" ? [everything] : to,
      },
      forward_client_cert_details: direction === "INBOUND" ? "APPEND_FORWARD" : "SANITIZE",
      set_current_client_cert_details: { subject: true, dns: true, uri: true },
      http_filters: filters,
    },
  };
}

function tcpProxy(cluster: string): object {
  return {
    name: "envoy.filters.network.tcp_proxy",
    typed_config: {
      "@type": type("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
      stat_prefix: "bench",
      cluster,
    },
  };
}

function staticCluster(name: string, port: number, transportSocket?: object): object {
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

const http2Options = {
  typed_extension_protocol_options: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": type("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

function downstreamTls(alpn: readonly string[]): object {
  return {
    name: "tls",
    typed_config: {
      "@type": type(`${tlsPackage}.DownstreamTlsContext`),
      require_client_certificate: true,
      common_tls_context: { alpn_protocols: alpn, ...secretReferences([{ prefix: "spiffe://cluster.local/" }]) },
    },
  };
}

function upstreamTls(alpn: readonly string[]): object {
  return {
    name: "tls",
    typed_config: {
      "@type": type(`${tlsPackage}.UpstreamTlsContext`),
      sni: "outbound_.80_._.server.default.svc.cluster.local",
      common_tls_context: { alpn_protocols: alpn, ...secretReferences([{ exact: serverId }]) },
    },
  };
}

function secretReferences(sans: object[]): object {
  const sds = (name: string): object => ({ name });
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

function rules(principal: string): object {
  return {
    action: "ALLOW",
    policies: {
      "ns[default]-policy[allow-client]-rule[0]": {
        permissions: [{ and_rules: { rules: [{ any: true }] } }],
        principals: [{ and_ids: { ids: [{ authenticated: { principal_name: { exact: principal } } }] } }],
      },
    },
  };
}

function rbac(principal: string): object {
  return {
    name: "envoy.filters.http.rbac",
    typed_config: { "@type": type("envoy.extensions.filters.http.rbac.v3.RBAC"), rules: rules(principal) },
  };
}

function networkRbac(principal: string): object {
  return {
    name: "envoy.filters.network.rbac",
    typed_config: {
      "@type": type("envoy.extensions.filters.network.rbac.v3.RBAC"),
      stat_prefix: "tcp.",
      rules: rules(principal),
    },
  };
}

function istioStats(side: "client" | "server"): object {
  return {
    name: "istio.stats",
    typed_config: { "@type": type("stats.PluginConfig"), disable_host_header_fallback: side === "client" },
  };
}

/** As Istio puts it into every outbound chain: between two sidecars it offers `istio-h2`. */
function istioAlpn(): object {
  return {
    name: "istio.alpn",
    typed_config: { "@type": type("istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig") },
  };
}

function router(): object {
  return {
    name: "envoy.filters.http.router",
    typed_config: { "@type": type("envoy.extensions.filters.http.router.v3.Router") },
  };
}
