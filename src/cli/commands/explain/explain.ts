// The whole way of one request: out of the source's proxy, into the destination's. The same compiler and the same
// decisions as in the running mesh; nothing is sent.
import type { Origin } from "#base/issue.ts";
import { compileProxy } from "#mesh/compile/compile.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { decodeView } from "#proxy/config/decode-view.ts";
import { addStep, newTrace, type Trace } from "#proxy/config/trace.ts";
import { type Decision, decideGateway, decideInbound, decideOutbound, type Question } from "#proxy/decide/decide.ts";
import { rewrittenAuthority, rewrittenPath } from "#proxy/decide/rewrite.ts";
import type { ProxyView } from "#proxy/decide/view.ts";
import type { Pod } from "../../mesh/pods.ts";
import type { ExplainRequest } from "./question.ts";
import { type ExplainWorkload, workloadAt } from "./workload.ts";

export interface ExplainStep {
  /** Which proxy decided: the source's or the destination's. */
  readonly where: string;
  readonly what: string;
  readonly decision: string;
  readonly origin: Origin | null;
}

export interface Explanation {
  readonly outcome: Decision["outcome"];
  /** Status of an answer that a proxy gives itself; 200 stands for "reaches the application". */
  readonly status: number | null;
  readonly reason: string;
  readonly listener: string | null;
  readonly filterChain: string | null;
  readonly virtualHost: string | null;
  readonly route: string | null;
  readonly cluster: string | null;
  readonly endpoints: readonly string[];
  readonly tls: "mutual" | "simple" | "none";
  readonly authorization: readonly { readonly allowed: boolean; readonly policy: string | null }[];
  readonly steps: readonly ExplainStep[];
}

export interface ExplainInput {
  readonly snapshot: MeshSnapshot;
  readonly pods: readonly Pod[];
  readonly source: ExplainWorkload;
  readonly request: ExplainRequest;
}

export function explain(input: ExplainInput): Explanation {
  const { source } = input;
  const sourceName = `${source.pod.metadata.name}.${source.namespace}`;
  const steps: ExplainStep[] = [];
  const trace = newTrace();
  const destination = resolveDestination(input, trace);
  const outbound = source.node === undefined ? undefined : decideAtSource(input, destination, trace);
  if (outbound === undefined) addStep(trace, "proxy", `${sourceName} has no sidecar: the request leaves as it is`);
  steps.push(...stepsOf(trace, sourceName));
  if (outbound !== undefined && outbound.outcome !== "forwarded") return explanation(outbound, undefined, steps);

  const target = outbound === undefined ? directTarget(input, destination) : (outbound.endpoint ?? undefined);
  const receiver =
    target === undefined ? undefined : workloadAt(input.pods, target.host, input.snapshot.meshConfig.trustDomain);
  if (target === undefined || receiver === undefined) return explanation(outbound, undefined, steps);
  const receiverName = `${receiver.pod.metadata.name}.${receiver.namespace}`;
  const inboundTrace = newTrace();
  if (receiver.node === undefined) {
    addStep(inboundTrace, "proxy", `${receiverName} has no sidecar: the application gets the request as it is`);
    steps.push(...stepsOf(inboundTrace, receiverName));
    return explanation(outbound, undefined, steps);
  }
  const question = inboundQuestion(input, target, outbound);
  const inbound = decideInbound(viewOf(input.snapshot, receiver), question, inboundTrace);
  if (inbound.outcome === "forwarded")
    addStep(inboundTrace, "outcome", `the application on port ${target.port} gets the request from 127.0.0.6`);
  steps.push(...stepsOf(inboundTrace, receiverName));
  return explanation(outbound, inbound, steps);
}

interface Destination {
  readonly ip: string;
  readonly port: number;
}

function decideAtSource(input: ExplainInput, destination: Destination, trace: Trace): Decision {
  const { snapshot, source, request } = input;
  const view = viewOf(snapshot, source);
  const question: Question = {
    destinationIp: destination.ip,
    destinationPort: destination.port,
    sourceIp: source.ip,
    tls: null,
    http: httpOf(request, request.authority, request.path),
    random: 0,
  };
  if (source.node?.type !== "router") return decideOutbound(view, question, trace);
  return decideGateway(view, { ...question, destinationIp: source.ip, destinationPort: gatewayPort(input) }, trace);
}

function viewOf(snapshot: MeshSnapshot, workload: ExplainWorkload): ProxyView {
  if (workload.node === undefined)
    return { listeners: new Map(), routes: new Map(), clusters: new Map(), endpoints: new Map() };
  const compiled = compileProxy(snapshot, workload.node);
  return decodeView({
    listeners: compiled.listeners.values(),
    routes: compiled.routes.values(),
    clusters: compiled.clusters.values(),
    endpoints: compiled.endpoints.values(),
  }).view;
}

/** What DNS answers to the application: the service's address, by the search domains of the source's namespace. */
function resolveDestination({ snapshot, source, request }: ExplainInput, trace: Trace): Destination {
  const { host, port } = request;
  if (/^[\d.]+$/.test(host) || host.includes(":")) return { ip: host, port };
  const suffixes = [
    "",
    `.${source.namespace}.svc.${snapshot.domain}`,
    `.svc.${snapshot.domain}`,
    `.${snapshot.domain}`,
  ];
  const names = suffixes.map((suffix) => `${host}${suffix}`.toLowerCase());
  const service = names.flatMap((name) => snapshot.services.find((candidate) => candidate.hostname === name) ?? [])[0];
  if (service === undefined) {
    addStep(trace, "name", `${host} is no service of the mesh; an address outside is assumed`);
    return { ip: outsideAddress, port };
  }
  const endpoint = snapshot.endpoints(service, port)[0]?.address;
  const ip = service.addresses[0] ?? endpoint ?? outsideAddress;
  addStep(trace, "name", `${host} is ${service.hostname}, ${ip}`, [service.origin]);
  return { ip, port };
}

/** From the range that RFC 5737 keeps for examples. */
const outsideAddress = "198.51.100.1";

/** The port on which a gateway listens for the port of the URL, as its Service maps it. */
function gatewayPort({ snapshot, source, request }: ExplainInput): number {
  if (source.node === undefined) return request.port;
  const instance = snapshot.serviceInstances(source.node).find(({ port }) => port.number === request.port);
  return instance?.targetPort ?? request.port;
}

interface Target {
  readonly host: string;
  readonly port: number;
}

/** Where a pod without a sidecar ends up: an endpoint of the service behind the address. */
function directTarget({ snapshot }: ExplainInput, destination: Destination): Target {
  const service = snapshot.services.find((candidate) => candidate.addresses.includes(destination.ip));
  const endpoint = service === undefined ? undefined : snapshot.endpoints(service, destination.port)[0];
  return endpoint === undefined
    ? { host: destination.ip, port: destination.port }
    : { host: endpoint.address, port: endpoint.port };
}

function inboundQuestion(input: ExplainInput, target: Target, outbound: Decision | undefined): Question {
  const { request, source } = input;
  const action = outbound?.route?.route.action;
  const forward = action?.type === "forward" ? action.forward : undefined;
  const path = forward === undefined ? request.path : rewrittenPath(forward, request.path);
  const authority =
    forward === undefined
      ? request.authority
      : rewrittenAuthority(forward, request.authority, request.path, (name) => request.headers[name]);
  const tls = outbound?.transport?.tls ?? null;
  return {
    destinationIp: target.host,
    destinationPort: target.port,
    sourceIp: source.ip,
    tls:
      tls === null
        ? null
        : {
            serverName: tls.sni,
            alpn: outbound?.upstreamAlpn ?? [],
            peerId: tls.certificateName === null ? undefined : source.identity,
          },
    http: httpOf(request, authority, path),
    random: 0,
  };
}

function httpOf(request: ExplainRequest, authority: string, path: string): Question["http"] {
  if (request.method === "TCP") return null;
  const { method, headers, claims, nowSeconds } = request;
  return {
    method,
    authority,
    path,
    headers,
    ...(claims !== undefined && { claims }),
    ...(nowSeconds !== undefined && { nowSeconds }),
  };
}

function stepsOf(trace: Trace, where: string): ExplainStep[] {
  return trace.steps.map(({ what, decision, origins }) => ({ where, what, decision, origin: origins[0] ?? null }));
}

function explanation(
  outbound: Decision | undefined,
  inbound: Decision | undefined,
  steps: readonly ExplainStep[],
): Explanation {
  const last = inbound ?? outbound;
  const transport = outbound?.transport?.tls ?? null;
  return {
    outcome: last?.outcome ?? "forwarded",
    status: last === undefined || last.outcome === "forwarded" ? 200 : last.status,
    reason: last?.reason ?? "",
    listener: outbound?.listener?.name ?? null,
    filterChain: inbound?.chain?.name ?? outbound?.chain?.name ?? null,
    virtualHost: outbound?.route?.virtualHost.name ?? null,
    route: outbound?.route?.route.name ?? null,
    cluster: outbound?.cluster?.name ?? null,
    endpoints: (outbound?.endpoints ?? []).map((endpoint) => endpoint.key),
    tls: transport === null ? "none" : transport.certificateName === null ? "simple" : "mutual",
    authorization: (inbound?.authorization ?? []).map(({ allowed, policy }) => ({
      allowed,
      policy: policy?.name ?? null,
    })),
    steps,
  };
}
