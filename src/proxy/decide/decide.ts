// The whole walk that a connection and its first request take through one proxy: listener, filter chain, authorization,
// route, cluster, endpoint, transport. Pure; used by explain, built from the same functions as the live data path.
import { type ClusterConfig, type EndpointConfig, type TransportSocketMatch } from "../config/cluster.ts";
import { settledHttpFilter, settledNetworkFilter } from "../config/extension.ts";
import type { Chance, FilterMetadata, HttpConnectionManagerConfig, RouteConfig } from "../config/http.ts";
import {
  type ConnectionOutcome,
  type FilterChainConfig,
  type ListenerConfig,
  TrafficDirection,
} from "../config/listener.ts";
import type { RbacSubject, RbacVerdict } from "../config/rbac.ts";
import { asksForCertificate } from "../config/tls.ts";
import { addStep, newTrace, type Trace } from "../config/trace.ts";
import { anyHost, type ChoiceContext } from "../upstream/balance/choice.ts";
import { clientAtEdge, clientInside } from "./client-address.ts";
import { forwardedHost } from "./dynamic-host.ts";
import { chooseEndpoint } from "./endpoint.ts";
import { matchFilterChain } from "./filter-chain.ts";
import { listenerKey, selectListener } from "./listener.ts";
import { requestHash } from "./request-hash.ts";
import { canonicalPath, isRedirectedPath, portOfAuthority, stripHost } from "./request-path.ts";
import { rewrittenAuthority } from "./rewrite.ts";
import { filterConfigsOf, matchablePath, type RouteDecision, type RouteRequest, selectRoute } from "./route.ts";
import { locationFor } from "./route-trace.ts";
import { chooseTransport } from "./transport.ts";
import { offeredAlpn, protocolFor } from "./upstream-protocol.ts";
import type { ProxyView } from "./view.ts";

interface HttpQuestion {
  readonly method: string;
  readonly authority: string;
  /** With query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Claims of a token that is taken for good; absent: the headers may carry one. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** For tokens, in seconds since 1970; absent: 0, at which no token has expired. */
  readonly nowSeconds?: number;
}

export interface Question {
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly sourceIp: string;
  /** What the client begins with: TLS (with what it offers and who it is), or null for plaintext. */
  readonly tls: {
    readonly serverName: string;
    readonly alpn: readonly string[];
    readonly peerId: string | undefined;
  } | null;
  /** Null for a TCP connection without HTTP in it. */
  readonly http: HttpQuestion | null;
  /** A draw from [0, 1) for weights and endpoints. */
  readonly random: number;
}

export interface Decision {
  /** `refused`: closed, or answered with 403 or 404 or 503. `answered`: a redirect or direct response. */
  readonly outcome: "forwarded" | "answered" | "refused";
  /** In words, for a refusal or an answer; empty when forwarded. */
  readonly reason: string;
  /** Status of a local answer; null for TCP and for forwarded requests. */
  readonly status: number | null;
  readonly listener: ListenerConfig | null;
  readonly chain: FilterChainConfig | null;
  /** Of every filter that authorizes, in their order. */
  readonly authorization: readonly LayeredVerdict[];
  /** What happens to a share of such requests before they are routed. */
  readonly chances: readonly Chance[];
  readonly route: RouteDecision | null;
  /** Where such traffic goes, by share; empty when it goes nowhere. */
  readonly destinations: readonly Destination[];
  readonly cluster: ClusterConfig | null;
  /** Those that traffic may go to now. */
  readonly endpoints: readonly EndpointConfig[];
  readonly endpoint: EndpointConfig | null;
  readonly transport: TransportSocketMatch | null;
  /** What this proxy offers in ALPN when the transport is TLS. */
  readonly upstreamAlpn: readonly string[];
}

export interface LayeredVerdict extends RbacVerdict {
  /** Of the connection, or of the request. */
  readonly layer: "network" | "http";
}

interface Destination {
  readonly cluster: string;
  /** From 0 to 1. */
  readonly share: number;
}

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

interface Draft extends Partial<Decision> {
  readonly listener: ListenerConfig | null;
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

function decideHttp(
  view: ProxyView,
  manager: HttpConnectionManagerConfig,
  question: Question,
  peerId: string | undefined,
  draft: Draft,
  trace: Trace | null,
): Decision {
  if (question.http === null) return refuse(draft, 400, "the filter chain speaks HTTP and the client does not", trace);
  if (question.tls !== null && draft.chain?.tls === null) {
    return refuse(draft, null, "the filter chain reads HTTP in plaintext and the client begins with TLS", trace);
  }
  const head = prepareHead(manager, question.http, question, trace);
  if ("status" in head) {
    return head.status < 400 ? answer(draft, head.status, head.reason) : refuse(draft, head.status, head.reason, trace);
  }
  const { http, remoteIp } = head;
  const routes = routesOf(view, manager);
  // The route comes first: it may have settings of its own for the filters.
  const routeTrace = trace === null ? null : newTrace();
  const isEdge = question.tls !== null && draft.listener?.direction !== TrafficDirection.Inbound;
  const request = requestOf(http, peerId, isEdge ? "https" : "http");
  let route = routes === null ? null : selectRoute(routes, request, question.random, routeTrace);
  const told: ToldMetadata = new Map();
  const subject = subjectOf(question, peerId, { http, remoteIp, route, routes });
  const lookups: HostLookups = { caches: new Set(), authority: http.authority };
  const decided = decideHttpFilters(view, manager, route, { subject, told, lookups }, draft, trace);
  if (decided.outcome !== undefined) return complete(decided);
  if (routes !== null && told.size > 0) {
    // What filters found out, as the claims of a token, may lead to another route.
    routeTrace?.steps.splice(0);
    const metadata = (filter: string): unknown => told.get(filter);
    route = selectRoute(routes, { ...request, metadata }, question.random, routeTrace);
  }
  if (routeTrace !== null) trace?.steps.push(...routeTrace.steps);
  if (routes === null) {
    return refuse(decided, 404, `the route configuration ${manager.routeConfigName ?? "?"} does not exist`, trace);
  }
  if (route === null) return refuse(decided, 404, `no route for ${http.authority}${http.path}`, trace);
  const action = route.route.action;
  if (action.type === "redirect") {
    const location = locationFor(request, route.route, action.redirect);
    return answer({ ...decided, route }, action.redirect.status, `redirects to ${location}`);
  }
  if (action.type === "direct_response") return answer({ ...decided, route }, action.status, "answers itself");
  const overridesAlpn = manager.httpFilters.some((filter) => filter.type === "istio_alpn");
  const destinations = sharesOf(action.forward.clusters);
  const asked = { ...question, http, sourceIp: remoteIp };
  const upstreamAuthority = rewrittenAuthority(action.forward, lookups.authority, http.path, request.header);
  const hostIn = (cluster: ClusterConfig): string | undefined =>
    lookups.caches.has(cluster.forwardProxy?.cache.name ?? "")
      ? forwardedHost(cluster, upstreamAuthority)?.key
      : undefined;
  const target: Target = { name: route.cluster?.name ?? "", hostIn, overridesAlpn };
  return decideCluster(view, target, asked, { ...decided, route, destinations }, trace);
}

/** What filters that look up hosts do. */
interface HostLookups {
  readonly caches: Set<string>;
  authority: string;
}

interface PreparedHead {
  readonly http: HttpQuestion;
  readonly remoteIp: string;
}

/** What the connection manager makes of a request before anything looks at it. */
function prepareHead(
  manager: HttpConnectionManagerConfig,
  http: HttpQuestion,
  { sourceIp, destinationPort }: Question,
  trace: Trace | null,
): PreparedHead | { readonly status: number; readonly reason: string } {
  const path = canonicalPath(http.path, manager.paths);
  if (typeof path === "number") return { status: 400, reason: `the path ${http.path} has no canonical form` };
  if (isRedirectedPath(http.path, manager.paths)) return { status: 307, reason: `the client is to ask for ${path}` };
  if (trace !== null && path !== http.path) addStep(trace, "path", `${http.path} is read as ${path}`);
  const stripsPort =
    manager.stripPort === "any" ||
    (manager.stripPort === "matching" && portOfAuthority(http.authority) === destinationPort);
  const authority = stripHost(http.authority, stripsPort, manager.stripTrailingHostDot);
  const forwardedFor = http.headers["x-forwarded-for"];
  const { client } = manager;
  const headers = { get: (name: string) => http.headers[name] };
  const found = client.useRemoteAddress
    ? clientAtEdge(forwardedFor, sourceIp, client.xffTrustedHops)
    : clientInside(headers, sourceIp, client);
  if (typeof found === "number") return { status: found, reason: "the headers do not tell the client's address" };
  const remoteIp = typeof found === "string" ? found : found.ip;
  if (trace !== null && forwardedFor !== undefined) {
    const hops = client.useRemoteAddress
      ? `, of which ${client.xffTrustedHops} proxies before this one are trusted`
      : "";
    addStep(trace, "client address", `${remoteIp}: x-forwarded-for is ${forwardedFor}${hops}`);
  }
  return { http: { ...http, path, authority }, remoteIp };
}

/** Dynamic metadata, by filter. */
type ToldMetadata = Map<string, Record<string, unknown>>;

/** Asks the filters in order; the draft has an outcome when one of them answers. */
function decideHttpFilters(
  view: ProxyView,
  manager: HttpConnectionManagerConfig,
  route: RouteDecision | null,
  asked: { readonly subject: RbacSubject; readonly told: ToldMetadata; readonly lookups: HostLookups },
  draft: Draft,
  trace: Trace | null,
): Draft {
  const authorization = [...(draft.authorization ?? [])];
  const chances: Chance[] = [];
  const { told } = asked;
  const subject: RbacSubject = { ...asked.subject, metadata: (filter) => told.get(filter) };
  const overrides = filterConfigsOf(route);
  for (const filter of manager.httpFilters) {
    const own = overrides?.get(filter.name) ?? [];
    if (own[0]?.disabled === true || (filter.disabled && own.length === 0)) continue;
    const settled = settledHttpFilter(filter, view.extensions);
    if (settled === null) {
      return refuse({ ...draft, authorization, chances }, 500, missingSettings(filter.name), trace);
    }
    if (settled.decide === null) continue;
    const settings = own.filter(({ type }) => type === settled.type).map((it) => it.settings);
    const outcome = settled.decide(subject, settings, trace);
    if (outcome === null) continue;
    remember(told, outcome.metadata);
    if (outcome.authorization !== null) authorization.push({ ...outcome.authorization, layer: "http" });
    if (outcome.chance !== undefined) chances.push(outcome.chance);
    if (outcome.dnsCache !== undefined) asked.lookups.caches.add(outcome.dnsCache);
    asked.lookups.authority = outcome.authority ?? asked.lookups.authority;
    if (outcome.refusal === null) continue;
    const { status, reason } = outcome.refusal;
    return refuse({ ...draft, authorization, chances }, status, reason, trace);
  }
  return { ...draft, authorization, chances };
}

function missingSettings(name: string): string {
  return `the settings of the filter ${name} have not come over ECDS`;
}

/** Explained requests are HTTP/1 without an Upgrade. */
const plainRequest = { isHttp2Request: false, isTunnelRequest: false };

function routesOf(view: ProxyView, manager: HttpConnectionManagerConfig): RouteConfig | null {
  if (manager.routeConfig !== null) return manager.routeConfig;
  return view.routes.get(manager.routeConfigName ?? "") ?? null;
}

interface Target {
  readonly name: string;
  /** Of a dynamic forward proxy; undefined: nobody looked one up. */
  readonly hostIn: (cluster: ClusterConfig) => string | undefined;
  readonly overridesAlpn: boolean;
}

function decideCluster(
  view: ProxyView,
  { name, hostIn, overridesAlpn }: Target,
  question: Question,
  draft: Draft,
  trace: Trace | null,
): Decision {
  const status = question.http === null ? null : 503;
  const cluster = view.clusters.get(name) ?? null;
  if (cluster === null) return refuse(draft, status, `the cluster ${name || "(none)"} does not exist`, trace);
  const context = { ...contextOf(draft, question, trace), dynamicHost: hostIn(cluster) ?? null };
  const { endpoints, endpoint } = chooseEndpoint(view, cluster, context, question.random);
  if (endpoint === null) {
    const why = cluster.forwardProxy === null ? "has no healthy endpoint" : "is told no host";
    return refuse({ ...draft, cluster }, status, `the cluster ${name} ${why}`, trace);
  }
  if (trace !== null) {
    const others = endpoints.length === 1 ? "the only one" : `one of ${endpoints.length}`;
    addStep(trace, "endpoint", `${endpoint.key} (${others} of ${name})`, cluster.provenance.origins);
  }
  const transport = chooseTransport(cluster, endpoint, trace);
  const tls = transport?.tls ?? null;
  const upstreamAlpn = tls === null ? [] : offeredAlpn(protocolFor(cluster, plainRequest, overridesAlpn), tls);
  return complete({ ...draft, outcome: "forwarded", cluster, endpoints, endpoint, transport, upstreamAlpn });
}

/** What a balancer may look at. */
function contextOf({ route }: Draft, question: Question, trace: Trace | null): ChoiceContext {
  const { destinationIp: ip, destinationPort: port, http, sourceIp } = question;
  const action = route?.route.action;
  const hash =
    action?.type !== "forward" || http === null
      ? null
      : requestHash(action.forward.hashPolicies, { path: http.path, header: requestOf(http).header, sourceIp }, trace);
  return {
    ...anyHost,
    destination: { ip, port },
    hash,
    metadataMatch: route?.cluster?.metadataMatch ?? null,
    headers: http === null ? null : { get: requestOf(http).header },
  };
}

/** Routes see the scheme of the connection that the proxy has with the client. */
function requestOf(http: HttpQuestion, peerId?: string, scheme: "http" | "https" = "http"): RouteRequest {
  return {
    metadata: () => undefined,
    share: ({ fraction }) => fraction,
    clientCertificate: peerId === undefined ? "none" : "validated",
    authority: http.authority,
    path: http.path,
    header: (name) => {
      if (name === ":path") return http.path;
      if (name === ":method") return http.method;
      if (name === ":authority") return http.authority;
      if (name === ":scheme") return scheme;
      return Object.hasOwn(http.headers, name) ? http.headers[name] : undefined;
    },
  };
}

function remember(told: ToldMetadata, metadata: readonly FilterMetadata[] = []): void {
  for (const { namespace, values } of metadata) told.set(namespace, { ...told.get(namespace), ...values });
}

interface AskedHttp {
  readonly http: HttpQuestion;
  readonly remoteIp: string;
  readonly route: RouteDecision | null;
  readonly routes: RouteConfig | null;
}

function subjectOf(question: Question, peerId: string | undefined, asked: AskedHttp | null): RbacSubject {
  const header = asked === null ? undefined : requestOf(asked.http).header;
  return {
    peer: peerId === undefined ? null : { uriSans: [peerId], dnsSans: [], subject: "" },
    directRemoteIp: question.sourceIp,
    sourceIp: question.sourceIp,
    remoteIp: asked?.remoteIp ?? question.sourceIp,
    sourcePort: 0,
    destinationIp: question.destinationIp,
    destinationPort: question.destinationPort,
    requestedServerName: question.tls?.serverName ?? "",
    path: asked === null ? undefined : matchablePath(asked.routes, asked.http.path),
    header,
    headerValues: header,
    metadata: undefined,
    routeMetadata: asked === null ? undefined : (filter) => asked.route?.route.metadata[filter],
    ...(asked?.http.claims !== undefined && { claims: asked.http.claims }),
    ...(asked?.http.nowSeconds !== undefined && { nowSeconds: asked.http.nowSeconds }),
  };
}

function sharesOf(clusters: readonly { readonly name: string; readonly weight: number }[]): Destination[] {
  const total = clusters.reduce((sum, { weight }) => sum + weight, 0);
  return clusters
    .filter(({ weight }) => weight > 0 || clusters.length === 1)
    .map(({ name, weight }) => ({ cluster: name, share: clusters.length === 1 ? 1 : weight / total }));
}

function refuse(draft: Draft, status: number | null, reason: string, trace: Trace | null): Decision {
  addStep(trace, "outcome", status === null ? `closed: ${reason}` : `${status}: ${reason}`);
  return complete({ ...draft, outcome: "refused", status, reason });
}

function answer(draft: Draft, status: number | null, reason: string): Decision {
  return complete({ ...draft, outcome: "answered", status, reason });
}

function complete(draft: Draft): Decision {
  return {
    outcome: "refused",
    reason: "",
    status: null,
    chain: null,
    authorization: [],
    chances: [],
    route: null,
    destinations: [],
    cluster: null,
    endpoints: [],
    endpoint: null,
    transport: null,
    upstreamAlpn: [],
    ...draft,
  };
}
