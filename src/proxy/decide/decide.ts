// The whole walk that a connection and its first request take through one proxy: listener, filter chain, authorization,
// route, cluster, endpoint, transport. Pure; used by explain, built from the same functions as the live data path.
import type { ClusterConfig } from "../config/cluster.ts";
import { settledNetworkFilter } from "../config/extension.ts";
import {
  type ConnectionOutcome,
  type FilterChainConfig,
  type ListenerConfig,
  TrafficDirection,
} from "../config/listener.ts";
import type { RbacSubject } from "../config/rbac.ts";
import { asksForCertificate } from "../config/tls.ts";
import type { Trace } from "../config/trace.ts";
import { decideCluster, type Target } from "./decide-cluster.ts";
import { decideHttp } from "./decide-http.ts";
import {
  answer,
  type Decision,
  type Draft,
  type LayeredVerdict,
  missingSettings,
  type Question,
  refuse,
  remember,
  sharesOf,
  type ToldMetadata,
} from "./decision.ts";
import { matchFilterChain } from "./filter-chain.ts";
import { listenerKey, selectListener } from "./listener.ts";
import { subjectOf } from "./subject.ts";
import type { ProxyView } from "./view.ts";

/** Traffic that leaves an application and was redirected to the outbound listener. */
export function decideOutbound(view: ProxyView, question: Question, trace: Trace | null): Decision {
  const byAddress = new Map<string, ListenerConfig>();
  let capture: ListenerConfig | null = null;
  for (const listener of view.listeners.values()) {
    if (listener.direction === TrafficDirection.Inbound) continue;
    byAddress.set(listenerKey(listener), listener);
    if (listener.useOriginalDst) capture = listener;
  }
  const listener = selectListener(byAddress, question.destinationIp, question.destinationPort, trace) ?? capture;
  return decideAt(view, listener, question, trace);
}

/** Traffic that arrives at a workload: at a listener on its port, or redirected to the inbound listener. */
export function decideInbound(view: ProxyView, question: Question, trace: Trace | null): Decision {
  const bound = new Map<string, ListenerConfig>();
  let capture: ListenerConfig | null = null;
  for (const listener of view.listeners.values()) {
    if (listener.direction !== TrafficDirection.Inbound) continue;
    if (listener.originalDst) capture = listener;
    else bound.set(listenerKey(listener), listener);
  }
  const { destinationIp, destinationPort } = question;
  const listener = bound.size === 0 ? null : selectListener(bound, destinationIp, destinationPort, trace);
  return decideAt(view, listener ?? capture, question, trace);
}

/** Traffic to a port that the proxy itself listens on: a gateway. */
export function decideGateway(view: ProxyView, question: Question, trace: Trace | null): Decision {
  const bound = new Map<string, ListenerConfig>();
  for (const listener of view.listeners.values()) if (listener.bindToPort) bound.set(listenerKey(listener), listener);
  const listener = selectListener(bound, question.destinationIp, question.destinationPort, trace);
  if (listener !== null) return decideAt(view, listener, question, trace);
  const ports = [...new Set([...bound.values()].map(({ port }) => port))].join(", ") || "none";
  return refuse({ listener }, null, `nothing listens for port ${question.destinationPort}; ports: ${ports}`, trace);
}

function decideAt(view: ProxyView, listener: ListenerConfig | null, question: Question, trace: Trace | null): Decision {
  if (listener === null) {
    return refuse({ listener }, null, `nothing listens for port ${question.destinationPort}`, trace);
  }
  const chain = matchFilterChain(listener, factsOf(listener, question), trace);
  const draft: Draft = { listener, chain };
  if (chain === null) return refuse(draft, null, whyNoChain(question), trace);
  const tlsProblem = checkTls(chain, question);
  if (tlsProblem !== null) return refuse(draft, null, tlsProblem, trace);
  return decideFilters(view, chain, question, draft, trace);
}

function factsOf(listener: ListenerConfig, question: Question): Parameters<typeof matchFilterChain>[1] {
  const { destinationIp, destinationPort, sourceIp, tls, http } = question;
  const seesTls =
    tls !== null && listener.tlsInspector !== null && !listener.tlsInspector.disabledForPort(destinationPort);
  const seesHttp =
    tls === null &&
    http !== null &&
    listener.httpInspector !== null &&
    !listener.httpInspector.disabledForPort(destinationPort);
  return {
    destinationIp,
    destinationPort,
    sourceIp,
    // A port that no chain names: the question is not about one.
    sourcePort: 0,
    directSourceIp: sourceIp,
    transportProtocol: seesTls ? "tls" : "raw_buffer",
    serverName: seesTls ? tls.serverName.toLowerCase() : "",
    applicationProtocols: seesTls ? tls.alpn : seesHttp ? ["http/1.1"] : [],
  };
}

function whyNoChain(question: Question): string {
  return question.tls === null
    ? `plaintext to port ${question.destinationPort} is refused: every filter chain of the port wants TLS`
    : `no filter chain takes this TLS connection to port ${question.destinationPort}`;
}

function checkTls(chain: FilterChainConfig, question: Question): string | null {
  if (chain.tls === null) return null;
  if (question.tls === null) return "the filter chain wants TLS and the client speaks plaintext";
  if (!chain.tls.requireClientCertificate) return null;
  const { peerId } = question.tls;
  if (peerId === undefined) return "the filter chain wants a client certificate and the client has none";
  const matchers = chain.tls.sanMatchers;
  if (matchers.length === 0 || matchers.some(({ type, matches }) => type === "uri" && matches(peerId))) return null;
  return `the client's identity ${peerId} is not among those that may connect`;
}

function decideFilters(
  view: ProxyView,
  chain: FilterChainConfig,
  question: Question,
  draft: Draft,
  trace: Trace | null,
): Decision {
  const authorization: LayeredVerdict[] = [];
  // A server that asks for no certificate is shown none.
  const peerId = chain.tls !== null && asksForCertificate(chain.tls) ? question.tls?.peerId : undefined;
  const told: ToldMetadata = new Map();
  const subject: RbacSubject = { ...subjectOf(question, peerId, null), metadata: (filter) => told.get(filter) };
  let cluster: string | null = null;
  /** Hosts that filters look up, by DNS cache. */
  const lookups = new Map<string, string>();
  for (const filter of chain.filters) {
    const { http, isTerminal } = filter;
    const settled = settledNetworkFilter(filter, view.extensions);
    if (settled === null) return refuse({ ...draft, authorization }, null, missingSettings(filter.name), trace);
    const { decide } = settled;
    if (http !== null) return decideHttp(view, http, question, peerId, { ...draft, authorization }, trace);
    const outcome: ConnectionOutcome | undefined = decide?.({ subject, draw: question.random, cluster }, trace);
    if (outcome === undefined) continue;
    remember(told, outcome.metadata);
    if (outcome.authorization !== null) authorization.push({ ...outcome.authorization, layer: "network" });
    const destinations = outcome.clusters === undefined ? [] : sharesOf(outcome.clusters);
    const decided: Draft = { ...draft, authorization, destinations };
    if (outcome.refusal !== null) return refuse(decided, null, outcome.refusal, trace);
    if (outcome.answer !== null) return answer(decided, null, outcome.answer);
    cluster = outcome.cluster ?? cluster;
    if (outcome.dynamicHost !== undefined) lookups.set(outcome.dynamicHost.cache, outcome.dynamicHost.key);
    // Nobody there could answer a request.
    const bytes = { ...question, http: null };
    const hostIn = (asked: ClusterConfig): string | undefined => lookups.get(asked.forwardProxy?.cache.name ?? "");
    const target: Target = { name: cluster ?? "", hostIn, overridesAlpn: false };
    if (isTerminal) return decideCluster(view, target, bytes, decided, trace);
  }
  return refuse({ ...draft, authorization }, null, "the filter chain leads nowhere", trace);
}
