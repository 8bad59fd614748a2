// Outbound clusters: one per service port, and one per subset of it that a DestinationRule names.
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Cluster,
  type Cluster_CommonLbConfigSchema,
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  Cluster_LbPolicy,
  ClusterSchema,
} from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { HealthStatus } from "#wire/gen/envoy/config/core/v3/health_check_pb.ts";
import { MetadataExchangeSchema } from "#wire/gen/istio/metadata-exchange_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { Resolution, type Service, type ServicePort } from "../../snapshot/service.ts";
import type { MergedDestinationRule, MergedSubset, MeshSnapshot } from "../../snapshot/snapshot.ts";
import { loadAssignment } from "../endpoints/load-assignment.ts";
import {
  type LocalityPlan,
  localityClient,
  localityPlan,
  weighsLocalities,
  zoneAwareConfig,
  zoneAwareSetting,
} from "../endpoints/locality.ts";
import { fromAds, milliseconds, pack } from "../envoy-values.ts";
import { forwardProxyType } from "../filters/forward-proxy.ts";
import { configOf, resourceMetadata, servicesOf } from "../metadata.ts";
import { mutualTlsSni, outboundClusterName } from "../names.ts";
import { type EffectivePolicy, effectivePolicy } from "../policy/traffic-policy.ts";
import { type UpstreamTls, upstreamTls } from "../policy/upstream-tls.ts";
import { isHttp, isHttp2, isUdp, listenerProtocol } from "../protocol.ts";
import { addressFamily } from "../proxy-addresses.ts";
import { hasSessions } from "../routes/persistent-session.ts";
import { nobody, once, onceForAll } from "../shared-work.ts";
import { autoMutualTls, istioMutualTls, originatedTls } from "../tls/upstream.ts";
import {
  type ClusterInit,
  circuitBreakers,
  httpProtocolOptions,
  keepalive,
  loadBalancing,
  outlierDetection,
} from "./cluster-blocks.ts";
import { discoveryType } from "./discovery.ts";
import { behindProxyProtocol, type UpstreamTransport } from "./proxy-protocol.ts";
import { clusterStatName } from "./stat-name.ts";

/** What a proxy of either kind sees of the mesh. */
export interface OutboundScope {
  readonly services: readonly Service[];
  destinationRule(service: Service): MergedDestinationRule | undefined;
  /** The secret that a gateway shows to backends of BackendTLSPolicies. */
  readonly backendCertificate?: string | undefined;
}

/** Compiles the clusters that a proxy can send to. The same list for proxies of one scope that are alike in what matters. */
export function outboundClusters(snapshot: MeshSnapshot, proxy: ProxyNode, scope: OutboundScope): readonly Cluster[] {
  const place = placeIn(snapshot, proxy, scope);
  return onceForAll([snapshot, scope], `outbound clusters ${clientOf(proxy)} ${place}`, () =>
    clustersOf(snapshot, proxy, scope, scope.services),
  );
}

/** The clusters of some services of the scope. */
export function clustersOf(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  scope: OutboundScope,
  services: readonly Service[],
): readonly Cluster[] {
  const { backendCertificate } = scope;
  const client = `${clientOf(proxy)} ${backendCertificate ?? ""}`;
  const place = placeIn(snapshot, proxy, scope);
  return services.flatMap((service) => {
    // An alias is reached through the clusters of the service that it names.
    if (service.externalName !== "") return [];
    const rule = scope.destinationRule(service);
    const key = `outbound ${client} ${isResolvedByName(service) ? place : ""}`;
    return onceForAll([snapshot, service, rule ?? nobody], key, () =>
      serviceClusters(snapshot, proxy, { service, rule, backendCertificate }),
    );
  });
}

function clientOf(proxy: ProxyNode): string {
  return `${proxy.type} ${addressFamily(proxy)}`;
}

/** Empty where no cluster depends on the client's place. */
function placeIn(snapshot: MeshSnapshot, proxy: ProxyNode, scope: OutboundScope): string {
  const isPlaced = once(scope, "resolves names", () => scope.services.some(isResolvedByName));
  return isPlaced ? JSON.stringify(snapshot.placeOf(proxy).locality) : "";
}

function serviceClusters(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  { service, rule, backendCertificate }: Pick<Target, "service" | "rule" | "backendCertificate">,
): Cluster[] {
  return service.ports
    .filter((port) => !isUdp(port.protocol))
    .flatMap((port) => {
      const whole = outboundCluster(snapshot, proxy, { service, port, rule, backendCertificate, subset: undefined });
      const subsets = (rule?.subsets ?? []).map((subset) =>
        outboundCluster(snapshot, proxy, { service, port, rule, backendCertificate, subset }),
      );
      return [whole, ...subsets];
    });
}

interface Target {
  readonly service: Service;
  readonly port: ServicePort;
  readonly rule: MergedDestinationRule | undefined;
  readonly subset: MergedSubset | undefined;
  readonly backendCertificate: string | undefined;
}

function outboundCluster(snapshot: MeshSnapshot, proxy: ProxyNode, target: Target): Cluster {
  const { service, port, rule, subset } = target;
  const { meshConfig } = snapshot;
  const subsetName = subset?.name ?? "";
  const name = outboundClusterName(port.number, subsetName, service.hostname);
  const policy = effectivePolicy(
    rule?.trafficPolicy,
    subset?.trafficPolicy,
    port.number,
    meshConfig.defaultTrafficPolicy,
  );
  const type = discoveryType(service, proxy, policy.loadBalancer);
  const isOriginalDestination = type === Cluster_DiscoveryType.ORIGINAL_DST;
  const isForwarded = type === undefined;
  const hasEndpoints = !isOriginalDestination && !isForwarded;
  const tls = upstreamTls(snapshot, { service, port: port.number, tls: policy.tls, hasEndpoints });
  const http2 = speaksHttp2(port, policy, meshConfig.h2UpgradePolicy);
  const originates = tls.kind === "originate" ? tls.tls : undefined;
  const plan = localityPlan(snapshot, service, policy);
  const autoSni = originates !== undefined && originates.sni === "";
  const autoSanValidation =
    originates !== undefined &&
    originates.insecureSkipVerify !== true &&
    (isForwarded || (autoSni && originates.subjectAltNames.length === 0));
  return create(ClusterSchema, {
    name,
    altStatName: clusterStatName(meshConfig.outboundClusterStatName, {
      cluster: name,
      service,
      port: port.number,
      portName: port.name,
      targetPort: typeof port.targetPort === "number" ? port.targetPort : port.number,
      subset: subsetName,
    }),
    connectTimeout: milliseconds(policy.connectionPool?.tcp?.connectTimeout ?? meshConfig.connectTimeout),
    ...source(snapshot, proxy, target, { type, plan }),
    ...(isForwarded
      ? forwardProxyType(snapshot, proxy, service.hostname, originates !== undefined && !(autoSni && autoSanValidation))
      : { clusterDiscoveryType: { case: "type", value: type } }),
    ...(hasEndpoints && loadBalancing(policy.loadBalancer)),
    ...(isOriginalDestination && { lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED }),
    commonLbConfig: {
      healthyPanicThreshold: { value: policy.outlierDetection?.minHealthPercent ?? 0 },
      ...(hasSessions(service) && { overrideHostStatus: { statuses: sessionStatuses } }),
      ...(hasEndpoints && localityConfig(snapshot, service, policy, plan)),
    },
    circuitBreakers: circuitBreakers(policy.connectionPool, policy.retryBudget),
    ...(policy.outlierDetection &&
      !isOriginalDestination && { outlierDetection: outlierDetection(policy.outlierDetection) }),
    ...keepalive(policy.connectionPool?.tcp?.tcpKeepalive, meshConfig.tcpKeepalive),
    typedExtensionProtocolOptions: httpProtocolOptions({
      protocol: upstreamProtocol(proxy, port, policy, http2),
      pool: policy.connectionPool,
      autoSni,
      autoSanValidation,
    }),
    ...behindProxyProtocol(transport(snapshot, target, tls, http2), policy.proxyProtocol),
    filters: [{ name: "istio.metadata_exchange", typedConfig: peerExchange }],
    metadata: resourceMetadata({
      istio: istioMetadata(target, originates !== undefined),
      origins: [...ruleObjects(target).map((object) => object.origin), service.origin],
    }),
  });
}

function localityConfig(
  snapshot: MeshSnapshot,
  service: Service,
  policy: EffectivePolicy,
  plan: LocalityPlan | undefined,
): Pick<MessageInitShape<typeof Cluster_CommonLbConfigSchema>, "localityConfigSpecifier"> {
  if (plan !== undefined && weighsLocalities(plan)) {
    return { localityConfigSpecifier: { case: "localityWeightedLbConfig", value: {} } };
  }
  const value = zoneAwareConfig(zoneAwareSetting(snapshot, service, policy));
  return value === undefined ? {} : { localityConfigSpecifier: { case: "zoneAwareLbConfig", value } };
}

/** A session is kept while its endpoint can answer at all. */
const sessionStatuses = [HealthStatus.HEALTHY, HealthStatus.DRAINING, HealthStatus.UNKNOWN, HealthStatus.DEGRADED];

const peerExchange = pack(MetadataExchangeSchema, { protocol: "istio-peer-exchange", enableDiscovery: true });

function speaksHttp2(port: ServicePort, policy: EffectivePolicy, meshUpgrade: string): boolean {
  if (isHttp2(port.protocol)) return true;
  if (policy.connectionPool?.http?.useClientProtocol) return false;
  const asked = policy.connectionPool?.http?.h2UpgradePolicy ?? "DEFAULT";
  // Who asks for it in a rule knows the port; the mesh as a whole knows only what the port's name says.
  return asked === "UPGRADE" || (asked === "DEFAULT" && meshUpgrade === "UPGRADE" && isHttp(port.protocol));
}

function upstreamProtocol(
  proxy: ProxyNode,
  port: ServicePort,
  policy: EffectivePolicy,
  http2: boolean,
): "http1" | "http2" | "downstream" {
  if (http2) return "http2";
  if (policy.connectionPool?.http?.useClientProtocol) return "downstream";
  // Only a sidecar sniffs, and only then is there a downstream protocol to follow.
  return listenerProtocol(port.protocol) === "auto" && proxy.type === "sidecar" ? "downstream" : "http1";
}

/** The endpoints of such a service stand in its cluster, so that the client's place shapes the cluster too. */
function isResolvedByName({ resolution }: Service): boolean {
  return resolution === Resolution.DnsLb || resolution === Resolution.DnsRoundRobinLb;
}

/** Istio ranks by labels only what is sent as endpoints. */
function withoutLabels(plan: LocalityPlan): LocalityPlan | undefined {
  const { failoverPriority, failover } = plan.setting;
  if (failoverPriority.length === 0) return plan;
  return failover.length === 0 ? undefined : { ...plan, setting: { ...plan.setting, failoverPriority: [] } };
}

/** The part that depends on where endpoints come from. */
function source(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  target: Target,
  { type, plan }: { readonly type: Cluster_DiscoveryType | undefined; readonly plan: LocalityPlan | undefined },
): ClusterInit {
  const { service, port, subset } = target;
  switch (type) {
    case Cluster_DiscoveryType.EDS:
      return {
        edsClusterConfig: {
          edsConfig: fromAds,
          serviceName: outboundClusterName(port.number, subset?.name ?? "", service.hostname),
        },
      };
    case Cluster_DiscoveryType.STRICT_DNS:
    case Cluster_DiscoveryType.LOGICAL_DNS:
      return {
        dnsLookupFamily:
          addressFamily(proxy) === "ipv6" ? Cluster_DnsLookupFamily.V6_ONLY : Cluster_DnsLookupFamily.V4_ONLY,
        dnsRefreshRate: milliseconds(snapshot.meshConfig.dnsRefreshRate),
        respectDnsTtl: true,
        loadAssignment: loadAssignment(snapshot, {
          service,
          port,
          subset,
          sendsUnhealthy: true,
          node: undefined,
          plan: plan && withoutLabels(plan),
          client: plan && localityClient(snapshot, proxy),
          view: undefined,
        }),
      };
    default:
      return {};
  }
}

function transport(snapshot: MeshSnapshot, target: Target, tls: UpstreamTls, http2: boolean): UpstreamTransport {
  const { service, port, subset } = target;
  const sni = mutualTlsSni(port.number, subset?.name ?? "", service.hostname);
  switch (tls.kind) {
    case "plaintext":
      return {};
    case "per-endpoint":
      return {
        transportSocketMatches: autoMutualTls(
          istioMutualTls({ sni, subjectAltNames: snapshot.serviceAccountsOf(service), http2 }),
        ),
      };
    case "mutual":
      return {
        transportSocket: istioMutualTls({
          sni: tls.sni || sni,
          subjectAltNames: tls.subjectAltNames.length > 0 ? tls.subjectAltNames : snapshot.serviceAccountsOf(service),
          http2,
        }),
      };
    case "originate":
      return {
        transportSocket: originatedTls(
          {
            ...tls.tls,
            mutual: tls.tls.mode === "MUTUAL",
            shownCertificate: tls.tls.showsGatewayCertificate === true ? target.backendCertificate : undefined,
            insecureSkipVerify: tls.tls.insecureSkipVerify ?? false,
            subjectAltNames:
              tls.tls.subjectAltNames.length === 0 && service.source === "service-entry"
                ? service.subjectAltNames
                : tls.tls.subjectAltNames,
            http2,
          },
          snapshot.meshConfig,
        ),
      };
  }
}

function istioMetadata(target: Target, originatesTls: boolean): JsonObject {
  const { service, subset } = target;
  const [object] = ruleObjects(target);
  return {
    ...(object && { config: configOf(object) }),
    ...(subset && { subset: subset.name }),
    ...(originatesTls && { alpn_override: "false" }),
    ...(service.meshExternal && { external: true }),
    services: servicesOf(service),
  };
}

/** The rules that shaped the cluster, the subset's own first. */
function ruleObjects({ rule, subset }: Target): MergedDestinationRule["rules"] {
  if (rule === undefined) return [];
  if (subset === undefined) return rule.rules;
  return [subset.rule, ...rule.rules.filter((object) => object !== subset.rule)];
}

/** Names a merged rule within a snapshot. */
export function ruleKey(rule: MergedDestinationRule | undefined): string {
  return rule === undefined ? "-" : rule.rules.map(({ namespace, name }) => `${namespace}/${name}`).join();
}
