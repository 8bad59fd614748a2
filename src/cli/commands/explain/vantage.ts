// From where a question is asked: a workload that sends, a gateway that is reached from outside, or a workload that is
// reached directly.
import type { GatewaySpec } from "#mesh/kinds/gateway/spec.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { UsageError } from "../../context.ts";
import { parseLabels } from "../../labels-argument.ts";
import { proxyFactsOf } from "../../mesh/pod-proxy.ts";
import type { Pod } from "../../mesh/pods.ts";
import { parseIdentity } from "./question.ts";
import { type ExplainWorkload, findWorkload, workloadOf } from "./workload.ts";

type TlsChoice = "none" | "simple" | "mutual";

/** Who is at the other end of a connection that comes in. */
export interface Caller {
  readonly ip: string;
  readonly tls: TlsChoice;
  /** Of its certificate, with mutual TLS. */
  readonly identity: string;
  readonly sni?: string | undefined;
  readonly alpn?: readonly string[] | undefined;
}

export type Vantage =
  | { readonly type: "outbound"; readonly source: ExplainWorkload }
  | { readonly type: "gateway"; readonly gateway: ExplainWorkload; readonly caller: Caller }
  | {
      readonly type: "inbound";
      readonly receiver: ExplainWorkload;
      /** On which its application listens. */
      readonly port: number;
      readonly caller: Caller;
    };

export interface VantageFlags {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly gateway?: string | undefined;
  readonly namespace: string;
  readonly port?: number | undefined;
  readonly tls?: string | undefined;
  readonly identity?: string | undefined;
  readonly sourceIp?: string | undefined;
  readonly sni?: string | undefined;
  readonly alpn?: readonly string[] | undefined;
  /** Of a client that is no workload of the files. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly serviceAccount?: string | undefined;
}

export interface Population {
  readonly snapshot: MeshSnapshot;
  readonly pods: readonly Pod[];
  /** Nothing says which pods have a sidecar, and all were given one. */
  readonly assumesSidecars?: boolean;
}

/** Of clients that nothing else is known of, and of proxies that are no pods (RFC 5737). */
const outsideAddress = "203.0.113.1";
const standInAddress = "192.0.2.1";

export function chooseVantage(flags: VantageFlags, mesh: Population, urlPort: number | undefined): Vantage {
  const { trustDomain } = mesh.snapshot.meshConfig;
  const source =
    flags.from === undefined ? undefined : findWorkload(mesh.pods, flags.from, flags.namespace, trustDomain);
  if (flags.to !== undefined) {
    const receiver = findWorkload(mesh.pods, flags.to, flags.namespace, trustDomain);
    const caller = callerOf(flags, source, trustDomain);
    return { type: "inbound", receiver, port: receivingPort(flags.port, urlPort, receiver, mesh.snapshot), caller };
  }
  if (flags.gateway !== undefined) {
    const gateway = findGateway(flags.gateway, flags.namespace, mesh);
    return { type: "gateway", gateway, caller: { ...callerOf(flags, source, trustDomain), ...ofOutside(flags) } };
  }
  if (source?.node?.type === "router") {
    return { type: "gateway", gateway: source, caller: callerOf(flags, undefined, trustDomain) };
  }
  return { type: "outbound", source: source ?? clientOf(flags, trustDomain) };
}

/** A workload with a sidecar that need not exist. */
function clientOf(
  { namespace, labels = {}, serviceAccount = "default", sourceIp }: VantageFlags,
  trustDomain: string,
): ExplainWorkload {
  const ip = sourceIp ?? standInAddress;
  return workloadOf({ type: "sidecar", name: "client", namespace, ip, serviceAccount, labels }, trustDomain);
}

function callerOf(flags: VantageFlags, source: ExplainWorkload | undefined, trustDomain: string): Caller {
  const given = flags.identity === undefined ? undefined : parseIdentity(flags.identity, trustDomain);
  const isMeshed = given !== undefined || source?.node !== undefined;
  return {
    ip: flags.sourceIp ?? source?.ip ?? outsideAddress,
    tls: parseTls(flags.tls) ?? (isMeshed ? "mutual" : "none"),
    identity: given ?? source?.identity ?? `spiffe://${trustDomain}/ns/${flags.namespace}/sa/default`,
    sni: flags.sni,
    alpn: flags.alpn,
  };
}

/** Clients of a gateway have no sidecar, and a certificate only when one is given. */
function ofOutside(flags: VantageFlags): Partial<Caller> {
  return flags.tls === undefined && flags.identity === undefined ? { tls: "none" } : {};
}

function parseTls(text: string | undefined): TlsChoice | undefined {
  if (text === undefined || text === "none" || text === "simple" || text === "mutual") return text;
  throw new UsageError(`--tls is none, simple or mutual, not "${text}"`);
}

/** The port on which the application listens: as given, else the one behind the port of the URL, else the only one. */
function receivingPort(
  given: number | undefined,
  urlPort: number | undefined,
  { name, node }: ExplainWorkload,
  snapshot: MeshSnapshot,
): number {
  if (given !== undefined) return given;
  const instances = node === undefined ? [] : snapshot.serviceInstances(node);
  if (urlPort !== undefined) return instances.find(({ port }) => port.number === urlPort)?.targetPort ?? urlPort;
  const targets = new Set(instances.map(({ targetPort }) => targetPort));
  const [only, ...more] = targets;
  if (only !== undefined && more.length === 0) return only;
  throw new UsageError(`name a port of ${name} with --port; it serves ${[...targets].join(", ") || "no service"}`);
}

/** By labels (`istio=ingressgateway`), by the name of a Gateway, or by that of a pod. */
function findGateway(argument: string, namespace: string, { snapshot, pods }: Population): ExplainWorkload {
  const { trustDomain, rootNamespace } = snapshot.meshConfig;
  const labels = argument.includes("=") ? parseLabels(argument) : selectorOf(argument, namespace, snapshot);
  const pod =
    labels === undefined
      ? undefined
      : pods.find(({ metadata }) => Object.entries(labels).every(([key, value]) => metadata.labels?.[key] === value));
  if (labels === undefined) {
    const workload = findWorkload(pods, argument, namespace, trustDomain);
    if (workload.node?.type !== "router") throw new UsageError(`${workload.name} is no gateway`);
    return workload;
  }
  // The gateway's own pods come with the installation.
  const facts = { namespace: rootNamespace, name: "gateway", ip: standInAddress, serviceAccount: "default", labels };
  return workloadOf({ ...(pod === undefined ? facts : proxyFactsOf(pod)), type: "router" }, trustDomain);
}

/** `ns/name`, `name.ns` or `name`. */
function splitName(argument: string, namespace: string): { readonly namespace: string; readonly name: string } {
  const slash = argument.indexOf("/");
  if (slash !== -1) return { namespace: argument.slice(0, slash), name: argument.slice(slash + 1) };
  const dot = argument.indexOf(".");
  return dot === -1
    ? { namespace, name: argument }
    : { namespace: argument.slice(dot + 1), name: argument.slice(0, dot) };
}

function selectorOf(
  argument: string,
  defaultNamespace: string,
  snapshot: MeshSnapshot,
): Readonly<Record<string, string>> | undefined {
  const { namespace, name } = splitName(argument, defaultNamespace);
  const isMeant = (item: { readonly namespace: string; readonly name: string }): boolean =>
    item.namespace === namespace && item.name === name;
  const gateway = snapshot.objects("Gateway").find(isMeant);
  if (gateway !== undefined) return (gateway.spec as Pick<GatewaySpec, "selector">).selector;
  const isOfGatewayApi = snapshot.objects("Gateway.gateway.networking.k8s.io").some(isMeant);
  return isOfGatewayApi ? { "gateway.networking.k8s.io/gateway-name": name } : undefined;
}
