// Which mutual TLS mode each port of a workload has and from where, what its clients use, and what STRICT would refuse:
// of the traffic that its sidecar has seen, and of what the configuration makes clients send.
import type { Origin } from "#base/issue.ts";
import type { EffectiveMtlsMode } from "#mesh/kinds/peer-authentication/spec.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { originAt } from "#mesh/objects/mesh-object.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { InboundCaller } from "#proxy/stats/inbound-traffic.ts";
import type { Pod } from "../../mesh/pods.ts";
import type { Population } from "../../population.ts";
import {
  type ClientTls,
  clientUses,
  decideConnection,
  isRefusedConnection,
  judgeTls,
} from "../../traffic/client-tls.ts";
import type { ObservedTraffic } from "../../traffic/observed-traffic.ts";
import { handshakeOf, type SourceName, SourceNames } from "../../traffic/sources.ts";
import { workloadName, workloadsOf } from "../../traffic/workload-name.ts";
import { Views } from "../explain/hop.ts";
import { type ExplainWorkload, workloadOfPod } from "../explain/workload.ts";

export interface MtlsReport {
  readonly ports: readonly PortReport[];
  /** Workloads without a sidecar: what they send is plaintext, or TLS of their own. */
  readonly unmeshed: readonly string[];
  readonly observed: ObservedTraffic["workloads"];
}

export interface PortReport {
  /** `reviews-v1.default` */
  readonly workload: string;
  /** On which the application listens. */
  readonly port: number;
  readonly mode: EffectiveMtlsMode;
  /** The PeerAuthentication that says so; null: nobody does. */
  readonly policy: Origin | null;
  readonly clients: readonly ClientGroup[];
  /** Connections that were seen. */
  readonly connections: Readonly<Record<InboundCaller["protection"], number>>;
  readonly strictWouldRefuse: {
    readonly observed: readonly RefusedCaller[];
    readonly configured: readonly ClientGroup[];
  };
}

/** Clients that are configured alike. */
export interface ClientGroup {
  readonly uses: ClientTls;
  readonly rule: Origin | null;
  readonly workloads: readonly string[];
}

export interface RefusedCaller extends SourceName {
  readonly protection: InboundCaller["protection"];
  readonly connections: number;
  readonly requests: number;
}

interface Server {
  readonly name: string;
  readonly pod: Pod;
  readonly node: ProxyNode;
}

export interface ReportQuestion {
  readonly namespace?: string | undefined;
  /** `reviews-v1.default` */
  readonly workload?: string | undefined;
}

export function mtlsReport(mesh: Population, traffic: ObservedTraffic, asked: ReportQuestion): MtlsReport {
  const { snapshot, pods } = mesh;
  const { trustDomain } = snapshot.meshConfig;
  const workloads = [...workloadsOf(pods)].map(([name, pod]) => ({ name, pod, it: workloadOfPod(pod, trustDomain) }));
  const servers = workloads.flatMap(({ name, pod, it }): Server[] => {
    const isAsked =
      (asked.workload === undefined || asked.workload === name) &&
      (asked.namespace === undefined || asked.namespace === it.namespace);
    return it.node?.type === "sidecar" && isAsked ? [{ name, pod, node: it.node }] : [];
  });
  const strict = new Views(strictMesh(mesh));
  const configured = configuredClients(snapshot, pods, workloads, strict);
  const names = new SourceNames(pods, trustDomain);
  return {
    ports: servers.flatMap(({ name, node }) => {
      const callers = traffic.workloads.find(({ workload }) => workload === name)?.callers ?? [];
      return portsOf(snapshot, node, callers).map((port): PortReport => {
        const { mode, policy } = snapshot.inboundMtlsMode(node, port);
        const clients = configured.get(`${name} ${port}`) ?? [];
        const here = callers.filter((caller) => caller.port === port);
        return {
          workload: name,
          port,
          mode,
          policy: policy === undefined ? null : originAt(policy, modePath(policy.spec, port)),
          clients: grouped(clients),
          connections: countByProtection(here),
          strictWouldRefuse: {
            observed: here
              .filter((caller) => isRefusedUnder(strict, node, caller))
              .map((caller) => ({
                ...names.of(caller),
                protection: caller.protection,
                connections: caller.connections,
                requests: sum(caller.requests.map(({ forwarded, refused }) => forwarded + refused)),
              })),
            configured: grouped(clients.filter(({ isRefused }) => isRefused)),
          },
        };
      });
    }),
    unmeshed: workloads.filter(({ it }) => it.node === undefined).map(({ name }) => name),
    observed: traffic.workloads.filter(({ workload }) => servers.some(({ name }) => name === workload)),
  };
}

/** The mesh with STRICT everywhere, and nothing said beside it. */
function strictMesh({ snapshot, changed }: Population): MeshSnapshot {
  const isOfPeers = ({ kind }: KubernetesObject): boolean => kind === "PeerAuthentication";
  const everywhere = {
    apiVersion: "security.istio.io/v1",
    kind: "PeerAuthentication",
    metadata: { name: "default", namespace: snapshot.meshConfig.rootNamespace },
    spec: { mtls: { mode: "STRICT" } },
  };
  return changed({ drops: isOfPeers, adds: [everywhere] });
}

function isRefusedUnder(strict: Views, node: ProxyNode, caller: InboundCaller): boolean {
  const endpoint = { host: node.ipAddresses[0] ?? "", port: caller.port };
  return isRefusedConnection(
    decideConnection(strict.of(node), node, {
      endpoint,
      handshake: handshakeOf(caller),
      clientIp: caller.address,
    }),
  );
}

/** Where the port's own mode is written, else the workload's. */
function modePath(
  { portLevelMtls }: { readonly portLevelMtls: Readonly<Record<string, unknown>> },
  port: number,
): string {
  return portLevelMtls[port] === undefined ? "spec.mtls.mode" : `spec.portLevelMtls["${port}"]`;
}

function portsOf(snapshot: MeshSnapshot, node: ProxyNode, callers: readonly InboundCaller[]): number[] {
  const served = snapshot.serviceInstances(node).map(({ targetPort }) => targetPort);
  const named = snapshot.inboundMtlsPorts(node).keys();
  const seen = callers.map(({ port }) => port).filter((port) => port > 0);
  return [...new Set([...served, ...named, ...seen])].sort((a, b) => a - b);
}

interface ConfiguredClient {
  readonly workload: string;
  readonly uses: ClientTls;
  readonly rule: Origin | null;
  readonly isRefused: boolean;
}

/** By the server's name and port: what every proxy is configured to send there. */
function configuredClients(
  snapshot: MeshSnapshot,
  pods: readonly Pod[],
  workloads: readonly { readonly name: string; readonly it: ExplainWorkload }[],
  strict: Views,
): ReadonlyMap<string, readonly ConfiguredClient[]> {
  const views = new Views(snapshot);
  const podByIp = new Map(pods.map((pod) => [pod.status?.podIP ?? "", pod]));
  const nodes = new Map(workloads.map(({ name, it }) => [name, it.node]));
  const found = new Map<string, Map<string, ConfiguredClient>>();
  for (const { name: client, it } of workloads) {
    if (it.node === undefined) continue;
    for (const use of clientUses(views.of(it.node), snapshot, it.identity)) {
      const pod = podByIp.get(use.endpoint.host);
      const server = pod === undefined ? undefined : workloadName(pod);
      const node = server === undefined ? undefined : nodes.get(server);
      if (server === undefined || node === undefined || server === client) continue;
      const key = `${server} ${use.endpoint.port}`;
      const { tls, rule } = use;
      const isRefused = !judgeTls(strict, use, node, it.ip).fits;
      const clients = found.get(key) ?? new Map<string, ConfiguredClient>();
      clients.set(JSON.stringify([client, tls, rule]), { workload: client, uses: tls, rule, isRefused });
      found.set(key, clients);
    }
  }
  return new Map([...found].map(([key, clients]) => [key, [...clients.values()]]));
}

function grouped(clients: readonly ConfiguredClient[]): ClientGroup[] {
  const groups = new Map<string, ConfiguredClient[]>();
  for (const client of clients) {
    // A rule that leaves mutual TLS as it is has nothing to tell.
    const key = JSON.stringify([client.uses, client.uses === "mutual TLS" ? null : client.rule]);
    groups.set(key, [...(groups.get(key) ?? []), client]);
  }
  return [...groups.values()].flatMap((same) => {
    const [first] = same;
    if (first === undefined) return [];
    const rule = first.uses === "mutual TLS" ? null : first.rule;
    return { uses: first.uses, rule, workloads: [...new Set(same.map(({ workload }) => workload))].sort() };
  });
}

function countByProtection(callers: readonly InboundCaller[]): PortReport["connections"] {
  const count = (protection: InboundCaller["protection"]): number =>
    sum(callers.filter((caller) => caller.protection === protection).map(({ connections }) => connections));
  return {
    mutual_tls: count("mutual_tls"),
    tls: count("tls"),
    own_tls: count("own_tls"),
    plaintext: count("plaintext"),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
