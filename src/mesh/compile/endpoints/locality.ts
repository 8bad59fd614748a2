// Which endpoints a client prefers by where it and they are: Istio's locality load balancing. A group of endpoints of
// one locality gets a priority (failover) or a weight (distribute).
//
// | setting            | effect                                                                                    |
// |--------------------|-------------------------------------------------------------------------------------------|
// | distribute         | weights for the localities named for the client's; the others get nothing                  |
// | failoverPriority   | an endpoint's priority is how early it differs from the client in the labels named         |
// | failover           | 0 same subzone, 1 zone, 2 region, 3 elsewhere; 4 for regions that the setting does not name |
// | zoneAwareLbSetting | 0 same region, 1 elsewhere; 2 for regions that `failover` does not name; the proxy weighs zones |

import type { Labels } from "../../objects/fields/selector.ts";
import type { LocalityLbSetting, ZoneAwareLbSetting } from "../../objects/fields/traffic-policy.ts";
import type { Endpoint, Locality, Workload } from "../../snapshot/endpoint.ts";
import { parseLocality } from "../../snapshot/endpoint.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { Service } from "../../snapshot/service.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import type { EffectivePolicy } from "../policy/traffic-policy.ts";

export interface LocalityGroup {
  readonly locality: Locality;
  readonly endpoints: readonly Endpoint[];
  readonly weight: number;
  readonly priority: number;
}

/** How the endpoints of a service are preferred; undefined when all are used alike. */
export interface LocalityPlan {
  readonly setting: Omit<LocalityLbSetting, "enabled">;
  /** Without something that takes endpoints out, traffic would never fail over, so nothing is preferred then. */
  readonly failover: boolean;
  /** Regions are told apart and nothing nearer: of the zones the proxy takes care. */
  readonly isRegional: boolean;
}

/** The client as preferences see it. */
export interface LocalityClient {
  readonly locality: Locality;
  readonly labels: Labels;
}

/** The rule's setting, else what the Service asks for, else the mesh's. */
export function localityPlan(
  snapshot: MeshSnapshot,
  service: Service,
  policy: EffectivePolicy,
): LocalityPlan | undefined {
  const own = policy.loadBalancer?.localityLbSetting;
  const failover = policy.outlierDetection !== undefined;
  const zones = zoneAwareSetting(snapshot, service, policy);
  if (zones !== undefined && isOn(zones)) return zonePlan(zones);
  if (own !== undefined) return planOf(own, failover);
  const labels = distributionLabels[service.trafficDistribution];
  if (labels.length > 0) return planOf({ distribute: [], failover: [], failoverPriority: labels }, true);
  return planOf(snapshot.meshConfig.localityLbSetting ?? everywhereAlike, failover);
}

function planOf(setting: LocalityLbSetting, failover: boolean): LocalityPlan | undefined {
  if (setting.enabled === false || (setting.distribute.length === 0 && !failover)) return undefined;
  return { setting, failover, isRegional: false };
}

/** Regions are told apart whether or not something takes endpoints out. */
function zonePlan({ failover, failoverPriority }: ZoneAwareLbSetting): LocalityPlan {
  return { setting: { distribute: [], failover, failoverPriority }, failover: true, isRegional: true };
}

/** What is said of zones: by the rule, else by the mesh where nothing nearer says how localities count. */
export function zoneAwareSetting(
  snapshot: MeshSnapshot,
  service: Service,
  policy: EffectivePolicy,
): ZoneAwareLbSetting | undefined {
  const { localityLbSetting, zoneAwareLbSetting } = policy.loadBalancer ?? {};
  if (zoneAwareLbSetting !== undefined || localityLbSetting !== undefined) return zoneAwareLbSetting;
  return service.trafficDistribution === "any" ? snapshot.meshConfig.zoneAwareLbSetting : undefined;
}

function isOn({ enabled }: ZoneAwareLbSetting): boolean {
  return enabled !== false;
}

/**
 * Envoy's settings of zone aware routing; undefined where nothing is said. What is off is said too: a proxy that knows its peers
 * looks at zones by itself.
 */
export function zoneAwareConfig(
  setting: ZoneAwareLbSetting | undefined,
): { readonly routingEnabled?: { readonly value: number }; readonly minClusterSize?: bigint } | undefined {
  if (setting === undefined) return undefined;
  if (!isOn(setting)) return { routingEnabled: { value: 0 } };
  return setting.minClusterSize === undefined ? {} : { minClusterSize: BigInt(setting.minClusterSize) };
}

const everywhereAlike: LocalityLbSetting = { distribute: [], failover: [], failoverPriority: [] };

const topology = {
  network: "topology.istio.io/network",
  cluster: "topology.istio.io/cluster",
  region: "topology.kubernetes.io/region",
  zone: "topology.kubernetes.io/zone",
  subzone: "topology.istio.io/subzone",
  node: "kubernetes.io/hostname",
} as const;

const distributionLabels: Readonly<Record<Service["trafficDistribution"], readonly string[]>> = {
  any: [],
  "same-zone": [topology.network, topology.region, topology.zone],
  "same-node": [topology.network, topology.region, topology.zone, topology.subzone, topology.node],
};

/** Tells whether Envoy has to weigh localities, as Istio says it. */
export function weighsLocalities({ setting, failover, isRegional }: LocalityPlan): boolean {
  if (isRegional) return false;
  return setting.distribute.length > 0 || (failover && setting.failover.length + setting.failoverPriority.length > 0);
}

export function localityClient(snapshot: MeshSnapshot, proxy: ProxyNode): LocalityClient {
  const { locality, nodeName } = snapshot.placeOf(proxy);
  const { clusterId, network } = proxy;
  return { locality, labels: { ...proxy.labels, ...placeLabels({ locality, nodeName, clusterId, network }) } };
}

/** Everything of the client that the plan looks at. */
export function localityClientKey(plan: LocalityPlan, { locality, labels }: LocalityClient): string {
  return JSON.stringify([locality, failoverLabels(plan).map((name) => labels[name])]);
}

/** Names of the client's labels that the plan looks at. */
export function failoverLabels({ setting }: LocalityPlan): string[] {
  return setting.failoverPriority.map((label) => label.split("=", 1)[0] ?? "");
}

/** Gives groups their priorities and weights for one client. */
export function preferLocalities(
  groups: readonly LocalityGroup[],
  { setting, failover, isRegional }: LocalityPlan,
  client: LocalityClient,
): LocalityGroup[] {
  const distance = isRegional ? regionalDistance : distanceOf;
  if (setting.distribute.length > 0) return distribute(groups, setting.distribute, client.locality);
  if (!failover) return [...groups];
  if (setting.failoverPriority.length === 0) return failOver(groups, setting.failover, client.locality, distance);
  const ranked = compacted(groups.flatMap((group) => rankByLabels(group, setting.failoverPriority, client.labels)));
  if (setting.failover.length === 0 && !isRegional) return ranked;
  return failOver(ranked, setting.failover, client.locality, distance);
}

function distribute(
  groups: readonly LocalityGroup[],
  rules: LocalityLbSetting["distribute"],
  locality: Locality,
): LocalityGroup[] {
  const rule = rules.find(({ from }) => localityMatches(locality, from));
  if (rule === undefined) return [...groups];
  const weights = new Map<LocalityGroup, number>();
  for (const [to, share] of Object.entries(rule.to)) {
    const taken = groups.filter((group) => !weights.has(group) && localityMatches(group.locality, to));
    const total = taken.reduce((sum, { weight }) => sum + weight, 0);
    // A name may cover several localities: they share by their own weights.
    for (const group of taken) weights.set(group, Math.ceil((group.weight * share) / total));
  }
  return groups.map((group) => {
    const weight = weights.get(group);
    return weight === undefined ? { ...group, endpoints: [] } : { ...group, weight };
  });
}

function failOver(
  groups: readonly LocalityGroup[],
  rules: LocalityLbSetting["failover"],
  locality: Locality,
  distanceOf: (a: Locality, b: Locality) => number,
): LocalityGroup[] {
  const target = rules.find(({ from }) => from === locality.region)?.to;
  const ranked = groups.map((group) => {
    const distance = distanceOf(locality, group.locality);
    const isOther = distance === 3 && target !== undefined && group.locality.region !== target;
    // Five ranks at most, within the priorities that labels gave.
    return { ...group, priority: group.priority * 5 + (isOther ? 4 : distance) };
  });
  return compacted(ranked);
}

function distanceOf(a: Locality, b: Locality): number {
  if (a.region !== b.region) return 3;
  if (a.zone !== b.zone) return 2;
  return a.subzone === b.subzone ? 0 : 1;
}

function regionalDistance(a: Locality, b: Locality): number {
  return a.region === b.region ? 0 : 3;
}

function rankByLabels(group: LocalityGroup, wanted: readonly string[], client: Labels): LocalityGroup[] {
  const pairs = wanted.map((label): [string, string | undefined] => {
    const [name = "", value, ...rest] = label.split("=");
    return [name, value === undefined || rest.length > 0 ? client[name] : value];
  });
  const byRank = Map.groupBy(group.endpoints, ({ workload, network }) => {
    const labels: Labels = { ...workload.labels, ...placeLabels({ ...workload, network }) };
    const differs = pairs.findIndex(([name, value]) => (labels[name] ?? "") !== (value ?? ""));
    return differs === -1 ? 0 : wanted.length - differs;
  });
  return [...byRank]
    .sort(([a], [b]) => a - b)
    .map(([priority, endpoints]) => ({
      ...group,
      endpoints,
      priority,
      weight: endpoints.reduce((sum, { weight }) => sum + weight, 0),
    }));
}

/** Envoy wants priorities from 0 without gaps. */
function compacted(groups: readonly LocalityGroup[]): LocalityGroup[] {
  const used = [...new Set(groups.map(({ priority }) => priority))].sort((a, b) => a - b);
  return groups.map((group) => ({ ...group, priority: used.indexOf(group.priority) }));
}

/** Tells whether a locality is covered by `region[/zone[/subzone]]`, where `*` and nothing are any. */
export function localityMatches(locality: Locality, rule: string): boolean {
  const { region, zone, subzone } = parseLocality(rule);
  return (
    (region === "*" || region === locality.region) &&
    (zone === "*" || zone === "" || zone === locality.zone) &&
    (subzone === "*" || subzone === "" || subzone === locality.subzone)
  );
}

/** The labels that Istio gives a workload by its place. */
function placeLabels(
  place: Pick<Workload, "locality" | "nodeName" | "clusterId"> & { readonly network: string },
): Labels {
  const { region, zone, subzone } = place.locality;
  const said: [string, string][] = [
    [topology.network, place.network],
    [topology.cluster, place.clusterId],
    [topology.region, region],
    [topology.zone, zone],
    [topology.subzone, subzone],
    [topology.node, place.nodeName],
  ];
  return Object.fromEntries(said.filter(([, value]) => value !== ""));
}
