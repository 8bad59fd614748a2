// For tests: a mesh with a gateway, from YAML, and the question what becomes of a request. The answer is that of the
// proxy's own evaluator over the compiled routes.
import { formatIssue } from "#base/issue.ts";
import { decodeRoute } from "#proxy/config/decode-route.ts";
import { redirectLocation } from "#proxy/decide/redirect.ts";
import { rewrittenAuthority, rewrittenPath } from "#proxy/decide/rewrite.ts";
import { type RouteDecision, type RouteRequest, selectRoute } from "#proxy/decide/route.ts";
import type { RouteConfiguration } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { type CompiledResources, compileProxy } from "../../compile/compile.ts";
import { refusals } from "../../compile/testing/accepted.ts";
import type { BuiltSnapshot } from "../../snapshot/build.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { meshFromYaml, proxy } from "../../snapshot/testing/mesh-from-yaml.ts";

/** Services a, b and c on port 80 in namespace default, d in `other`; the Service and the pod of the gateway `web`. */
const platform = `
apiVersion: v1
kind: Namespace
metadata: {name: default, namespace: ""}
---
apiVersion: v1
kind: Namespace
metadata: {name: other, namespace: "", labels: {shared: "yes"}}
---
${["a", "b", "c"].map((name) => service(name, "default", "[{name: http, port: 80}, {name: grpc, port: 90}, {name: tcp, port: 70}]")).join("---\n")}
---
${service("d", "other", "[{name: http, port: 80}]")}
---
apiVersion: v1
kind: Service
metadata: {name: web-istio}
spec:
  clusterIP: 10.96.0.9
  clusterIPs: [10.96.0.9]
  selector: {gateway.networking.k8s.io/gateway-name: web}
  ports: [{name: http, port: 80}, {name: https, port: 443}, {name: tcp, port: 70}]
`;

function service(name: string, namespace: string, ports: string): string {
  return `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {clusterIP: 10.96.1.${name.charCodeAt(0) - 96}, selector: {app: ${name}}, ports: ${ports}}
`;
}

/** A Gateway \`web\` with one HTTP listener. */
export const webGateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
`;

export function httpRoute(name: string, spec: string, metadata = ""): string {
  return `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}${metadata}}
spec:
${spec.replace(/^\n/, "").replace(/^/gm, "  ")}
`;
}

export function gatewayMesh(...documents: string[]): BuiltSnapshot {
  return nextMesh(undefined, ...documents);
}

/** The snapshot that follows another. */
export function nextMesh(previous: BuiltSnapshot | undefined, ...documents: string[]): BuiltSnapshot {
  const snapshot = meshFromYaml([platform, ...documents].join("\n---\n"), {}, previous);
  const refused = snapshot.issues.filter(({ code }) => code.startsWith("IST"));
  if (refused.length > 0) throw new Error(refused.map(formatIssue).join("\n"));
  return snapshot;
}

export const gatewayPod: ProxyNode = proxy({
  type: "router",
  name: "web-istio-1",
  labels: { "gateway.networking.k8s.io/gateway-name": "web" },
});

/** Compiles, and throws on anything that Envoy would refuse. */
export function compiled(snapshot: BuiltSnapshot, node: ProxyNode = gatewayPod): CompiledResources {
  const resources = compileProxy(snapshot, node);
  const refused = refusals(resources);
  if (refused.length > 0) throw new Error(refused.join("\n"));
  return resources;
}

export interface Asked {
  readonly host?: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The draw among weights. */
  readonly random?: number;
}

/** `a /path`, `a /path as other.host`, `redirect 302 http://...`, `answers 500`, or `404`. */
export function outcome(routes: RouteConfiguration | undefined, asked: Asked = {}): string {
  const decision = decide(routes, asked);
  if (decision === null) return "404";
  const { action } = decision.route;
  const { host = "shop.example.com", path = "/" } = asked;
  if (action.type === "direct_response") return `answers ${action.status}`;
  if (action.type === "redirect") {
    const request = { scheme: "http", path, authority: host };
    return `redirect ${action.redirect.status} ${redirectLocation(request, action.redirect, "value" in decision.route.match.path ? decision.route.match.path.value : "")}`;
  }
  const { forward } = action;
  const cluster = decision.cluster?.name ?? "";
  const to = /^outbound\|\d+\|\|([^.]+)/.exec(cluster)?.[1] ?? `${cluster} ${forward.clusterNotFoundStatus}`;
  const authority = rewrittenAuthority(forward, host, path, () => undefined);
  return `${to} ${rewrittenPath(forward, path)}${authority === host ? "" : ` as ${authority}`}`;
}

export function decide(routes: RouteConfiguration | undefined, asked: Asked = {}): RouteDecision | null {
  if (routes === undefined) return null;
  const decoded = decodeRoute(routes);
  if (decoded.value === null) throw new Error(JSON.stringify(decoded.issues));
  const { host = "shop.example.com", path = "/", method = "GET", headers = {}, random = 0 } = asked;
  const all: Readonly<Record<string, string>> = {
    ":path": path,
    ":method": method,
    ":authority": host,
    ":scheme": "http",
    ...headers,
  };
  const request: RouteRequest = {
    authority: host,
    path,
    header: (name) => all[name],
    metadata: () => undefined,
    clientCertificate: "none",
    share: () => 0,
  };
  return selectRoute(decoded.value, request, random, null);
}

/** The object that the request's route was written in, as `HTTPRoute default/a mesh.yaml:12`. */
export function originOf(routes: RouteConfiguration | undefined, asked: Asked = {}): string {
  const origin = decide(routes, asked)?.route.provenance.origins[0];
  return origin === undefined ? "" : `${origin.kind} ${origin.namespace}/${origin.name} ${origin.file}:${origin.line}`;
}
