import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMeshConfig } from "#mesh/kinds/mesh-config/decode.ts";
import { meshFromYaml } from "#mesh/snapshot/testing/mesh-from-yaml.ts";
import type { Pod } from "../../mesh/pods.ts";
import { type Explanation, explain } from "./explain.ts";
import { parseRequest } from "./question.ts";
import { renderExplanation } from "./render.ts";
import { chooseVantage } from "./vantage.ts";

interface PodWish {
  readonly name: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly namespace?: string;
  readonly hasProxy?: boolean;
}

const pod = ({
  name,
  ip,
  labels,
  args = ["proxy", "sidecar"],
  namespace = "default",
  hasProxy = true,
}: PodWish): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace, labels: { ...labels, ...(hasProxy && { "security.istio.io/tlsMode": "istio" }) } },
  spec: {
    serviceAccountName: `sa-${name}`,
    containers: [{ name: "app" }, ...(hasProxy ? [{ name: "istio-proxy", args }] : [])],
  },
  status: { phase: "Running", podIP: ip, conditions: [{ type: "Ready", status: "True" }] },
});

const pods: Pod[] = [
  pod({ name: "shop", ip: "10.244.0.2", labels: { app: "shop" } }),
  pod({ name: "api", ip: "10.244.0.3", labels: { app: "api", version: "v1" } }),
  pod({ name: "plain", ip: "10.244.0.4", labels: { app: "plain" }, hasProxy: false }),
  pod({
    name: "gateway",
    ip: "10.244.0.5",
    labels: { istio: "ingressgateway" },
    args: ["proxy", "router"],
    namespace: "istio-system",
  }),
];

const base = `
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {clusterIP: 10.96.0.7, selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {clusterIP: 10.96.0.8, selector: {istio: ingressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.0.3], conditions: {ready: true}, targetRef: {kind: Pod, name: api, namespace: default}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: gateway-1, namespace: istio-system, labels: {kubernetes.io/service-name: istio-ingressgateway}}
addressType: IPv4
ports: [{name: http2, port: 8080}]
endpoints: [{addresses: [10.244.0.5], conditions: {ready: true}, targetRef: {kind: Pod, name: gateway, namespace: istio-system}}]
`;

function ask(from: string, url: string, yaml = "", method = "GET", settings = ""): Explanation {
  const text = [base, ...pods.map((object) => JSON.stringify(object)), yaml]
    .filter((part) => part !== "")
    .join("\n---\n");
  const snapshot = meshFromYaml(text, { meshConfig: parseMeshConfig(settings).meshConfig });
  const mesh = { snapshot, pods };
  const vantage = chooseVantage({ from, namespace: "default" }, mesh, undefined);
  return explain({ ...mesh, vantage, request: parseRequest(method, url) });
}

test("an allowed request goes over mutual TLS to its endpoint", () => {
  const answer = ask("shop", "http://api/x");
  assert.equal(answer.outcome, "forwarded", answer.reason);
  assert.equal(answer.status, 200);
  assert.equal(answer.tls, "mutual");
  assert.equal(answer.cluster, "outbound|80||api.default.svc.cluster.local");
  assert.deepEqual(answer.endpoints, ["10.244.0.3:8080"]);
  assert.match(
    renderExplanation(answer),
    /^at shop\.default\n[^]*\n\nat api\.default\n[^]*\n\nreaches the application$/,
  );
});

test("a policy that denies answers 403, and the step names it with its line", () => {
  const policy = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed}
spec:
  selector: {matchLabels: {app: api}}
  action: DENY
  rules: [{to: [{operation: {paths: [/secret]}}]}]
`;
  const denied = ask("shop", "http://api/secret", policy);
  assert.deepEqual([denied.outcome, denied.status], ["refused", 403]);
  assert.ok(denied.authorization.some(({ allowed }) => !allowed));
  assert.ok(denied.steps.some(({ where, origin }) => where === "api.default" && origin?.name === "closed"));
  assert.equal(ask("shop", "http://api/open", policy).outcome, "forwarded");
});

const asking = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask}
spec:
  selector: {matchLabels: {app: api}}
  action: CUSTOM
  provider: {name: opa}
  rules: [{to: [{operation: {paths: [/admin/*]}}]}]
`;

test("a policy that asks an external service says whom, with its line, and about what it names only", () => {
  const settings =
    "extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: api.default.svc.cluster.local, port: 80}}]";
  const asked = ask("shop", "http://api/admin/users", asking, "GET", settings);
  assert.equal(asked.outcome, "forwarded");
  const step = asked.steps.find(({ decision }) => decision.startsWith("asks the authorization service"));
  assert.match(
    step?.decision ?? "",
    /outbound\|80\|\|api\.default\.svc\.cluster\.local \(gRPC\) about it for istio-ext-authz-opa-ns\[default\]-policy\[ask\]-rule\[0\]: its answer decides/,
  );
  assert.equal(step?.origin?.name, "ask");
  const other = ask("shop", "http://api/open", asking, "GET", settings);
  assert.ok(!other.steps.some(({ decision }) => decision.startsWith("asks")));
});

test("a policy that asks a service that nobody knows denies what it is about, and nothing else", () => {
  const denied = ask("shop", "http://api/admin/users", asking);
  assert.deepEqual([denied.outcome, denied.status], ["refused", 403], denied.reason);
  assert.ok(denied.steps.some(({ origin }) => origin?.name === "ask"));
  assert.equal(ask("shop", "http://api/open", asking).outcome, "forwarded");
});

test("a policy with a path template allows what it matches", () => {
  const policy = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: template}
spec:
  selector: {matchLabels: {app: api}}
  rules: [{to: [{operation: {paths: ["/users/{*}/posts/{**}"]}}]}]
`;
  assert.equal(ask("shop", "http://api/users/7/posts/2/comments", policy).outcome, "forwarded");
  assert.equal(ask("shop", "http://api/users/7/8/posts/2", policy).status, 403);
});

test("a host outside the mesh is passed through, or refused where only the registry may be reached", () => {
  const open = ask("shop", "http://example.com/");
  assert.deepEqual([open.outcome, open.cluster], ["forwarded", "PassthroughCluster"]);
  const sidecar = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
`;
  const closed = ask("shop", "http://example.com/", sidecar);
  assert.notEqual(closed.outcome, "forwarded");
  assert.equal(closed.status, 502);
});

test("a route to a subset that no DestinationRule has answers 503", () => {
  const route = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api}
spec:
  hosts: [api]
  http: [{route: [{destination: {host: api, subset: v9}}]}]
`;
  const answer = ask("shop", "http://api/", route);
  assert.deepEqual([answer.outcome, answer.status], ["refused", 503]);
});

test("STRICT refuses a pod without a sidecar, PERMISSIVE lets it in", () => {
  const strict = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;
  assert.equal(ask("plain", "http://api/").outcome, "forwarded");
  const refused = ask("plain", "http://api/", strict);
  assert.equal(refused.outcome, "refused", refused.reason);
  assert.equal(refused.status, null);
  assert.equal(ask("shop", "http://api/", strict).outcome, "forwarded");
});

test("from the gateway only what a VirtualService binds to it is routed", () => {
  const gateway = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: ["*"]
  gateways: [web]
  http: [{match: [{uri: {prefix: /api}}], route: [{destination: {host: api, port: {number: 80}}}]}]
`;
  const routed = ask("gateway.istio-system", "http://shop.example/api/x", gateway);
  assert.deepEqual([routed.outcome, routed.cluster], ["forwarded", "outbound|80||api.default.svc.cluster.local"]);
  const unknown = ask("gateway.istio-system", "http://shop.example/other", gateway);
  assert.deepEqual([unknown.outcome, unknown.status], ["refused", 404]);
});
