// A pod or a service in the words of `istioctl x describe`: ports, the rules and routes that lead there, the policies that
// hold, and how it is reached from outside. Beside each object stands where it was written.
import type { Origin } from "#base/issue.ts";
import { asArray, asRecord, fieldAt } from "#cluster/store/json.ts";
import type { VirtualServiceSpec } from "#mesh/kinds/virtual-service/spec.ts";
import { selects } from "#mesh/objects/fields/selector.ts";
import type { MeshObject } from "#mesh/objects/mesh-object.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { Service, ServicePort } from "#mesh/snapshot/service.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { containersOf, hasProxy, type Pod } from "../../mesh/pods.ts";
import { workloadOfPod } from "../explain/workload.ts";

const rule = "--------------------";

export interface DescribeSettings {
  /** Names of this namespace stand without it. */
  readonly namespace: string;
  readonly ignoreUnmeshed: boolean;
}

export function describePod(snapshot: MeshSnapshot, pod: Pod, settings: DescribeSettings): string[] {
  const { node } = workloadOfPod(pod, snapshot.meshConfig.trustDomain);
  const lines = podLines(pod, settings);
  const services = servicesOf(snapshot, pod);
  if (services.length === 0 && !settings.ignoreUnmeshed) {
    lines.push(`Warning: No Kubernetes Services select pod ${shortName(pod.metadata, settings)}`);
  }
  if (node === undefined) return lines;
  for (const service of services) lines.push(rule, ...serviceLines(snapshot, service, [pod], node, settings));
  lines.push(rule, ...peerLines(snapshot, node));
  return [...lines, ...gatewayLines(snapshot, services, settings)];
}

export function describeService(
  snapshot: MeshSnapshot,
  service: Service,
  pods: readonly Pod[],
  settings: DescribeSettings,
): string[] {
  const selected = pods.filter((pod) => servicesOf(snapshot, pod).includes(service));
  const meshed = selected.filter(hasProxy);
  const [first] = meshed;
  const name = shortName(service, settings);
  if (selected.length === 0) return [`Service "${name}" has no pods.`];
  const node = first === undefined ? undefined : workloadOfPod(first, snapshot.meshConfig.trustDomain).node;
  if (node === undefined) {
    return [
      `Service "${name}" has no Istio pods.  (${selected.length} pods in service).`,
      "Use `outrigger kube-inject` or redeploy with automatic sidecar injection.",
    ];
  }
  return [...serviceLines(snapshot, service, meshed, node, settings), ...gatewayLines(snapshot, [service], settings)];
}

function podLines(pod: Pod, settings: DescribeSettings): string[] {
  const name = shortName(pod.metadata, settings);
  const revision = pod.metadata.labels?.["istio.io/rev"] ?? (hasProxy(pod) ? "default" : "");
  const ports = containersOf(pod).flatMap((container) =>
    asArray(fieldAt(container, "ports")).map((port) => {
      const { containerPort, protocol = "TCP" } = asRecord(port);
      return `${String(containerPort)}${protocol === "TCP" ? "" : `/${String(protocol)}`} (${container.name})`;
    }),
  );
  const lines = [`Pod: ${name}`, `   Pod Revision: ${revision}`];
  lines.push(ports.length > 0 ? `   Pod Ports: ${ports.join(", ")}` : "   Pod does not expose ports");
  const { phase, containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  if (phase !== undefined && phase !== "Running") return [...lines, `   Pod is not Running (${phase})`];
  for (const { name: container, ready } of containerStatuses) {
    if (ready === false) lines.push(`WARNING: Pod ${name} Container ${container} NOT READY`);
  }
  for (const { name: container, ready } of initContainerStatuses) {
    if (ready === false) lines.push(`WARNING: Pod ${name} Init Container ${container} NOT READY`);
  }
  if (settings.ignoreUnmeshed) return lines;
  if (!hasProxy(pod)) return [...lines, `WARNING: ${name} is not part of mesh; no Istio sidecar`];
  return [...lines, ...userIdLines(pod)];
}

/** Of the proxy: what an application with it does is not captured. */
const proxyUser = 1337;

function userIdLines(pod: Pod): string[] {
  const users = [
    fieldAt(pod, "spec", "securityContext", "runAsUser"),
    ...containersOf(pod)
      .filter(({ name }) => name !== "istio-proxy")
      .map((container) => fieldAt(container, "securityContext", "runAsUser")),
  ];
  return users.includes(proxyUser) ? [`WARNING: User ID (UID) ${proxyUser} is reserved for the sidecar proxy.`] : [];
}

function servicesOf(snapshot: MeshSnapshot, { metadata }: Pod): Service[] {
  return snapshot
    .servicesIn(metadata.namespace ?? "default")
    .filter(({ selector }) => Object.keys(selector).length > 0 && selects(selector, metadata.labels ?? {}));
}

function serviceLines(
  snapshot: MeshSnapshot,
  service: Service,
  pods: readonly Pod[],
  node: ProxyNode,
  settings: DescribeSettings,
): string[] {
  const lines = [`Service: ${shortName(service, settings)}`];
  const instances = snapshot.serviceInstances(node);
  for (const port of service.ports) {
    const target = instances.find((it) => it.service === service && it.port.number === port.number)?.targetPort;
    lines.push(
      target === undefined
        ? `   no port of the pod is found for port ${port.number}`
        : `   Port: ${port.name} ${port.number}/${protocolText(port)} targets pod port ${target}`,
    );
  }
  const scope = snapshot.scope(node);
  const destinationRule = scope.destinationRule(service);
  const several = service.ports.length > 1;
  for (const port of service.ports) {
    if (several) lines.push(`${port.number}:`);
    const indent = several ? "   " : "";
    if (destinationRule !== undefined) {
      const [first] = destinationRule.rules;
      const name = first === undefined ? destinationRule.host : shortName(first, settings);
      lines.push(`${indent}DestinationRule: ${name} for "${destinationRule.host}"${place(first?.origin)}`);
      lines.push(...subsetLines(destinationRule.subsets, pods).map((line) => `${indent}   ${line}`));
      const { trafficPolicy } = destinationRule;
      const ofPort = trafficPolicy?.portLevelSettings.find((it) => it.port?.number === port.number);
      const tls = (ofPort ?? trafficPolicy)?.tls;
      if (trafficPolicy === undefined) lines.push(`${indent}   No Traffic Policy`);
      else if (tls !== undefined) lines.push(`${indent}   Traffic Policy TLS Mode: ${tls.mode}`);
    }
    for (const object of routesTo(scope.virtualServices, service)) {
      lines.push(...virtualServiceLines(object, service, settings).map((line) => `${indent}${line}`));
    }
  }
  return [...lines, ...policyLines(snapshot, node)];
}

function protocolText({ name, protocol }: ServicePort): string {
  return name === "" ? "auto-detect" : protocol;
}

function subsetLines(
  subsets: readonly { readonly name: string; readonly labels: Readonly<Record<string, string>> }[],
  pods: readonly Pod[],
): string[] {
  if (subsets.length === 0) return [];
  const matching = subsets.filter(({ labels }) => pods.some(({ metadata }) => selects(labels, metadata.labels ?? {})));
  const others = subsets.filter((subset) => !matching.includes(subset)).map(({ name }) => name);
  if (matching.length === 0)
    return [`WARNING POD DOES NOT MATCH ANY SUBSETS.  (Non matching subsets ${others.join(",")})`];
  const lines = [`Matching subsets: ${matching.map(({ name }) => name).join(",")}`];
  if (others.length > 0) lines.push(`   (Non-matching subsets ${others.join(",")})`);
  return lines;
}

type VirtualService = MeshObject<VirtualServiceSpec>;

function routesTo(all: readonly VirtualService[], { hostname }: Service): VirtualService[] {
  return all.filter(({ spec }) => destinationsOf(spec).some(({ host }) => host === hostname));
}

function destinationsOf({ http, tls, tcp }: VirtualServiceSpec): { readonly host: string; readonly subset: string }[] {
  return [...http, ...tls, ...tcp].flatMap(({ route }) => route.map(({ destination }) => destination));
}

function virtualServiceLines(object: VirtualService, { hostname }: Service, settings: DescribeSettings): string[] {
  const { spec } = object;
  const lines = [`VirtualService: ${shortName(object, settings)}${place(object.origin)}`];
  const reaching = spec.http.filter(({ route }) => route.some(({ destination }) => destination.host === hostname));
  for (const { route } of reaching) {
    for (const { destination, weight } of route) {
      if (destination.host !== hostname || route.length < 2) continue;
      const subset = destination.subset === "" ? "" : ` subset "${destination.subset}"`;
      lines.push(`   Route to host "${destination.host}"${subset} with weight ${weight}%`);
    }
  }
  const others = spec.http.length - reaching.length;
  if (others > 0) lines.push(`   ${others} additional destination(s) that will not reach this pod`);
  if (reaching.length > 0 && lines.length === 1) lines.push(`   ${reaching.length} HTTP route(s)`);
  if (spec.tcp.length > 0) lines.push(`   ${spec.tcp.length} TCP route(s)`);
  if (spec.tls.length > 0) lines.push(`   ${spec.tls.length} TLS route(s)`);
  return lines;
}

function policyLines(snapshot: MeshSnapshot, node: ProxyNode): string[] {
  const { custom, deny, allow, audit } = snapshot.authorizationPolicies(node);
  const names = [...custom, ...deny, ...allow, ...audit].flatMap(({ namespace, name, spec }) =>
    spec.rules.map((_, index) => `ns[${namespace}]-policy[${name}]-rule[${index}]`),
  );
  return names.length === 0 ? [] : [`RBAC policies: ${names.join(", ")}`];
}

function peerLines(snapshot: MeshSnapshot, node: ProxyNode): string[] {
  const { mode, policy } = snapshot.inboundMtlsMode(node);
  const ports = [...snapshot.inboundMtlsPorts(node)];
  const applied = [...new Set([policy, ...ports.map(([, decision]) => decision.policy)])].filter(
    (it) => it !== undefined,
  );
  return [
    "Effective PeerAuthentication:",
    `   Workload mTLS mode: ${mode}`,
    ...(ports.length === 0 ? [] : ["   Port Level mTLS mode:"]),
    ...ports.map(([port, decision]) => `      ${port}: ${decision.mode}`),
    ...(applied.length === 0 ? [] : ["Applied PeerAuthentication:"]),
    ...applied.map(({ namespace, name, origin }) => `   ${name}.${namespace}${place(origin)}`),
  ];
}

/** The VirtualServices of gateways that lead here, with the hosts and ports of the Gateway. */
function gatewayLines(snapshot: MeshSnapshot, services: readonly Service[], settings: DescribeSettings): string[] {
  const all = snapshot.objects("VirtualService") as readonly VirtualService[];
  return services.flatMap((service) =>
    routesTo(all, service).flatMap((object) => {
      const gateways = object.spec.gateways.filter((name) => name !== "mesh");
      if (gateways.length === 0) return [];
      const exposed = gateways.map((name) => `Exposed on Ingress Gateway ${name} for ${object.spec.hosts.join(", ")}`);
      return [rule, ...exposed, ...virtualServiceLines(object, service, settings)];
    }),
  );
}

function place(origin: Origin | undefined): string {
  return origin?.file === undefined ? "" : ` (${origin.file}:${origin.line ?? 1})`;
}

function shortName(
  { name, namespace = "default" }: { readonly name: string; readonly namespace?: string },
  settings: DescribeSettings,
): string {
  return namespace === settings.namespace ? name : `${name}.${namespace}`;
}
