import assert from "node:assert/strict";
import { test } from "node:test";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { compiled, gatewayMesh, httpRoute, nextMesh, outcome, webGateway } from "./testing/gateway-mesh.ts";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** `Accepted=False(NotAllowedByListeners)` */
function short(conditions: unknown): string {
  return (conditions as Condition[])
    .map(({ type, status, reason }) => `${type}=${status}${reason === type ? "" : `(${reason})`}`)
    .join(" ");
}

interface Status {
  readonly addresses?: { type: string; value: string }[];
  readonly conditions: Condition[];
  readonly listeners: {
    name: string;
    attachedRoutes: number;
    supportedKinds: { kind: string }[];
    conditions: unknown;
  }[];
  readonly parents: { parentRef: object; controllerName: string; conditions: Condition[] }[];
}

function statusOf(snapshot: BuiltSnapshot, kind: string, name: string): Status {
  const found = snapshot.gatewayApiStatuses().find((item) => item.kind === kind && item.name === name);
  assert.ok(found, `${kind} ${name} has no status`);
  return found.status as unknown as Status;
}

/** What the status of route `r` says of its parents. */
function parentsOf(snapshot: BuiltSnapshot, kind = "HTTPRoute", name = "r"): string[] {
  return statusOf(snapshot, kind, name).parents.map(({ conditions }) => short(conditions));
}

const rules = "rules: [{backendRefs: [{name: a, port: 80}]}]";
const good = "Accepted=True ResolvedRefs=True";

test("a Gateway and its route that are in order say so, with addresses and the number of routes", () => {
  const snapshot = gatewayMesh(webGateway, httpRoute("r", `parentRefs: [{name: web}]\n${rules}`));
  const gateway = statusOf(snapshot, "Gateway", "web");
  assert.equal(short(gateway.conditions), "Accepted=True Programmed=True");
  assert.deepEqual(gateway.addresses, [{ type: "IPAddress", value: "10.96.0.9" }]);
  assert.match(gateway.conditions[1]?.message ?? "", /web-istio\.default\.svc\.cluster\.local:80/);
  const [listener] = gateway.listeners;
  assert.equal(
    short(listener?.conditions),
    "Accepted=True Conflicted=False(NoConflicts) Programmed=True ResolvedRefs=True",
  );
  assert.equal(listener?.attachedRoutes, 1);
  assert.deepEqual(
    listener?.supportedKinds.map(({ kind }) => kind),
    ["HTTPRoute", "GRPCRoute"],
  );
  const [parent] = statusOf(snapshot, "HTTPRoute", "r").parents;
  assert.deepEqual(parent?.parentRef, { group: "gateway.networking.k8s.io", kind: "Gateway", name: "web" });
  assert.equal(parent?.controllerName, "istio.io/gateway-controller");
  assert.equal(short(parent?.conditions), good);
  assert.deepEqual(
    snapshot.resourceStates().map(({ origin, state }) => `${origin.kind} ${state}`),
    ["Gateway.gateway.networking.k8s.io in force", "HTTPRoute in force"],
  );
});

const sameOnly = webGateway.replace("{namespaces: {from: All}}", "{namespaces: {from: Same}}");
const selected = webGateway.replace("{from: All}", '{from: Selector, selector: {matchLabels: {shared: "yes"}}}');

test("a route attaches where listener, port, kind, namespace and hostname admit it", () => {
  const inOther = ", namespace: other";
  const cases: [string, string, string, string][] = [
    ["", webGateway, "parentRefs: [{name: web, sectionName: http}]", good],
    ["", webGateway, "parentRefs: [{name: web, port: 80}]", good],
    [
      "",
      webGateway,
      "parentRefs: [{name: web, sectionName: https}]",
      "Accepted=False(NoMatchingParent) ResolvedRefs=True",
    ],
    ["", webGateway, "parentRefs: [{name: web, port: 81}]", "Accepted=False(NoMatchingParent) ResolvedRefs=True"],
    [inOther, sameOnly, "parentRefs: [{name: web, namespace: default}]", "Accepted=False(NotAllowedByListeners)"],
    [inOther, webGateway, "parentRefs: [{name: web, namespace: default}]", "Accepted=True"],
    [inOther, selected, "parentRefs: [{name: web, namespace: default}]", "Accepted=True"],
    ["", selected, "parentRefs: [{name: web}]", "Accepted=False(NotAllowedByListeners)"],
    [
      "",
      webGateway.replace("protocol: HTTP,", "protocol: HTTP, hostname: a.example.com,"),
      "parentRefs: [{name: web}]\nhostnames: [b.example.com]",
      "Accepted=False(NoMatchingListenerHostname)",
    ],
    [
      "",
      webGateway.replace("{namespaces: {from: All}}", "{kinds: [{kind: GRPCRoute}]}"),
      "parentRefs: [{name: web}]",
      "Accepted=False(NotAllowedByListeners)",
    ],
  ];
  for (const [metadata, gateway, parent, expected] of cases) {
    const snapshot = gatewayMesh(gateway, httpRoute("r", `${parent}\n${rules}`, metadata));
    const [answer = ""] = parentsOf(snapshot);
    assert.ok(answer.startsWith(expected), `${parent}: ${answer}`);
    const isAccepted = expected.startsWith("Accepted=True");
    assert.equal(
      compiled(snapshot)
        .routes.get("http.80")
        ?.virtualHosts.some(({ routes }) => routes.length > 0),
      isAccepted,
    );
    const state = snapshot.resourceStates().find(({ origin }) => origin.kind === "HTTPRoute")?.state;
    if (!isAccepted) assert.equal(state, "matches nothing");
  }
});

test("backends that are not there, not permitted or of another kind are told by reason, and a ReferenceGrant permits", () => {
  const route = (backend: string): string =>
    httpRoute("r", `parentRefs: [{name: web}]\nrules: [{backendRefs: [${backend}]}]`);
  const grant = (to: string): string => `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: other}
spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}], to: [${to}]}
`;
  const other = "{name: d, namespace: other, port: 80}";
  const cases: [string, string, string][] = [
    ["{name: gone, port: 80}", "", "BackendNotFound"],
    ["{name: a, port: 81}", "", "BackendNotFound"],
    ["{group: example.com, kind: Bucket, name: a}", "", "InvalidKind"],
    [other, "", "RefNotPermitted"],
    [other, grant('{group: "", kind: Service, name: e}'), "RefNotPermitted"],
    [other, grant('{group: "", kind: Service, name: d}'), ""],
    [other, grant('{group: "", kind: Service}'), ""],
  ];
  for (const [backend, granted, reason] of cases) {
    const snapshot = gatewayMesh(...[webGateway, route(backend), granted].filter((text) => text !== ""));
    assert.deepEqual(
      parentsOf(snapshot),
      [reason === "" ? good : `Accepted=True ResolvedRefs=False(${reason})`],
      backend,
    );
    const answer = outcome(compiled(snapshot).routes.get("http.80"));
    assert.equal(answer, reason === "" ? "d /" : "UnknownService 500 /", backend);
    const state = snapshot.resourceStates().find(({ origin }) => origin.kind === "HTTPRoute");
    assert.equal(state?.state, reason === "" ? "in force" : "partly in force");
  }
});

test("listeners that cannot be served say why, and cost only themselves", () => {
  const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: again, port: 80, protocol: TCP}
  - {name: odd, port: 81, protocol: http}
  - {name: foreign, port: 443, protocol: HTTPS, hostname: a.example.com, tls: {certificateRefs: [{name: c, namespace: other}]}}
  - {name: secret, port: 443, protocol: HTTPS, hostname: b.example.com, tls: {certificateRefs: [{kind: ConfigMap, name: c}]}}
  - {name: kinds, port: 80, protocol: HTTP, hostname: c.example.com, allowedRoutes: {kinds: [{kind: TCPRoute}]}}
`;
  const snapshot = gatewayMesh(gateway);
  const conditions = statusOf(snapshot, "Gateway", "web").listeners.map(
    (listener) => `${listener.name}: ${short(listener.conditions)}`,
  );
  assert.deepEqual(conditions, [
    "http: Accepted=True Conflicted=False(NoConflicts) Programmed=True ResolvedRefs=True",
    "again: Accepted=False(ProtocolConflict) Conflicted=True(ProtocolConflict) Programmed=False(Invalid) ResolvedRefs=True",
    "odd: Accepted=False(UnsupportedProtocol) Conflicted=False(NoConflicts) Programmed=False(Invalid) ResolvedRefs=True",
    "foreign: Accepted=True Conflicted=False(NoConflicts) Programmed=False(Invalid) ResolvedRefs=False(RefNotPermitted)",
    "secret: Accepted=True Conflicted=False(NoConflicts) Programmed=False(Invalid) ResolvedRefs=False(InvalidCertificateRef)",
    "kinds: Accepted=True Conflicted=False(NoConflicts) Programmed=True ResolvedRefs=False(InvalidRouteKinds)",
  ]);
  assert.deepEqual([...compiled(snapshot).listeners.keys()], ["0.0.0.0_80"]);
  const [state] = snapshot.resourceStates();
  assert.equal(state?.state, "partly in force");
  const issues = state?.issues.filter(({ code }) => code === "OUT0011") ?? [];
  assert.deepEqual(
    issues.map(({ path }) => path),
    [1, 2, 3, 4].map((index) => `spec.listeners[${index}]`).concat("spec.listeners[5].allowedRoutes.kinds"),
  );
  assert.ok(issues.every(({ position }) => position !== undefined));
});

test("a parent that does not exist gets no status, and the route says so with the name that was probably meant", () => {
  const snapshot = gatewayMesh(webGateway, httpRoute("r", `parentRefs: [{name: wep}]\n${rules}`));
  assert.deepEqual(parentsOf(snapshot), []);
  const state = snapshot.resourceStates().find(({ origin }) => origin.kind === "HTTPRoute");
  assert.equal(state?.state, "matches nothing");
  assert.deepEqual(
    state?.issues.map(({ message, fix, path }) => [path, message, fix]),
    [["spec.parentRefs[0]", "there is no Gateway default/wep", 'did you mean "web"?']],
  );
});

test("a Gateway of a class that is not there, of another controller or of another network is left alone", () => {
  const other = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: nginx, namespace: ""}
spec: {controllerName: example.com/nginx}
`;
  const cases: [string, string, string][] = [
    ["isto", "", 'there is no GatewayClass "isto"'],
    ["nginx", other, 'the class "nginx" belongs to the controller example.com/nginx, not to this mesh'],
  ];
  for (const [name, more, message] of cases) {
    const snapshot = gatewayMesh(...[webGateway.replace("istio", name), more].filter((text) => text !== ""));
    assert.deepEqual(snapshot.gatewayApiStatuses(), []);
    const state = snapshot.resourceStates().find(({ origin }) => origin.kind === "Gateway.gateway.networking.k8s.io");
    assert.deepEqual([state?.state, state?.reasons], ["matches nothing", [message]]);
  }
  const remote = statusOf(gatewayMesh(webGateway.replace("istio", "istio-remote")), "Gateway", "web");
  assert.equal(short(remote.conditions), "Accepted=True Programmed=True");
  assert.equal(remote.listeners, undefined);
});

test("addresses name the Service of a gateway that is there already; one that is not is told", () => {
  const bound = (name: string): string =>
    webGateway.replace("  listeners:", `  addresses: [{type: Hostname, value: ${name}}]\n  listeners:`);
  const there = gatewayMesh(bound("web-istio"), httpRoute("r", `parentRefs: [{name: web}]\n${rules}`));
  assert.equal(short(statusOf(there, "Gateway", "web").conditions), "Accepted=True Programmed=True");
  assert.equal(outcome(compiled(there).routes.get("http.80")), "a /");
  const gone = gatewayMesh(bound("nothing"));
  assert.equal(
    short(statusOf(gone, "Gateway", "web").conditions),
    "Accepted=True Programmed=False(AddressNotAssigned)",
  );
  assert.equal(gone.resourceStates()[0]?.state, "matches nothing");
});

test("a version that means the same is observed with its own generation", () => {
  const at = (generation: number, more: string): string =>
    httpRoute("r", `parentRefs: [{name: web${more}}]\n${rules}`, `, generation: ${generation}`);
  const first = gatewayMesh(webGateway, at(1, ""));
  assert.equal(first.gatewayApiStatuses().length, 2);
  const generationOf = (snapshot: BuiltSnapshot): unknown =>
    statusOf(snapshot, "HTTPRoute", "r").parents[0]?.conditions[0]?.observedGeneration;
  assert.equal(generationOf(first), 1);
  const second = nextMesh(first, webGateway, at(2, ", kind: Gateway"));
  assert.equal(second.gatewayApi, first.gatewayApi);
  assert.equal(generationOf(second), 2);
});

test("a listener without a usable certificate is not served until the Secret is there", () => {
  const { chain, key } = selfSigned();
  const secret = (name: string, data: string): string => `
apiVersion: v1
kind: Secret
metadata: {name: ${name}}
stringData: {${data}}
`;
  const gateway = webGateway.replace(
    "  - {name: http",
    "  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}\n  - {name: http",
  );
  const good = secret("cert", `tls.crt: ${JSON.stringify(chain)}, tls.key: ${JSON.stringify(key)}`);
  const cases: [string, boolean][] = [
    [secret("other", "a: b"), false],
    [secret("cert", "a: b"), false],
    [good, true],
  ];
  for (const [text, isServed] of cases) {
    const snapshot = gatewayMesh(gateway, text);
    const [listener] = statusOf(snapshot, "Gateway", "web").listeners;
    const expected = isServed
      ? "Programmed=True ResolvedRefs=True"
      : "Programmed=False(Invalid) ResolvedRefs=False(InvalidCertificateRef)";
    assert.equal(short(listener?.conditions), `Accepted=True Conflicted=False(NoConflicts) ${expected}`);
    assert.equal(compiled(snapshot).listeners.has("0.0.0.0_443"), isServed);
    assert.ok(compiled(snapshot).listeners.has("0.0.0.0_80"));
  }
});

test("options of a listener choose how TLS ends: mutual, optional, or with the mesh's own certificates", () => {
  const modeOf = (options: string): string => {
    const tls = `tls: {certificateRefs: [{name: cert}], options: {${options}}}`;
    const snapshot = gatewayMesh(
      webGateway.replace("  - {name: http", `  - {name: https, port: 443, protocol: HTTPS, ${tls}}\n  - {name: http`),
    );
    const object = snapshot.gatewayApi.api.objects[0] as { spec: { servers: { tls: ServerTls }[] } } | undefined;
    const server = object?.spec.servers[0]?.tls;
    return `${server?.mode} ${server?.credentialName} ${server?.cipherSuites.join()}`;
  };
  const cert = "kubernetes-gateway://default/cert";
  const mode = "gateway.istio.io/tls-terminate-mode";
  assert.equal(modeOf(""), `SIMPLE ${cert} `);
  assert.equal(modeOf(`${mode}: MUTUAL`), `MUTUAL ${cert} `);
  assert.equal(modeOf(`${mode}: OPTIONAL_MUTUAL`), `OPTIONAL_MUTUAL ${cert} `);
  assert.equal(modeOf(`${mode}: ISTIO_MUTUAL`), "ISTIO_MUTUAL  ");
  assert.equal(modeOf('gateway.istio.io/tls-cipher-suites: "A, B"'), `SIMPLE ${cert} A,B`);
});

interface ServerTls {
  readonly mode: string;
  readonly credentialName: string;
  readonly cipherSuites: readonly string[];
}
