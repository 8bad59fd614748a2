// The least that lets through what was seen: ALLOW policies by application, with identities, ports, methods and classes of
// paths. Who proves no identity is left out: an address says nothing about who has it tomorrow. At a gateway everybody may
// come, and hosts stand beside methods and paths.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { type InboundCaller, type InboundRequests, mergeCallers } from "#proxy/stats/inbound-traffic.ts";
import { anyRest, anySegment } from "#proxy/stats/path-classes.ts";
import { isGateway, type Pod } from "../../mesh/pods.ts";
import type { ObservedWorkload } from "../../traffic/observed-traffic.ts";
import { workloadsOf } from "../../traffic/workload-name.ts";

export interface Proposal {
  readonly policies: readonly KubernetesObject[];
  /** What the policies do not cover, and why; one sentence each. */
  readonly notes: readonly string[];
}

interface Operation {
  readonly hosts?: readonly string[];
  readonly ports: readonly string[];
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
}

/** More paths for one caller are written by their first segment. */
const maxPaths = 20;

/** For the observed workloads; `pods` say what selects them. */
export function proposePolicies(observed: readonly ObservedWorkload[], pods: readonly Pod[]): Proposal {
  const workloads = workloadsOf(pods);
  const notes: string[] = [];
  const groups = new Map<string, Group>();
  for (const { workload, callers } of observed) {
    const pod = workloads.get(workload);
    if (pod === undefined) {
      notes.push(`${workload} is not there any more: nothing is proposed for it`);
      continue;
    }
    const selected = selectorOf(pod, workload);
    const key = JSON.stringify(selected);
    const group = groups.get(key) ?? { selected, callers: [], names: [], isGateway: isGateway(pod) };
    groups.set(key, group);
    group.callers.push(callers);
    group.names.push(workload);
  }
  const policies = [...groups.values()].flatMap(
    ({ selected, callers, names, isGateway: isOpen }): KubernetesObject[] => {
      const merged = mergeCallers(callers);
      notes.push(...notesOn(names.join(", "), merged, isOpen));
      const rules = rulesOf(merged, isOpen);
      if (rules.length === 0) {
        const why =
          merged.length === 0 ? "nobody called" : isOpen ? "nothing was forwarded" : "no caller proved who it is";
        notes.push(
          `${names.join(", ")}: ${why}, so nothing is proposed (an ALLOW policy without rules lets nobody in)`,
        );
        return [];
      }
      return [policyOf(selected, rules)];
    },
  );
  return { policies, notes };
}

interface Group {
  readonly selected: Selected;
  readonly callers: (readonly InboundCaller[])[];
  readonly names: string[];
  readonly isGateway: boolean;
}

interface Selected {
  readonly namespace: string;
  readonly name: string;
  /** Of the workloads, or the Gateway of the Gateway API that they run. */
  readonly target: { readonly labels: Readonly<Record<string, string>> } | { readonly gateway: string };
}

const gatewayName = "gateway.networking.k8s.io/gateway-name";

/** All versions of an application together: which of them got a request was chance. */
function selectorOf({ metadata }: Pod, workload: string): Selected {
  const { namespace = "default", labels = {} } = metadata;
  const gateway = labels[gatewayName];
  if (gateway !== undefined) return { namespace, name: gateway, target: { gateway } };
  const label = ["app", "app.kubernetes.io/name"].find((name) => labels[name] !== undefined);
  const value = label === undefined ? undefined : labels[label];
  if (label !== undefined && value !== undefined) {
    return { namespace, name: value, target: { labels: { [label]: value } } };
  }
  const own = Object.entries(labels).filter(([name]) => !ofOnePod.has(name));
  return { namespace, name: workload.slice(0, workload.lastIndexOf(".")), target: { labels: Object.fromEntries(own) } };
}

const ofOnePod: ReadonlySet<string> = new Set([
  "pod-template-hash",
  "controller-revision-hash",
  "statefulset.kubernetes.io/pod-name",
  "apps.kubernetes.io/pod-index",
  "security.istio.io/tlsMode",
]);

function policyOf({ namespace, name, target }: Selected, rules: readonly object[]): KubernetesObject {
  const gateway = { group: "gateway.networking.k8s.io", kind: "Gateway" };
  return {
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name: `allow-observed-${name}`.slice(0, 63).replace(/[^a-z0-9]+$/i, ""), namespace },
    spec: {
      ...("gateway" in target && { targetRefs: [{ ...gateway, name: target.gateway }] }),
      ...("labels" in target && Object.keys(target.labels).length > 0 && { selector: { matchLabels: target.labels } }),
      action: "ALLOW",
      rules,
    },
  };
}

/** A rule with methods or paths never matches bytes, so ports of bytes have rules of their own. */
function rulesOf(callers: readonly InboundCaller[], isOpen: boolean): object[] {
  const httpPorts = new Set(callers.filter(({ requests }) => requests.length > 0).map(({ port }) => port));
  const known = callers.filter(({ principal, port }) => (isOpen || principal !== "") && port !== 0);
  return [
    ...rulesWith(
      known.filter(({ port }) => httpPorts.has(port)),
      httpOperations,
    ),
    ...rulesWith(
      known.filter(({ port }) => !httpPorts.has(port)),
      tcpOperations,
    ),
  ];
}

/** One rule for all identities that do the same. */
function rulesWith(callers: readonly InboundCaller[], operationsOf: (caller: InboundCaller) => Operation[]): object[] {
  const byPrincipal = new Map<string, Operation[]>();
  for (const caller of callers) {
    const operations = operationsOf(caller);
    if (operations.length === 0) continue;
    // At a gateway: policies know callers by SPIFFE ids, and any other is anybody.
    const name = caller.principal.startsWith("spiffe://") ? caller.principal : "";
    const before = byPrincipal.get(name) ?? [];
    const known = new Set(before.map((operation) => JSON.stringify(operation)));
    byPrincipal.set(name, [...before, ...operations.filter((operation) => !known.has(JSON.stringify(operation)))]);
  }
  const byOperations = new Map<string, { principals: string[]; operations: readonly Operation[] }>();
  for (const [principal, operations] of byPrincipal) {
    const key = JSON.stringify(operations);
    const same = byOperations.get(key) ?? { principals: [], operations };
    byOperations.set(key, same);
    same.principals.push(principal.replace(/^spiffe:\/\//, ""));
  }
  return [...byOperations.values()].map(({ principals, operations }) => ({
    ...(!principals.includes("") && { from: [{ source: { principals: principals.sort() } }] }),
    to: operations.map((operation) => ({ operation })),
  }));
}

function tcpOperations({ port, connections, refused }: InboundCaller): Operation[] {
  return connections > refused ? [{ ports: [String(port)] }] : [];
}

/** Hosts of which the same is asked stand together. */
function httpOperations({ port, requests }: InboundCaller): Operation[] {
  const hostsByOperations = new Map<string, string[]>();
  for (const [host, ofHost] of [...Map.groupBy(requests, (request) => request.host ?? "")].sort(([a], [b]) =>
    a < b ? -1 : 1,
  )) {
    const key = JSON.stringify(operationsAt(port, ofHost));
    hostsByOperations.set(key, [...(hostsByOperations.get(key) ?? []), host]);
  }
  return [...hostsByOperations].flatMap(([key, hosts]) =>
    (JSON.parse(key) as Operation[]).map((operation) => (hosts.includes("") ? operation : { hosts, ...operation })),
  );
}

/** Methods that are used on the same paths stand together. */
function operationsAt(port: number, requests: readonly InboundRequests[]): Operation[] {
  const pathsByMethod = new Map<string, Set<string>>();
  for (const { method, path, forwarded } of requests) {
    if (forwarded === 0 || !canBeWritten(method, path)) continue;
    const paths = pathsByMethod.get(method) ?? new Set();
    pathsByMethod.set(method, paths.add(path));
  }
  const methodsByPaths = new Map<string, string[]>();
  for (const [method, paths] of [...pathsByMethod].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const key = JSON.stringify(fewPaths([...paths].sort()));
    methodsByPaths.set(key, [...(methodsByPaths.get(key) ?? []), method]);
  }
  return [...methodsByPaths].map(([key, methods]) => {
    const paths = JSON.parse(key) as string[];
    return { ports: [String(port)], methods, ...(paths.length > 0 && { paths }) };
  });
}

/** Empty: they are too many even by their first segment, and all are allowed. */
function fewPaths(paths: readonly string[]): string[] {
  if (paths.length <= maxPaths) return [...paths];
  const firsts = paths.map((path) =>
    path.indexOf("/", 1) === -1 ? path : `${path.slice(0, path.indexOf("/", 1))}/${anyRest}`,
  );
  const few = [...new Set(firsts)];
  return few.length <= maxPaths ? few : [];
}

/** A row of what did not fit, and targets that are no paths, have no words in a policy. */
function canBeWritten(method: string, path: string): boolean {
  return method !== "" && path.startsWith("/");
}

function notesOn(name: string, callers: readonly InboundCaller[], isOpen: boolean): string[] {
  const unproven = isOpen ? [] : callers.filter(({ principal, port }) => principal === "" && port !== 0);
  const requests = callers.flatMap((caller) => caller.requests);
  const unwritten = sum(requests.filter(({ method, path }) => !canBeWritten(method, path)).map((it) => it.forwarded));
  const refused = sum(requests.map((request) => request.refused));
  const wide = requests.some(({ path }) => path.includes(anySegment) || path.includes(anyRest));
  return [
    ...(unproven.length === 0
      ? []
      : [
          `${name}: ${sum(unproven.map(({ connections }) => connections))} connections without a certificate of the mesh are left out, from ${addresses(unproven)}`,
        ]),
    ...(unwritten > 0
      ? [`${name}: ${unwritten} requests did not fit into what is counted apart, and are left out`]
      : []),
    ...(refused > 0 ? [`${name}: ${refused} requests that the sidecar answered itself are left out`] : []),
    ...(isOpen && callers.length > 0
      ? [`${name} is a gateway: whoever may come now may come then; users with tokens are not told apart`]
      : []),
    ...(wide ? [`${name}: ids in paths are written as ${anySegment}`] : []),
  ];
}

function addresses(callers: readonly InboundCaller[]): string {
  const all = [...new Set(callers.map(({ address }) => (address === "" ? "others" : address)))];
  return all.length > 5 ? `${all.slice(0, 5).join(", ")} and ${all.length - 5} more` : all.join(", ");
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
