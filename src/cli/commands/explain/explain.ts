// The whole way of one request: out of the source's proxy or through a gateway, into the destination's. The same compiler
// and the same decisions as in the running mesh; nothing is sent.
import type { Origin } from "#base/issue.ts";
import type { Service } from "#mesh/snapshot/service.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { asksForCertificate } from "#proxy/config/tls.ts";
import { addStep, newTrace, type Trace } from "#proxy/config/trace.ts";
import { type Decision, decideGateway, decideInbound, decideOutbound, type Question } from "#proxy/decide/decide.ts";
import type { Pod } from "../../mesh/pods.ts";
import { forwardedRequest } from "./forwarded-request.ts";
import { type Hop, hopOf, Views } from "./hop.ts";
import type { ExplainRequest } from "./question.ts";
import type { Caller, Vantage } from "./vantage.ts";
import { type ExplainWorkload, workloadAt } from "./workload.ts";

export interface ExplainStep {
  /** The proxy that decided. */
  readonly where: string;
  readonly what: string;
  readonly decision: string;
  readonly origin: Origin | null;
}

/** How the way ends for a share of such requests. */
export interface Outcome {
  /** From 0 to 1; all shares make 1. */
  readonly share: number;
  readonly outcome: Decision["outcome"];
  readonly status: number | null;
  readonly reason: string;
  readonly cluster: string | null;
}

/** Its own fields are those of the first proxy on the way; authorization is that of all. */
export interface Explanation extends Omit<Hop, "proxy"> {
  readonly outcome: Decision["outcome"];
  /** Status of an answer that a proxy gives itself; 200 stands for "reaches the application", null for bytes. */
  readonly status: number | null;
  readonly reason: string;
  readonly outcomes: readonly Outcome[];
  /** How it would end if the policies on its way that are only tried were in force; absent without such. */
  readonly dryRun?: Pick<Outcome, "outcome" | "status" | "reason">;
  readonly hops: readonly Hop[];
  readonly steps: readonly ExplainStep[];
}

export interface ExplainInput {
  readonly snapshot: MeshSnapshot;
  readonly pods: readonly Pod[];
  readonly vantage: Vantage;
  readonly request: ExplainRequest;
  readonly assumesSidecars?: boolean;
}

export function explain(input: ExplainInput): Explanation {
  const views = new Views(input.snapshot);
  const first = walk(input, views, 0);
  const [hop] = first.hops;
  return {
    outcome: first.outcome,
    status: first.status,
    reason: first.reason,
    ...(hop === undefined ? noHop : shownOf(hop)),
    authorization: first.hops.flatMap(({ authorization }) => authorization),
    outcomes: outcomesOf(input, views, first),
    hops: first.hops,
    steps: [...(input.assumesSidecars === true ? [assumedSidecars] : []), ...first.steps],
  };
}

const assumedSidecars: ExplainStep = {
  where: "files",
  what: "proxy",
  decision: "nothing says which pods have a sidecar: all are taken to have one",
  origin: null,
};

/** The way of one request. */
interface Walk {
  readonly outcome: Decision["outcome"];
  readonly status: number | null;
  readonly reason: string;
  readonly hops: readonly Hop[];
  readonly steps: readonly ExplainStep[];
  /** Of the proxy that sends. */
  readonly sent: Decision | undefined;
  readonly chances: Decision["chances"];
}

/** `draw` from [0, 1) decides where there is a choice. */
function walk(input: ExplainInput, views: Views, draw: number): Walk {
  const { vantage, request, snapshot, pods } = input;
  if (vantage.type === "inbound") {
    const question = inboundQuestion(vantage.receiver.ip, vantage.port, vantage.caller, request, draw);
    return receive(views, vantage.receiver, question, { hops: [], steps: [], sent: undefined, chances: [] }, request);
  }
  const sender = vantage.type === "gateway" ? vantage.gateway : vantage.source;
  const trace = newTrace();
  const way = { hops: [] as Hop[], steps: [] as ExplainStep[], chances: [] as Decision["chances"] };
  let sent: Decision | undefined;
  let target: Target | undefined;
  if (vantage.type === "gateway") {
    const question = inboundQuestion(
      sender.ip,
      gatewayPort(snapshot, sender, request.port),
      vantage.caller,
      request,
      draw,
    );
    sent = decideGateway(viewOf(views, sender, trace), question, trace);
  } else {
    const destination = resolveDestination(input, vantage.source, trace);
    if (sender.node === undefined) {
      addStep(trace, "proxy", `${sender.name} has no sidecar: the request leaves as it is`);
      target = directTarget(snapshot, destination);
    } else {
      sent = decideOutbound(views.of(sender.node, trace), outboundQuestion(sender, destination, request, draw), trace);
    }
  }
  way.steps.push(...stepsOf(trace, sender.name));
  if (sent !== undefined) {
    way.hops.push(hopOf(sender.name, sent, tlsOf(sent)));
    way.chances = sent.chances;
    if (sent.outcome !== "forwarded") return { ...way, sent, ...endOf(sent, request) };
    target = sent.endpoint ?? undefined;
  }
  const receiver = target === undefined ? undefined : workloadAt(pods, target.host, snapshot.meshConfig.trustDomain);
  if (target === undefined || receiver === undefined) return { ...way, sent, ...arrived(request) };
  const forwarded = sent === undefined ? request : forwardedRequest(request, sent, callerIpOf(vantage));
  const question = receivedQuestion(sender, target, sent, forwarded, draw);
  return withAnswerOfSender(receive(views, receiver, question, { ...way, sent }, request), sender);
}

/** A proxy that cannot connect to where a request goes answers it itself. */
function withAnswerOfSender(way: Walk, { name }: ExplainWorkload): Walk {
  const isAnswered = way.outcome === "refused" && way.status === null && way.sent?.route != null;
  if (!isAnswered) return way;
  const decision = "503: the connection to the endpoint ends before there is a response";
  const step = { where: name, what: "outcome", decision, origin: null };
  return { ...way, status: 503, steps: [...way.steps, step] };
}

type WayBefore = Pick<Walk, "hops" | "steps" | "sent" | "chances">;

/** The last part of the way: into the workload. */
function receive(
  views: Views,
  receiver: ExplainWorkload,
  question: Question,
  before: WayBefore,
  request: ExplainRequest,
): Walk {
  const trace = newTrace();
  if (receiver.node === undefined) {
    const itself = question.tls === null ? "" : ", and has to speak TLS itself";
    addStep(trace, "proxy", `${receiver.name} has no sidecar: the application gets what is sent as it is${itself}`);
    return { ...before, steps: [...before.steps, ...stepsOf(trace, receiver.name)], ...arrived(request) };
  }
  const decision = decideInbound(views.of(receiver.node, trace), question, trace);
  if (decision.outcome === "forwarded") {
    addStep(trace, "outcome", `the application on port ${question.destinationPort} gets it from 127.0.0.6`);
  }
  const asked = decision.chain?.tls ?? null;
  const isMutual = asked !== null && asksForCertificate(asked) && question.tls?.peerId !== undefined;
  const tls = asked === null || question.tls === null ? "none" : isMutual ? "mutual" : "simple";
  return {
    ...before,
    hops: [...before.hops, hopOf(receiver.name, decision, tls)],
    steps: [...before.steps, ...stepsOf(trace, receiver.name)],
    ...endOf(decision, request),
  };
}

type End = Pick<Walk, "outcome" | "status" | "reason">;

function endOf(decision: Decision, request: ExplainRequest): End {
  if (decision.outcome === "forwarded") return arrived(request);
  return { outcome: decision.outcome, status: decision.status, reason: decision.reason };
}

function arrived({ application }: ExplainRequest): End {
  return { outcome: "forwarded", status: application === "http" ? 200 : null, reason: "" };
}

/** More destinations than this are not walked to one by one. */
const maxWalks = 100;

/** Every destination with its share, and what faults answer instead. */
function outcomesOf(input: ExplainInput, views: Views, first: Walk): Outcome[] {
  const destinations = first.sent?.destinations ?? [];
  if (destinations.length < 2 || destinations.length > maxWalks) return outcomesOfWalk(first, 1);
  let passed = 0;
  return destinations.flatMap(({ share }) => {
    const draw = passed + share / 2;
    passed += share;
    return outcomesOfWalk(walk(input, views, draw), share);
  });
}

function outcomesOfWalk({ outcome, status, reason, hops, chances }: Walk, share: number): Outcome[] {
  const cluster = hops[0]?.cluster ?? null;
  let left = share;
  const answered = chances.map((chance): Outcome => {
    const part = left * chance.share;
    left -= part;
    return { share: rounded(part), outcome: "refused", status: chance.status, reason: chance.reason, cluster: null };
  });
  return [{ share: rounded(left), outcome, status, reason, cluster }, ...answered];
}

function rounded(share: number): number {
  return Math.round(share * 1e9) / 1e9;
}

const noHop: Omit<Hop, "proxy" | "authorization"> = {
  listener: null,
  filterChain: null,
  virtualHost: null,
  route: null,
  cluster: null,
  endpoints: [],
  tls: "none",
};

function shownOf(hop: Hop): Omit<Hop, "proxy" | "authorization"> {
  const { listener, filterChain, virtualHost, route, cluster, endpoints, tls } = hop;
  return { listener, filterChain, virtualHost, route, cluster, endpoints, tls };
}

interface Target {
  readonly host: string;
  readonly port: number;
}

/** What DNS answers to the application: the service's address, by the search domains of the source's namespace. */
function resolveDestination({ snapshot, request }: ExplainInput, source: ExplainWorkload, trace: Trace): Target {
  const { host, port } = request;
  if (/^[\d.]+$/.test(host) || host.includes(":")) return { host, port };
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
    return { host: outsideAddress, port };
  }
  const endpoint = snapshot.endpoints(service, port)[0]?.address;
  const answered = [...service.addresses.filter(isAddress), ...allocatedFor(source, service)];
  const ip = answered[0] ?? (service.meshExternal ? undefined : endpoint) ?? outsideAddress;
  addStep(trace, "name", `${host} is ${service.hostname}, ${ip}`, [service.origin]);
  return { host: ip, port };
}

/** What the sidecar answers where it answers questions to DNS itself. */
function allocatedFor({ node }: ExplainWorkload, service: Service): readonly string[] {
  return node?.dnsCapture === true && service.addresses.length === 0 ? service.autoAllocatedAddresses : [];
}

/** And no block of addresses. */
function isAddress(text: string): boolean {
  return !text.includes("/");
}

/** From the range that RFC 5737 keeps for examples. */
const outsideAddress = "198.51.100.1";

/** The port on which a gateway listens for the port of the URL, as its Service maps it. */
function gatewayPort(snapshot: MeshSnapshot, { node }: ExplainWorkload, port: number): number {
  if (node === undefined) return port;
  const instance = snapshot.serviceInstances(node).find((candidate) => candidate.port.number === port);
  return instance?.targetPort ?? port;
}

/** Where a pod without a sidecar ends up: an endpoint of the service behind the address. */
function directTarget(snapshot: MeshSnapshot, destination: Target): Target {
  const service = snapshot.services.find((candidate) => candidate.addresses.includes(destination.host));
  const endpoint = service === undefined ? undefined : snapshot.endpoints(service, destination.port)[0];
  return endpoint === undefined ? destination : { host: endpoint.address, port: endpoint.port };
}

function outboundQuestion(
  source: ExplainWorkload,
  destination: Target,
  request: ExplainRequest,
  random: number,
): Question {
  return {
    destinationIp: destination.host,
    destinationPort: destination.port,
    sourceIp: source.ip,
    tls: ownTls(request),
    http: httpOf(request),
    random,
  };
}

/** A connection that a caller opens to the proxy itself. */
function inboundQuestion(ip: string, port: number, caller: Caller, request: ExplainRequest, random: number): Question {
  return {
    destinationIp: ip,
    destinationPort: port,
    sourceIp: caller.ip,
    tls: tlsOfCaller(caller, request),
    http: httpOf(request),
    random,
  };
}

function tlsOfCaller(caller: Caller, request: ExplainRequest): Question["tls"] {
  if (caller.tls === "none") return ownTls(request);
  const isMutual = caller.tls === "mutual";
  const usual = !isMutual ? ["h2", "http/1.1"] : request.application === "http" ? meshHttpAlpn : meshTcpAlpn;
  return {
    serverName: caller.sni ?? request.tls?.serverName ?? "",
    alpn: caller.alpn ?? (request.tls === null || isMutual ? usual : request.tls.alpn),
    peerId: isMutual ? caller.identity : undefined,
  };
}

/** What sidecars offer. */
const meshHttpAlpn = ["istio-http/1.1", "istio", "http/1.1"];
const meshTcpAlpn = ["istio-peer-exchange", "istio"];

function ownTls({ tls }: ExplainRequest): Question["tls"] {
  return tls === null ? null : { ...tls, peerId: undefined };
}

/** What the receiving proxy gets from the sending one, or from the application where there is none. */
function receivedQuestion(
  sender: ExplainWorkload,
  target: Target,
  sent: Decision | undefined,
  request: ExplainRequest,
  random: number,
): Question {
  const tls = sent?.transport?.tls ?? null;
  const isEnded = sent?.chain?.tls != null;
  return {
    destinationIp: target.host,
    destinationPort: target.port,
    sourceIp: sender.ip,
    tls:
      tls === null
        ? isEnded
          ? null
          : ownTls(request)
        : {
            serverName: tls.sni,
            alpn: sent?.upstreamAlpn ?? [],
            peerId: tls.certificateName === null ? undefined : sender.identity,
          },
    // Under TLS that nobody has opened there is nothing to read.
    http: isEnded || request.tls === null ? httpOf(request) : null,
    random,
  };
}

function httpOf(request: ExplainRequest): Question["http"] {
  if (request.application !== "http") return null;
  const { method, authority, path, headers, claims, nowSeconds } = request;
  return {
    method,
    authority,
    path,
    headers,
    ...(claims !== undefined && { claims }),
    ...(nowSeconds !== undefined && { nowSeconds }),
  };
}

function viewOf(views: Views, { name, node }: ExplainWorkload, trace: Trace): ReturnType<Views["of"]> {
  if (node === undefined) throw new TypeError(`${name} has no proxy`);
  return views.of(node, trace);
}

function callerIpOf(vantage: Vantage): string {
  return vantage.type === "outbound" ? vantage.source.ip : vantage.caller.ip;
}

function tlsOf({ transport }: Decision): Hop["tls"] {
  const tls = transport?.tls ?? null;
  return tls === null ? "none" : tls.certificateName === null ? "simple" : "mutual";
}

function stepsOf(trace: Trace, where: string): ExplainStep[] {
  return trace.steps.map(({ what, decision, origins }) => ({ where, what, decision, origin: origins[0] ?? null }));
}
