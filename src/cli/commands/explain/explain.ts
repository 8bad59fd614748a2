// The whole way of one request: out of the source's proxy or through a gateway, into the destination's. The same compiler
// and the same decisions as in the running mesh; nothing is sent.
import type { Origin } from "#base/issue.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { asksForCertificate } from "#proxy/config/tls.ts";
import { addStep, newTrace, type Trace } from "#proxy/config/trace.ts";
import { decideGateway, decideInbound, decideOutbound } from "#proxy/decide/decide.ts";
import type { Decision, Question } from "#proxy/decide/decision.ts";
import type { Pod } from "../../mesh/pods.ts";
import { directTarget, gatewayPort, resolveDestination, type Target } from "./destination.ts";
import { forwardedRequest } from "./forwarded-request.ts";
import { type Hop, hopOf, Views } from "./hop.ts";
import { inboundQuestion, outboundQuestion, receivedQuestion } from "./hop-questions.ts";
import type { ExplainRequest } from "./question.ts";
import type { Vantage } from "./vantage.ts";
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
  const { vantage, request, snapshot } = input;
  const before: WayBefore = { hops: [], steps: [], sent: undefined, chances: [] };
  if (vantage.type === "inbound") {
    const question = inboundQuestion(vantage.receiver.ip, vantage.port, vantage.caller, request, draw);
    return receive(views, vantage.receiver, question, before, request);
  }
  if (vantage.type === "gateway") {
    const { gateway, caller } = vantage;
    const port = gatewayPort(snapshot, gateway, request.port);
    const arriving = { question: inboundQuestion(gateway.ip, port, caller, request, draw), request };
    return passGateway(input, views, gateway, arriving, caller.ip, before);
  }
  const { source } = vantage;
  const trace = newTrace();
  const destination = resolveDestination(input, request, source, trace);
  if (source.node === undefined) {
    addStep(trace, "proxy", `${source.name} has no sidecar: the request leaves as it is`);
    const target = directTarget(snapshot, destination);
    const way = { ...before, steps: stepsOf(trace, source.name) };
    return onward(input, views, { sender: source, sent: undefined, target, request, draw }, way);
  }
  const sent = decideOutbound(
    views.of(source.node, trace),
    outboundQuestion(source, destination, request, draw),
    trace,
  );
  const way = {
    hops: [hopOf(source.name, sent, tlsOf(sent))],
    steps: stepsOf(trace, source.name),
    sent,
    chances: sent.chances,
  };
  if (sent.outcome !== "forwarded") return { ...way, ...endOf(sent, request) };
  const forwarded = forwardedRequest(request, sent, source.ip);
  const target = sent.endpoint ?? undefined;
  return onward(input, views, { sender: source, sent, target, request: forwarded, draw }, way);
}

type WayBefore = Pick<Walk, "hops" | "steps" | "sent" | "chances">;

/** What leaves a proxy, or an application without one. */
interface Leaving {
  readonly sender: ExplainWorkload;
  readonly sent: Decision | undefined;
  readonly target: Target | undefined;
  readonly request: ExplainRequest;
  readonly draw: number;
}

/** More proxies than this are a loop of gateways. */
const maxHops = 10;

/** To where the request goes: into a workload, perhaps through gateways. */
function onward(input: ExplainInput, views: Views, leaving: Leaving, way: WayBefore): Walk {
  const { sender, sent, target, request, draw } = leaving;
  const { pods, snapshot } = input;
  const receiver = target === undefined ? undefined : workloadAt(pods, target.host, snapshot.meshConfig.trustDomain);
  if (target === undefined || receiver === undefined) return { ...way, ...arrived(request) };
  const question = receivedQuestion(sender, target, sent, request, draw);
  const isGateway = receiver.node?.type === "router" && way.hops.length < maxHops;
  const whole = isGateway
    ? passGateway(input, views, receiver, { question, request }, sender.ip, way)
    : receive(views, receiver, question, way, input.request);
  return withAnswerOfSender(whole, sender, sent);
}

/** Through a gateway, which is in the middle of the way, or its beginning. */
function passGateway(
  input: ExplainInput,
  views: Views,
  gateway: ExplainWorkload,
  { question, request }: { readonly question: Question; readonly request: ExplainRequest },
  callerIp: string,
  before: WayBefore,
): Walk {
  const trace = newTrace();
  const sent = decideGateway(viewOf(views, gateway, trace), question, trace);
  const way = {
    hops: [...before.hops, hopOf(gateway.name, sent, tlsOf(sent))],
    steps: [...before.steps, ...stepsOf(trace, gateway.name)],
    // Shares are those of the first proxy.
    sent: before.sent ?? sent,
    chances: before.sent === undefined ? sent.chances : before.chances,
  };
  if (sent.outcome !== "forwarded") return { ...way, ...endOf(sent, request) };
  const forwarded = forwardedRequest(request, sent, callerIp);
  const target = sent.endpoint ?? undefined;
  return onward(input, views, { sender: gateway, sent, target, request: forwarded, draw: question.random }, way);
}

/** A proxy that cannot connect to where a request goes answers it itself. */
function withAnswerOfSender(way: Walk, { name }: ExplainWorkload, sent: Decision | undefined): Walk {
  const isAnswered = way.outcome === "refused" && way.status === null && sent?.route != null;
  if (!isAnswered) return way;
  const decision = "503: the connection to the endpoint ends before there is a response";
  const step = { where: name, what: "outcome", decision, origin: null };
  return { ...way, status: 503, steps: [...way.steps, step] };
}

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

function viewOf(views: Views, { name, node }: ExplainWorkload, trace: Trace): ReturnType<Views["of"]> {
  if (node === undefined) throw new TypeError(`${name} has no proxy`);
  return views.of(node, trace);
}

function tlsOf({ transport }: Decision): Hop["tls"] {
  const tls = transport?.tls ?? null;
  return tls === null ? "none" : tls.certificateName === null ? "simple" : "mutual";
}

function stepsOf(trace: Trace, where: string): ExplainStep[] {
  return trace.steps.map(({ what, decision, origins }) => ({ where, what, decision, origin: origins[0] ?? null }));
}
