// The walk of a request through a connection manager: its head, the filters, the route.
import { noteText } from "#wire/xds/provenance.ts";
import type { ClusterConfig } from "../config/cluster.ts";
import { settledHttpFilter } from "../config/extension.ts";
import type { Chance, HttpConnectionManagerConfig, RouteConfig } from "../config/http.ts";
import { TrafficDirection } from "../config/listener.ts";
import type { RbacSubject } from "../config/rbac.ts";
import { addStep, newTrace, type Trace } from "../config/trace.ts";
import { clientAtEdge, clientInside } from "./client-address.ts";
import { decideCluster, type Target } from "./decide-cluster.ts";
import {
  answer,
  complete,
  type Decision,
  type Draft,
  type HttpQuestion,
  missingSettings,
  type Question,
  refuse,
  remember,
  sharesOf,
  type ToldMetadata,
} from "./decision.ts";
import { forwardedHost } from "./dynamic-host.ts";
import { canonicalPath, isRedirectedPath, portOfAuthority, stripHost } from "./request-path.ts";
import { rewrittenAuthority } from "./rewrite.ts";
import { filterConfigsOf, type RouteDecision, selectRoute } from "./route.ts";
import { locationFor } from "./route-trace.ts";
import { requestOf, subjectOf } from "./subject.ts";
import type { ProxyView } from "./view.ts";

export function decideHttp(
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
  if (action.type === "direct_response") {
    const reason = `answers itself${noteText(route.virtualHost.provenance)}`;
    return answer({ ...decided, route }, action.status, reason);
  }
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

function routesOf(view: ProxyView, manager: HttpConnectionManagerConfig): RouteConfig | null {
  if (manager.routeConfig !== null) return manager.routeConfig;
  return view.routes.get(manager.routeConfigName ?? "") ?? null;
}
