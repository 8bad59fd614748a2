// Load assignments for the clusters whose endpoints are sent to the proxy (EDS). Proxies share them as far as their
// place in the world does not matter.
import { create } from "@bufbuild/protobuf";
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { type Service, servicePort } from "../../snapshot/service.ts";
import type { MergedDestinationRule, MeshSnapshot } from "../../snapshot/snapshot.ts";
import { type OutboundScope, ruleKey } from "../clusters/outbound.ts";
import { parseMutualTlsSni, parseOutboundClusterName } from "../names.ts";
import { effectivePolicy } from "../policy/traffic-policy.ts";
import type { DestinationScope } from "../routes/destination.ts";
import { nobody, once, onceForAll } from "../shared-work.ts";
import { loadAssignment } from "./load-assignment.ts";
import { failoverLabels, type LocalityPlan, localityClient, localityClientKey, localityPlan } from "./locality.ts";
import { networkView } from "./networks.ts";

/** Compiles the endpoints of one cluster for a proxy; a cluster that the proxy does not know has none. */
export function clusterEndpoints(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  scope: OutboundScope & DestinationScope,
  clusterName: string,
): ClusterLoadAssignment {
  const sni = parseMutualTlsSni(clusterName);
  const key = sni ?? parseOutboundClusterName(clusterName);
  const service = key && scope.service(key.host);
  const port = service && servicePort(service, key.port);
  if (key === undefined || service === undefined || port === undefined) return empty(clusterName);
  const rule = scope.destinationRule(service);
  const subset = rule?.subsets.find(({ name }) => name === key.subset);
  if (key.subset !== "" && subset === undefined) return empty(clusterName);
  const policy = effectivePolicy(
    rule?.trafficPolicy,
    subset?.trafficPolicy,
    key.port,
    snapshot.meshConfig.defaultTrafficPolicy,
  );
  const plan = localityPlan(snapshot, service, policy);
  const client = plan && localityClient(snapshot, proxy);
  const sendsUnhealthy = (policy.outlierDetection?.minHealthPercent ?? 0) === 0;
  const node = service.nodeLocal ? snapshot.placeOf(proxy).nodeName : undefined;
  const view = snapshot.networks.isSplit ? networkView(proxy) : undefined;
  const sharedKey = JSON.stringify([
    "endpoints",
    service.namespace,
    clusterName,
    subset && Object.entries(subset.labels).sort(),
    sendsUnhealthy,
    node,
    view,
    plan && client && [ruleKey(rule), localityClientKey(plan, client)],
  ]);
  return once(snapshot, sharedKey, () =>
    loadAssignment(snapshot, {
      clusterName,
      needsMutualTls: sni !== undefined,
      service,
      port,
      subset,
      sendsUnhealthy,
      node,
      plan,
      client,
      view,
    }),
  );
}

/** Everything of a proxy, beside its scope, that the endpoints of what it sees depend on. */
export function endpointInputs(snapshot: MeshSnapshot, proxy: ProxyNode, scope: OutboundScope): string {
  const asked = onceForAll([snapshot, scope], "endpoints ask for", () => questions(snapshot, scope, scope.services));
  return answersOf(snapshot, proxy, asked);
}

/** The same for the endpoints of some clusters. */
export function endpointInputsOf(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  scope: OutboundScope & DestinationScope,
  clusterNames: readonly string[],
): string {
  const asked = onceForAll([snapshot, scope], `endpoints ask for ${clusterNames.join()}`, () => {
    const hosts = new Set(clusterNames.flatMap((name) => parseOutboundClusterName(name)?.host ?? []));
    return questions(
      snapshot,
      scope,
      [...hosts].flatMap((host) => scope.service(host) ?? []),
    );
  });
  return answersOf(snapshot, proxy, asked);
}

function answersOf(snapshot: MeshSnapshot, proxy: ProxyNode, asked: Questions): string {
  const place = [networkView(proxy), proxy.clusterId];
  if (!asked.isNodeLocal && !asked.hasPlans) return JSON.stringify(place);
  const { locality, nodeName } = snapshot.placeOf(proxy);
  const { labels } = localityClient(snapshot, proxy);
  return JSON.stringify([
    ...place,
    asked.isNodeLocal && nodeName,
    asked.hasPlans && [locality, asked.labels.map((name) => labels[name])],
  ]);
}

interface Questions {
  readonly isNodeLocal: boolean;
  readonly hasPlans: boolean;
  /** Names of labels. */
  readonly labels: readonly string[];
}

function questions(snapshot: MeshSnapshot, scope: OutboundScope, services: readonly Service[]): Questions {
  const plans = services.flatMap((service) => {
    const rule = scope.destinationRule(service);
    return onceForAll([snapshot, service, rule ?? nobody], "locality plans", () =>
      localityPlans(snapshot, service, rule),
    );
  });
  return {
    isNodeLocal: services.some(({ nodeLocal }) => nodeLocal),
    hasPlans: plans.length > 0,
    labels: [...new Set(plans.flatMap(failoverLabels))],
  };
}

function localityPlans(
  snapshot: MeshSnapshot,
  service: Service,
  rule: MergedDestinationRule | undefined,
): LocalityPlan[] {
  const { defaultTrafficPolicy } = snapshot.meshConfig;
  return service.ports.flatMap(({ number }) =>
    [undefined, ...(rule?.subsets ?? [])].flatMap((subset) => {
      const policy = effectivePolicy(rule?.trafficPolicy, subset?.trafficPolicy, number, defaultTrafficPolicy);
      return localityPlan(snapshot, service, policy) ?? [];
    }),
  );
}

function empty(clusterName: string): ClusterLoadAssignment {
  return create(ClusterLoadAssignmentSchema, { clusterName });
}
