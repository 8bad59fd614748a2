// envoy.config.cluster.v3.Cluster to a cluster's runtime shape.
import type { JsonObject } from "@bufbuild/protobuf";
import { type Cluster, Cluster_DiscoveryType as DiscoveryType } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import type {
  HttpProtocolOptions as CommonHttpOptions,
  Http2ProtocolOptions,
} from "#wire/gen/envoy/config/core/v3/protocol_pb.ts";
import {
  type HttpProtocolOptions,
  HttpProtocolOptionsSchema,
} from "#wire/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts";
import { coversHost } from "#wire/tls/host-name.ts";
import { type ClusterConfig, type EndpointSet, plainEndpointSet, type TransportSocketMatch } from "./cluster.ts";
import { decodeCircuitBreakers } from "./decode-circuit-breakers.ts";
import { decodeDns, decodeForwardProxy, isForwardProxy } from "./decode-dns.ts";
import { decodeAssignment } from "./decode-endpoints.ts";
import { decodeHealthChecks } from "./decode-health-check.ts";
import { decodeLoadBalancing } from "./decode-load-balancing.ts";
import { decodeOutlierDetection } from "./decode-outlier-detection.ts";
import { decodeUpstreamTransport } from "./decode-tls.ts";
import { type Http2Config, meshHttp2 } from "./http2.ts";
import { decodeHttp2Options } from "./parse/http2-options.ts";
import { decodeKeepalive, decodeSocketOptions } from "./parse/socket-options.ts";
import { milliseconds, provenanceOf, typeName, unpack } from "./parse/values.ts";
import { type Decoded, Problems } from "./problems.ts";
import type { SocketOption } from "./socket.ts";
import type { SanMatcher } from "./tls.ts";

/** Decodes a CDS resource or a static cluster. */
export function decodeCluster(cluster: Cluster): Decoded<ClusterConfig> {
  const problems = new Problems("cluster", cluster.name);
  if (cluster.name === "") problems.invalid("name", "is missing");
  const type = decodeType(cluster, problems);
  reportLeftOut(cluster, problems);
  const options = decodeHttpOptions(cluster, problems);
  const istio = cluster.metadata?.filterMetadata["istio"];
  const common = options?.commonHttpProtocolOptions ?? cluster.commonHttpProtocolOptions;
  const responseLimits = decodeResponseLimits(common, problems);
  return problems.done<ClusterConfig>({
    name: cluster.name,
    observabilityName: cluster.altStatName || cluster.name,
    type,
    edsServiceName: cluster.edsClusterConfig?.serviceName ?? "",
    connectTimeoutMs: milliseconds(cluster.connectTimeout, 5000),
    loadBalancing: decodeLoadBalancing(cluster, type, problems),
    endpoints: decodeInlineEndpoints(cluster, type, problems),
    dns: decodeDns(cluster, problems),
    forwardProxy: decodeForwardProxy(cluster, options, problems),
    cleanupIntervalMs: milliseconds(cluster.cleanupInterval, 5000),
    circuitBreakers: decodeCircuitBreakers(cluster.circuitBreakers, problems),
    healthCheck: decodeHealthChecks(cluster.healthChecks, problems),
    ignoresHealthOnRemoval: cluster.ignoreHealthOnHostRemoval,
    closesConnectionsOnFailure: cluster.closeConnectionsOnHostHealthFailure,
    outlierDetection: decodeOutlierDetection(cluster.outlierDetection, problems),
    transports: decodeTransports(cluster, problems).map((it) =>
      // There each host has a name of its own.
      type === "dynamic_forward_proxy" ? it : withServerName(it, options, decodeServices(istio)),
    ),
    upstreamProtocol: decodeProtocol(cluster, options, problems),
    http2: decodeHttp2Options(
      http2OptionsOf(cluster, options),
      withHeadLimits(meshHttp2, responseLimits),
      "http2_protocol_options",
      problems,
    ),
    responseLimits,
    bufferLimitBytes: cluster.perConnectionBufferLimitBytes ?? 0,
    idleTimeoutMs: milliseconds(common?.idleTimeout, 3_600_000),
    maxStreamDurationMs: milliseconds(common?.maxStreamDuration, 0),
    maxConnectionDurationMs: milliseconds(common?.maxConnectionDuration, 0),
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? cluster.maxRequestsPerConnection ?? 0,
    bindAddress: decodeBindAddress(cluster, problems),
    socketOptions: decodeUpstreamOptions(cluster, problems),
    keepalive: decodeKeepalive(cluster.upstreamConnectionOptions?.tcpKeepalive),
    services: decodeServices(istio),
    alpnOverride: istio?.["alpn_override"] !== "false",
    provenance: provenanceOf(cluster.metadata),
  });
}

function decodeType(cluster: Cluster, problems: Problems): ClusterConfig["type"] {
  const discovery = cluster.clusterDiscoveryType;
  if (discovery.case === "clusterType") {
    if (isForwardProxy(cluster)) return "dynamic_forward_proxy";
    problems.unsupported("cluster_type", `the cluster type ${discovery.value.name}`);
    return "static";
  }
  return types[discovery.value ?? DiscoveryType.STATIC] ?? "static";
}

const types: Readonly<Record<number, ClusterConfig["type"]>> = {
  [DiscoveryType.STATIC]: "static",
  [DiscoveryType.STRICT_DNS]: "strict_dns",
  [DiscoveryType.LOGICAL_DNS]: "logical_dns",
  [DiscoveryType.EDS]: "eds",
  [DiscoveryType.ORIGINAL_DST]: "original_dst",
};

function decodeInlineEndpoints(cluster: Cluster, type: ClusterConfig["type"], problems: Problems): EndpointSet | null {
  if (type === "eds" || type === "original_dst") return null;
  if (type === "dynamic_forward_proxy") {
    if (cluster.loadAssignment !== undefined) problems.invalid("load_assignment", "the hosts are what clients name");
    return null;
  }
  if (cluster.loadAssignment === undefined) return plainEndpointSet(cluster.name, []);
  const set = decodeAssignment(cluster.loadAssignment, "load_assignment.", problems);
  if (type === "logical_dns" && set.endpoints.length !== 1) {
    problems.invalid("load_assignment.endpoints", "a LOGICAL_DNS cluster has exactly one endpoint");
  }
  return { ...set, clusterName: cluster.name };
}

function decodeTransports(cluster: Cluster, problems: Problems): TransportSocketMatch[] {
  const matches = cluster.transportSocketMatches.map(
    (it, i): TransportSocketMatch => ({
      name: it.name,
      match: labels(it.match),
      ...decodeUpstreamTransport(it.transportSocket, `transport_socket_matches[${i}].transport_socket`, problems),
    }),
  );
  const plain = decodeUpstreamTransport(cluster.transportSocket, "transport_socket", problems);
  return [...matches, { name: "default", match: {}, ...plain }];
}

/**
 * `auto_sni` and `auto_san_validation`: SNI and the name to verify. Envoy takes both from the Host header of each
 * request; here they are the host of the cluster's service, which is what clients ask for.
 */
function withServerName(
  transport: TransportSocketMatch,
  options: HttpProtocolOptions | null,
  services: ClusterConfig["services"],
): TransportSocketMatch {
  const { tls } = transport;
  const wanted = options?.upstreamHttpProtocolOptions;
  if (tls === null || wanted === undefined) return transport;
  const host = services[0]?.host ?? "";
  const verifies = wanted.autoSanValidation && tls.validationName !== null && tls.sanMatchers.length === 0;
  return {
    ...transport,
    tls: {
      ...tls,
      sni: wanted.autoSni && tls.sni === "" && !host.startsWith("*") ? host : tls.sni,
      sanMatchers: verifies ? [serverName(host)] : tls.sanMatchers,
    },
  };
}

/** A DNS name for the host; where the host is a wildcard itself, one for any host under it. */
function serverName(host: string): SanMatcher {
  const isUnder = (name: string): boolean => host.startsWith("*.") && name.toLowerCase().endsWith(host.slice(1));
  return {
    type: "dns",
    oid: "",
    matches: (name) => host !== "" && (coversHost(name, host) || isUnder(name)),
    description: `host "${host}"`,
  };
}

function labels(match: JsonObject | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(match ?? {}).map(([key, value]) => [key, String(value)]));
}

const optionsKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

function decodeHttpOptions(cluster: Cluster, problems: Problems): HttpProtocolOptions | null {
  const any = cluster.typedExtensionProtocolOptions[optionsKey];
  if (any === undefined) return null;
  const path = `typed_extension_protocol_options["${optionsKey}"]`;
  if (typeName(any) !== HttpProtocolOptionsSchema.typeName) {
    problems.invalid(path, `${typeName(any)} is not ${HttpProtocolOptionsSchema.typeName}`);
    return null;
  }
  const options = unpack(any, HttpProtocolOptionsSchema, path, problems);
  if ((options?.httpFilters.length ?? 0) > 1) problems.unsupported(`${path}.http_filters`, "an upstream filter chain");
  return options;
}

function decodeProtocol(
  cluster: Cluster,
  options: HttpProtocolOptions | null,
  problems: Problems,
): ClusterConfig["upstreamProtocol"] {
  const choice = options?.upstreamProtocolOptions;
  switch (choice?.case) {
    case "explicitHttpConfig": {
      const explicit = choice.value.protocolConfig.case;
      if (explicit === "http3ProtocolOptions") problems.unsupported("http3_protocol_options", "HTTP/3");
      return explicit === "http2ProtocolOptions" ? "http2" : "http1";
    }
    case "useDownstreamProtocolConfig":
      return "downstream";
    case "autoConfig":
      return "alpn";
    default:
      return cluster.http2ProtocolOptions === undefined ? "http1" : "http2";
  }
}

/** What we bear where nothing is said; Envoy takes a few headers less. */
const defaultResponseLimits: ClusterConfig["responseLimits"] = { maxBytes: 64 * 1024, maxHeaders: 200 };
function decodeResponseLimits(
  common: CommonHttpOptions | undefined,
  problems: Problems,
): ClusterConfig["responseLimits"] {
  const path = "common_http_protocol_options";
  // Newer than this proxy, as `max_response_headers_kb`.
  for (const { no } of common?.$unknown ?? []) problems.leftOut(path, `field ${no} of HttpProtocolOptions`);
  const maxHeaders = common?.maxHeadersCount;
  if (maxHeaders === 0) problems.invalid(`${path}.max_headers_count`, "is below 1");
  return maxHeaders === undefined ? defaultResponseLimits : { ...defaultResponseLimits, maxHeaders };
}

function withHeadLimits(http2: Http2Config, { maxHeaders }: ClusterConfig["responseLimits"]): Http2Config {
  if (maxHeaders === defaultResponseLimits.maxHeaders) return http2;
  const { settings } = http2;
  const limits = { ...settings.limits, maxHeaderCount: maxHeaders };
  return { ...http2, settings: { ...settings, limits } };
}

function http2OptionsOf(cluster: Cluster, options: HttpProtocolOptions | null): Http2ProtocolOptions | undefined {
  const choice = options?.upstreamProtocolOptions;
  switch (choice?.case) {
    case "explicitHttpConfig":
      return choice.value.protocolConfig.case === "http2ProtocolOptions"
        ? choice.value.protocolConfig.value
        : undefined;
    case "useDownstreamProtocolConfig":
    case "autoConfig":
      return choice.value.http2ProtocolOptions;
    default:
      return cluster.http2ProtocolOptions;
  }
}

/** Fields that Envoy acts on and this proxy does not. */
function reportLeftOut(cluster: Cluster, problems: Problems): void {
  const { upstreamConnectionOptions: connection, trackClusterStats, preconnectPolicy } = cluster;
  const fields: readonly (readonly [field: string, isSet: boolean | undefined, what: string])[] = [
    ["preconnect_policy", preconnectPolicy !== undefined, "connecting ahead of requests"],
    [
      "connection_pool_per_downstream_connection",
      cluster.connectionPoolPerDownstreamConnection,
      "a connection pool per downstream connection",
    ],
    ["track_timeout_budgets", cluster.trackTimeoutBudgets, "a histogram"],
    ["track_cluster_stats", trackClusterStats !== undefined, "optional statistics"],
    ["lrs_server", cluster.lrsServer !== undefined, "load reporting"],
    ["use_tcp_for_dns_lookups", cluster.useTcpForDnsLookups, "DNS over TCP only"],
    ["wait_for_warm_on_init", cluster.waitForWarmOnInit === false, "use of a cluster before its names are resolved"],
    [
      "upstream_connection_options.happy_eyeballs_config",
      connection?.happyEyeballsConfig !== undefined,
      "an order of address families",
    ],
  ];
  for (const [field, isSet, what] of fields) if (isSet === true) problems.leftOut(field, what);
  if (cluster.upstreamConfig !== undefined) problems.unsupported("upstream_config", "an upstream extension");
  for (const [i, filter] of cluster.filters.entries()) {
    // Istio's filter for what peers tell each other over TCP; what it does is part of the proxy.
    if (filter.name !== "istio.metadata_exchange") problems.leftOut(`filters[${i}]`, `the filter ${filter.name}`);
  }
}

function decodeBindAddress(cluster: Cluster, problems: Problems): string | null {
  const bind = cluster.upstreamBindConfig;
  const path = "upstream_bind_config";
  if (bind?.freebind === true) problems.unsupported(`${path}.freebind`, "a source address that is not of this machine");
  if ((bind?.extraSourceAddresses.length ?? 0) + (bind?.additionalSourceAddresses.length ?? 0) > 0) {
    problems.unsupported(`${path}.extra_source_addresses`, "more than one source address");
  }
  if (bind?.localAddressSelector !== undefined) {
    problems.unsupported(`${path}.local_address_selector`, "a choice among source addresses");
  }
  const source = bind?.sourceAddress;
  if (source === undefined) return null;
  const port = source.portSpecifier.case === "portValue" ? source.portSpecifier.value : 0;
  if (port !== 0) problems.unsupported(`${path}.source_address.port_value`, "a fixed source port");
  return source.address;
}

/** Options that can be set while a connection is being made; the others are left out. */
function decodeUpstreamOptions(cluster: Cluster, problems: Problems): readonly SocketOption[] {
  const path = "upstream_bind_config.socket_options";
  const options = decodeSocketOptions(cluster.upstreamBindConfig?.socketOptions ?? [], path, problems);
  return options.filter((option) => {
    if (option.isPrebind) problems.leftOut(path, `${option.description}, which must be set before connecting`);
    return !option.isPrebind;
  });
}

function decodeServices(istio: JsonObject | undefined): ClusterConfig["services"] {
  const services = istio?.["services"];
  if (!Array.isArray(services)) return [];
  return services.flatMap((service) => {
    if (typeof service !== "object" || service === null || Array.isArray(service)) return [];
    return [{ host: text(service["host"]), name: text(service["name"]), namespace: text(service["namespace"]) }];
  });
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
