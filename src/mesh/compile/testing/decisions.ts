// For tests: "configuration → request → outcome" in a line each. The outcome is what the live proxy would decide: the
// real compiler, and the proxy's own decisions over what it makes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeView } from "#proxy/config/decode-view.ts";
import type { RouteEntry } from "#proxy/config/http.ts";
import { decideGateway, decideOutbound } from "#proxy/decide/decide.ts";
import type { Decision, Question } from "#proxy/decide/decision.ts";
import { redirectLocation } from "#proxy/decide/redirect.ts";
import { rewrittenAuthority, rewrittenPath } from "#proxy/decide/rewrite.ts";
import type { ProxyView } from "#proxy/decide/view.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { compileProxy } from "../compile.ts";
import { refusals } from "./accepted.ts";

/** What one proxy decides about requests written as text. */
export interface Decider {
  /**
   * `[METHOD] http://host[:port]/path [name: value]... [@claim: value]... [?draw]`; a path alone is for the host that the
   * decider was made for. Claims are those of a good token; `a.b` stands in `a`, and a value with commas is a list. The answer is the cluster as `subset`, `host:port` or `subset@host:port` and what the route changes on the way,
   * or the status.
   */
  (request: string): string;
  readonly decision: (request: string) => Decision;
}

export interface DeciderSettings {
  readonly snapshot: MeshSnapshot;
  readonly proxy: ProxyNode;
  /** `http://host:port` that a path alone is for. */
  readonly base: string;
}

/** Compiles the proxy's configuration and lets Envoy's rules and our proxy's decoder check it. */
export function decider({ snapshot, proxy, base }: DeciderSettings): Decider {
  const compiled = compileProxy(snapshot, proxy);
  assert.deepEqual(refusals(compiled), []);
  const { view, issues } = decodeView({
    listeners: compiled.listeners.values(),
    routes: compiled.routes.values(),
    clusters: compiled.clusters.values(),
    endpoints: compiled.endpoints.values(),
    extensions: compiled.extensions.values(),
  });
  assert.deepEqual(issues, []);
  const decision = (request: string): Decision => decide(view, snapshot, proxy, parseRequest(request, base));
  return Object.assign((request: string) => outcome(decision(request), parseRequest(request, base)), { decision });
}

interface SampleRequest {
  readonly method: string;
  readonly url: URL;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly draw: number;
}

function parseRequest(text: string, base: string): SampleRequest {
  const [, method = "GET", target = "/", rest = ""] = /^(?:([A-Z]+) )?(\S+)((?: .*)?)$/.exec(text) ?? [];
  const draw = / \?(0?\.\d+)$/.exec(rest)?.[1];
  const headers: Record<string, string> = {};
  const claims: Record<string, unknown> = {};
  for (const [, name = "", value = ""] of rest.matchAll(/ (@?[\w.-]+): (\S*)/g)) {
    if (name.startsWith("@")) addClaim(claims, name.slice(1).split("."), value);
    else headers[name.toLowerCase()] = value;
  }
  const absolute = target.startsWith("/") ? `${base}${target}` : target;
  const url = new URL(absolute);
  const path = absolute.slice(absolute.indexOf("/", url.protocol.length + 2));
  return { method, url, path, headers, claims, draw: Number(draw ?? 0) };
}

function addClaim(claims: Record<string, unknown>, [name = "", ...inner]: readonly string[], value: string): void {
  if (inner.length === 0) claims[name] = value.includes(",") ? value.split(",") : value;
  else {
    const nested = (claims[name] ?? {}) as Record<string, unknown>;
    claims[name] = nested;
    addClaim(nested, inner, value);
  }
}

function decide(view: ProxyView, snapshot: MeshSnapshot, proxy: ProxyNode, request: SampleRequest): Decision {
  const { method, url, path, headers, claims, draw } = request;
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const names = [url.hostname, `${url.hostname}.${proxy.namespace}.svc.cluster.local`];
  const service = snapshot.services.find(({ hostname }) => names.includes(hostname));
  const question: Question = {
    destinationIp: service?.addresses[0] ?? "198.51.100.1",
    destinationPort: port,
    sourceIp: proxy.ipAddresses[0] ?? "",
    tls: null,
    http: { method, authority: url.host, path, headers, ...(Object.keys(claims).length > 0 && { claims }) },
    random: draw,
  };
  if (proxy.type !== "router") return decideOutbound(view, question, null);
  return decideGateway(view, { ...question, destinationIp: proxy.ipAddresses[0] ?? "" }, null);
}

function outcome(decision: Decision, request: SampleRequest): string {
  const { cluster, route, status, reason } = decision;
  if (decision.outcome === "answered" && route !== null) return answered(route.route, request);
  const name = cluster?.name ?? /the cluster (\S+) does not exist/.exec(reason)?.[1];
  if (name === undefined) return String(status ?? "closed");
  const target = shortName(name, request);
  const changes = route?.route.action.type === "forward" ? rewrites(route.route, request) : "";
  return `${target}${changes}${decision.outcome === "forwarded" ? "" : ` ${status ?? "closed"}`}`;
}

function shortName(cluster: string, { url }: SampleRequest): string {
  const [direction, port = "", subset = "", host = ""] = cluster.split("|");
  if (direction !== "outbound") return cluster;
  const short = host.replace(/\.default\.svc\.cluster\.local$/, "");
  const isSame = short === url.hostname && (url.port || "80") === port;
  if (isSame) return subset || "itself";
  return `${subset === "" ? "" : `${subset}@`}${short}:${port}`;
}

function rewrites({ action }: RouteEntry, request: SampleRequest): string {
  if (action.type !== "forward") return "";
  const path = rewrittenPath(action.forward, request.path);
  const host = rewrittenAuthority(action.forward, request.url.host, request.path, (name) => request.headers[name]);
  return `${host === request.url.host ? "" : ` as ${host}`}${path === request.path ? "" : ` ${path}`}`;
}

function answered({ action, match }: RouteEntry, { url, path }: SampleRequest): string {
  if (action.type === "direct_response") return `${action.status} ${action.body}`.trimEnd();
  if (action.type !== "redirect") return "?";
  const prefix = "value" in match.path ? match.path.value : "";
  const location = redirectLocation({ scheme: "http", authority: url.host, path }, action.redirect, prefix);
  return `${action.redirect.status} ${location}`;
}

/** One test for a configuration: each line says what is asked and what comes of it. */
export function decisions(name: string, make: () => Decider, expected: Readonly<Record<string, string>>): void {
  test(name, () => {
    const decideRequest = make();
    const actual = Object.fromEntries(Object.keys(expected).map((request) => [request, decideRequest(request)]));
    assert.deepEqual(actual, expected);
  });
}
