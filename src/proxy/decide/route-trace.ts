// What a trace says of routing: virtual host, route, and what becomes of the request on it.
import type {
  ForwardAction,
  HeaderMutation,
  MirrorPolicy,
  RedirectAction,
  RouteConfig,
  RouteEntry,
  VirtualHost,
} from "../config/http.ts";
import { retryWords } from "../config/retry-on.ts";
import { addStep, type Trace } from "../config/trace.ts";
import { redirectLocation } from "./redirect.ts";
import { rewrittenAuthority, rewrittenPath } from "./rewrite.ts";
import type { RouteDecision, RouteRequest } from "./route.ts";

export function traceNoHost(trace: Trace, config: RouteConfig, request: RouteRequest): void {
  addStep(trace, "virtual host", `route configuration ${config.name} has none for authority ${request.authority}: 404`);
}

export function traceNoRoute(trace: Trace, virtualHost: VirtualHost, request: RouteRequest): void {
  const tried = virtualHost.routes.map((route) => route.match.description).join("; ");
  addStep(
    trace,
    "route",
    `none of ${virtualHost.name} matches ${request.path}: 404 (it has: ${tried || "no routes"})`,
    virtualHost.provenance.origins,
  );
}

export function traceDecision(trace: Trace, config: RouteConfig, request: RouteRequest, decision: RouteDecision): void {
  const { virtualHost, route } = decision;
  addStep(
    trace,
    "virtual host",
    `${virtualHost.name} of route configuration ${config.name} takes authority ${request.authority}`,
    virtualHost.provenance.origins,
  );
  const name = route.name === "" ? "unnamed route" : `route ${route.name}`;
  const skipped = virtualHost.routes.indexOf(route);
  const order = skipped === 0 ? "the first" : `number ${skipped + 1}, after ${skipped} that did not match`;
  addStep(trace, "route", `${name} (${route.match.description}) is ${order}`, route.provenance.origins);
  const { action } = route;
  const { origins } = route.provenance;
  if (action.type === "redirect") {
    const { status } = action.redirect;
    addStep(trace, "action", `redirects with ${status} to ${locationFor(request, route, action.redirect)}`, origins);
  } else if (action.type === "direct_response") {
    const bytes = action.bytes?.length ?? Buffer.byteLength(action.body);
    addStep(trace, "action", `answers ${action.status} itself, with a body of ${bytes} bytes`, origins);
  } else {
    traceForward(trace, action.forward, request, decision);
  }
}

/** The `location` that a redirect answers this request with. */
export function locationFor(request: RouteRequest, { match }: RouteEntry, redirect: RedirectAction): string {
  const scheme = request.header(":scheme") ?? "http";
  const { authority, path } = request;
  return redirectLocation({ scheme, authority, path }, redirect, "value" in match.path ? match.path.value : "");
}

function traceForward(
  trace: Trace,
  forward: ForwardAction,
  request: RouteRequest,
  { route, cluster }: RouteDecision,
): void {
  const { origins } = route.provenance;
  const { clusters, totalWeight } = forward;
  const chosen = cluster === null ? "no cluster (all weights are 0)" : cluster.name;
  const shares = clusters.map(({ name, weight }) => `${name} ${weight}/${totalWeight}`).join(", ");
  addStep(trace, "cluster", clusters.length === 1 ? chosen : `${chosen} by weight: ${shares}`, origins);
  const rewrites = rewritesOf(forward, request);
  if (rewrites.length > 0) addStep(trace, "rewrite", rewrites.join(", "), origins);
  const changes = [...(cluster?.headers.request ?? []), ...route.headers.request].map(describeMutation);
  if (changes.length > 0) addStep(trace, "headers", changes.join(", "), origins);
  for (const mirror of forward.mirrors) addStep(trace, "mirror", describeMirror(mirror, request), origins);
  if (forward.timeoutMs > 0) addStep(trace, "timeout", `${seconds(forward.timeoutMs)} for the whole response`, origins);
  if (forward.retry !== null && forward.retry.numRetries > 0) {
    const { numRetries, perTryTimeoutMs, retryOn, retriableStatusCodes } = forward.retry;
    const codes = retriableStatusCodes.length === 0 ? "" : ` (${retriableStatusCodes.join(", ")})`;
    const each = perTryTimeoutMs > 0 ? `, ${seconds(perTryTimeoutMs)} for each try` : "";
    addStep(trace, "retries", `up to ${numRetries} on ${retryWords(retryOn).join(", ")}${codes}${each}`, origins);
  }
}

function rewritesOf(forward: ForwardAction, request: RouteRequest): string[] {
  const rewrites: string[] = [];
  const path = rewrittenPath(forward, request.path);
  if (path !== request.path) rewrites.push(`path ${request.path} becomes ${path}`);
  if (forward.hostRewrite?.type === "endpoint") {
    rewrites.push(`authority ${request.authority} becomes the name of the endpoint`);
  } else {
    const authority = rewrittenAuthority(forward, request.authority, request.path, (name) => request.header(name));
    if (authority !== request.authority) rewrites.push(`authority ${request.authority} becomes ${authority}`);
  }
  return rewrites;
}

function describeMirror({ cluster, clusterHeader, fraction }: MirrorPolicy, request: RouteRequest): string {
  const name = clusterHeader === null ? cluster : (request.header(clusterHeader) ?? "");
  const share = request.share(fraction);
  return share === 1 ? `a copy goes to ${name}` : `a copy of ${percent(share)} of such requests goes to ${name}`;
}

function describeMutation({ name, operation, value }: HeaderMutation): string {
  return operation === "remove" ? `remove ${name}` : `${operation.replaceAll("_", " ")} ${name}: ${value}`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(4))} %`;
}

function seconds(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000} s` : `${ms} ms`;
}
