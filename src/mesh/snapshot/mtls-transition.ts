// A snapshot on the way from one PeerAuthentication to another, so that no request meets a server that does not take what
// its client sends. Servers take plaintext and mutual TLS wherever the two differ; clients do what they did, or already
// what they are to do.
//
// | step  | servers                    | clients       |
// |-------|----------------------------|---------------|
// | widen | both, where modes differ   | as before     |
// | move  | both, where modes differ   | as configured |
// | (end) | as configured              | as configured |
import type { MtlsDecision } from "../kinds/peer-authentication/resolve.ts";
import { type EffectiveMtlsMode, MtlsMode } from "../kinds/peer-authentication/spec.ts";
import { selects } from "../objects/fields/selector.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ProxyNode } from "./proxy-node.ts";
import type { Service } from "./service.ts";
import type { MeshSnapshot } from "./snapshot.ts";

export type MtlsStep = "widen" | "move";

export interface MtlsTransition {
  readonly next: MeshSnapshot;
  /** What servers or clients may still go by; at least one. */
  readonly before: readonly MeshSnapshot[];
  /** What clients go by. */
  readonly clients: MeshSnapshot;
}

/** The step that comes first for these proxies; undefined: none is needed. */
export function firstStep(transition: MtlsTransition, proxies: Iterable<ProxyNode>): MtlsStep | undefined {
  let step: MtlsStep | undefined;
  for (const proxy of proxies) {
    for (const port of portsThatDiffer(transition, proxy)) {
      const { next, before, clients } = transition;
      const mode = next.inboundMtlsMode(proxy, port).mode;
      const moves = isRefusing(clients, proxy, port) !== (mode === MtlsMode.Disable);
      if (moves && before.some((earlier) => earlier.inboundMtlsMode(proxy, port).mode !== MtlsMode.Permissive)) {
        return "widen";
      }
      if (mode !== MtlsMode.Permissive) step = "move";
    }
  }
  return step;
}

/** Whether servers are to take less at the end than in the steps before. */
export function isNarrowing(transition: MtlsTransition, proxies: Iterable<ProxyNode>): boolean {
  for (const proxy of proxies) {
    for (const port of portsThatDiffer(transition, proxy)) {
      if (transition.next.inboundMtlsMode(proxy, port).mode !== MtlsMode.Permissive) return true;
    }
  }
  return false;
}

export function transitionSnapshot(transition: MtlsTransition, step: MtlsStep): MeshSnapshot {
  const { next } = transition;
  // A prototype: what is computed when it is asked for stays with the snapshot.
  return Object.assign(Object.create(next) as MeshSnapshot, {
    version: `${next.version}-${step}`,
    inboundMtlsMode: (proxy: ProxyNode, port?: number): MtlsDecision => widened(transition, proxy, port),
    inboundMtlsPorts: (proxy: ProxyNode): ReadonlyMap<number, MtlsDecision> =>
      new Map(
        [...portsOf(transition, proxy)].flatMap((port) =>
          port === undefined ? [] : [[port, widened(transition, proxy, port)]],
        ),
      ),
    ...(step === "widen" && clientsAsBefore(transition)),
  });
}

/** `undefined` is all ports that nothing else is said of. */
function portsOf({ next, before }: MtlsTransition, proxy: ProxyNode): Set<number | undefined> {
  const named = [next, ...before].flatMap((snapshot) => [...snapshot.inboundMtlsPorts(proxy).keys()]);
  return new Set<number | undefined>([undefined, ...named]);
}

function portsThatDiffer(transition: MtlsTransition, proxy: ProxyNode): (number | undefined)[] {
  return [...portsOf(transition, proxy)].filter((port) => differs(transition, proxy, port));
}

function differs({ next, before }: MtlsTransition, proxy: ProxyNode, port: number | undefined): boolean {
  const { mode } = next.inboundMtlsMode(proxy, port);
  return before.some((earlier) => earlier.inboundMtlsMode(proxy, port).mode !== mode);
}

function isRefusing(snapshot: MeshSnapshot, proxy: ProxyNode, port: number | undefined): boolean {
  return snapshot.inboundMtlsMode(proxy, port).mode === MtlsMode.Disable;
}

function widened(transition: MtlsTransition, proxy: ProxyNode, port: number | undefined): MtlsDecision {
  const decision = transition.next.inboundMtlsMode(proxy, port);
  return differs(transition, proxy, port) ? { ...decision, mode: MtlsMode.Permissive } : decision;
}

type ClientView = Pick<MeshSnapshot, "endpoints" | "serviceMtlsMode">;

/** What is new is seen as it is: nobody goes by anything else. */
function clientsAsBefore({ next, clients }: MtlsTransition): ClientView {
  const earlier = new Map(clients.services.map((service) => [keyOf(service), service]));
  const memo = new Map<Service, Map<number, readonly Endpoint[]>>();
  const endpoints = (service: Service, port: number): readonly Endpoint[] => {
    const byPort = memo.get(service) ?? new Map<number, readonly Endpoint[]>();
    memo.set(service, byPort);
    let found = byPort.get(port);
    if (found === undefined) {
      const before = earlier.get(keyOf(service));
      const modes = new Map((before === undefined ? [] : clients.endpoints(before, port)).map(modeByAddress));
      found = next.endpoints(service, port).map((endpoint) => withMode(endpoint, modes.get(addressOf(endpoint))));
      byPort.set(port, found);
    }
    return found;
  };
  return {
    endpoints: (service, port, labels) => {
      const all = endpoints(service, port);
      return labels === undefined ? all : all.filter(({ workload }) => selects(labels, workload.labels));
    },
    serviceMtlsMode: (service, port): EffectiveMtlsMode => {
      const before = earlier.get(keyOf(service));
      return before === undefined ? next.serviceMtlsMode(service, port) : clients.serviceMtlsMode(before, port);
    },
  };
}

function withMode(endpoint: Endpoint, tlsMode: Endpoint["workload"]["tlsMode"] | undefined): Endpoint {
  if (tlsMode === undefined || tlsMode === endpoint.workload.tlsMode) return endpoint;
  return { ...endpoint, workload: { ...endpoint.workload, tlsMode } };
}

function modeByAddress(endpoint: Endpoint): [string, Endpoint["workload"]["tlsMode"]] {
  return [addressOf(endpoint), endpoint.workload.tlsMode];
}

function addressOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}

function keyOf({ namespace, hostname }: Service): string {
  return `${namespace}/${hostname}`;
}
