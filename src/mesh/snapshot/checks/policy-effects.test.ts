import assert from "node:assert/strict";
import { test } from "node:test";
import { meshFromYaml } from "../testing/mesh-from-yaml.ts";

const mesh = `
apiVersion: v1
kind: Pod
metadata: { name: web-1, labels: { app: web } }
status: { podIP: 10.244.0.5 }
---
apiVersion: v1
kind: Pod
metadata: { name: edge-1, labels: { app: edge, istio: edge } }
status: { podIP: 10.244.0.6 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }, { name: same, port: 9000 }, { name: named, port: 70, targetPort: http }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge }
spec: { selector: { istio: edge }, servers: [{ port: { number: 443, name: t, protocol: TLS }, tls: { mode: ISTIO_MUTUAL }, hosts: ["*"] }] }
`;

const object = (kind: string, name: string, spec: string, namespace = "default"): string => `---
apiVersion: security.istio.io/v1
kind: ${kind}
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;
const policy = (rule: string, app = "web"): string =>
  object("AuthorizationPolicy", "p", `{ selector: { matchLabels: { app: ${app} } }, rules: [${rule}] }`);

/** Code, place and the end of each finding. */
const found = (yaml: string): string[] =>
  meshFromYaml(`${mesh}${yaml}`)
    .issues.filter(({ code }) => ["OUT0006", "OUT0012", "OUT0013"].includes(code))
    .map(({ code, object: of, path, fix }) => `${code} ${of?.name} ${path}${fix === undefined ? "" : ` → ${fix}`}`);

test("a port that is only the Service's is told with that of the workload", () => {
  assert.deepEqual(found(policy('{ to: [{ operation: { ports: ["80"], notPorts: ["8080", "80"] } }] }')), [
    "OUT0012 p spec.rules[0].to[0].operation.ports[0] → 8080",
    "OUT0012 p spec.rules[0].to[0].operation.notPorts[1] → 8080",
  ]);
  assert.deepEqual(found(policy('{ when: [{ key: destination.port, values: ["80", "9000"] }] }')), [
    "OUT0012 p spec.rules[0].when[0].values[0] → 8080",
  ]);
  const other = ["8080", "9000", "7777", "70"].map((port) => `{ to: [{ operation: { ports: ["${port}"] } }] }`);
  assert.deepEqual(found(policy(other.join(", "))), [], "the workload's own, one of no Service, one with a name");
  assert.deepEqual(found(policy('{ to: [{ operation: { ports: ["80"] } }] }', "edge")), [], "of another workload");
  const ports =
    "{ selector: { matchLabels: { app: web } }, portLevelMtls: { 80: { mode: STRICT }, 8080: { mode: STRICT } } }";
  assert.deepEqual(found(object("PeerAuthentication", "ports", ports)), [
    'OUT0012 ports spec.portLevelMtls["80"] → 8080',
  ]);
});

test("identities of users that nobody verifies at the workload", () => {
  const wish = "OUT0013 p spec.rules[0]";
  const fix = "→ a RequestAuthentication for the same workloads";
  const asks = '{ from: [{ source: { requestPrincipals: ["*"] } }] }';
  assert.deepEqual(found(policy(asks)), [`${wish}.from[0].source.requestPrincipals ${fix}`]);
  assert.deepEqual(found(policy('{ from: [{ source: { notRequestPrincipals: ["*"] } }] }')), [
    `${wish}.from[0].source.notRequestPrincipals ${fix}`,
  ]);
  assert.deepEqual(found(policy('{ when: [{ key: "request.auth.claims[a]", notValues: [b] }] }')), [
    `${wish}.when[0].key ${fix}`,
  ]);
  const rules = `jwtRules: [{ issuer: me, jwks: '{"keys": []}' }]`;
  const tokens = (app: string, namespace?: string): string =>
    object("RequestAuthentication", "jwt", `{ selector: { matchLabels: { app: ${app} } }, ${rules} }`, namespace);
  assert.deepEqual(found(policy(asks) + tokens("web")), []);
  assert.deepEqual(found(policy(asks) + tokens("web", "istio-system")), []);
  assert.equal(found(policy(asks) + tokens("edge")).length, 1, "verified at the gateway only");
});

test("identities of peers where mutual TLS is off", () => {
  const asks = "{ from: [{ source: { namespaces: [default] } }] }";
  const off = object("PeerAuthentication", "none", "{ mtls: { mode: DISABLE } }");
  assert.deepEqual(found(policy(asks) + off), [
    "OUT0013 p spec.rules[0].from[0].source.namespaces → PERMISSIVE or STRICT",
  ]);
  assert.equal(found(policy('{ when: [{ key: source.principal, values: ["*"] }] }') + off).length, 1);
  assert.deepEqual(
    found(policy("{ from: [{ source: { notNamespaces: [default] } }] }") + off),
    [],
    "holds for who has none",
  );
  assert.deepEqual(found(policy(asks, "edge") + off), [], "a gateway has TLS of its own");
  assert.deepEqual(found(policy(asks)), []);
  const port = "{ selector: { matchLabels: { app: web } }, portLevelMtls: { 8080: { mode: STRICT } } }";
  assert.deepEqual(found(policy(asks) + off + object("PeerAuthentication", "port", port)), [], "one port has it");
});

test("of two modes for the same workloads the older one counts, and the other says so", () => {
  const mode = (name: string, app: string, wanted: string): string =>
    object("PeerAuthentication", name, `{ selector: { matchLabels: { app: ${app} } }, mtls: { mode: ${wanted} } }`);
  const two = mode("a", "web", "STRICT") + mode("b", "web", "DISABLE");
  assert.deepEqual(found(two), ["OUT0006 b spec.selector → keep one of them"]);
  const states = meshFromYaml(mesh + two).resourceStates();
  assert.deepEqual(
    states
      .filter(({ origin }) => origin.kind === "PeerAuthentication")
      .map(({ origin, state }) => [origin.name, state]),
    [
      ["a", "in force"],
      ["b", "shadowed"],
    ],
  );
  assert.deepEqual(found(mode("a", "web", "STRICT") + mode("b", "edge", "DISABLE")), []);
});
