import assert from "node:assert/strict";
import { before, test } from "node:test";
import { formatIssue, formatObjectRef } from "#base/issue.ts";
import { defaultMeshConfig } from "../kinds/mesh-config/decode.ts";
import { loadEnvoyTypes } from "../objects/envoy-types.ts";
import type { KeySets } from "./key-sets.ts";
import { ForceState, type ResourceState } from "./snapshot.ts";
import { meshFromYaml } from "./testing/mesh-from-yaml.ts";

before(loadEnvoyTypes);

const reviews = `
apiVersion: v1
kind: Service
metadata: { name: reviews }
spec: { clusterIP: 10.96.0.7, ports: [{ name: http, port: 9080 }], selector: { app: reviews } }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews }
spec:
  host: reviews
  subsets:
  - { name: v1, labels: { version: v1 } }
  - { name: v2, labels: { version: v2 } }
`;

function stateOf(states: readonly ResourceState[], object: string): ResourceState | undefined {
  return states.find((state) => formatObjectRef(state.origin) === object);
}

test("an unknown subset is reported at its place in the file with the subsets that exist", () => {
  const snapshot = meshFromYaml(`${reviews}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [reviews]
  http:
  - route:
    - destination:
        host: reviews
        subset: v9
`);
  assert.deepEqual(snapshot.issues.map(formatIssue), [
    'mesh.yaml:26:9 error IST0101 spec.http[0].route[0].destination.subset: there is no subset "v9" of ' +
      "reviews.default.svc.cluster.local: DestinationRule default/reviews (mesh.yaml:7) defines others " +
      '(fix: did you mean "v1"? (known subsets: v1, v2))',
  ]);
  assert.equal(stateOf(snapshot.resourceStates(), "VirtualService default/reviews")?.state, ForceState.Partly);
});

test("an unknown host is reported with the name that was probably meant", () => {
  const snapshot = meshFromYaml(`${reviews}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: { host: reveiws }
`);
  const [issue] = snapshot.issues;
  assert.equal(issue?.code, "IST0101");
  assert.equal(issue?.position?.line, 23);
  assert.match(issue?.fix ?? "", /did you mean "reviews"/);
});

test("an unknown gateway is reported and the VirtualService that names only it matches nothing", () => {
  const snapshot = meshFromYaml(`${reviews}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: bookinfo-gateway }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: bookinfo }
spec:
  hosts: ["*"]
  gateways: [bookinfo-gatewey]
  http: [{ route: [{ destination: { host: reviews } }] }]
`);
  const [issue] = snapshot.issues;
  assert.equal(issue?.message, "there is no Gateway default/bookinfo-gatewey");
  assert.match(issue?.fix ?? "", /did you mean "bookinfo-gateway"/);
  const state = stateOf(snapshot.resourceStates(), "VirtualService default/bookinfo");
  assert.equal(state?.state, ForceState.MatchesNothing);
});

test("of two VirtualServices for a host the older one stands and the later one is told which", () => {
  const virtualService = (name: string, time: string): string => `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}, creationTimestamp: "${time}" }
spec:
  hosts: [reviews]
  http: [{ route: [{ destination: { host: reviews } }] }]
`;
  const snapshot = meshFromYaml(
    reviews + virtualService("a", "2026-01-02T00:00:00Z") + virtualService("b", "2026-01-01T00:00:00Z"),
  );
  const [issue, ...others] = snapshot.issues;
  assert.equal(others.length, 0);
  assert.equal(issue?.code, "IST0109");
  assert.deepEqual(issue?.object, { kind: "VirtualService", namespace: "default", name: "a" });
  assert.equal(issue?.position?.line, 20);
  assert.match(issue?.message ?? "", /already routed by VirtualService default\/b \(mesh.yaml:23\)/);
  assert.equal(stateOf(snapshot.resourceStates(), "VirtualService default/a")?.state, ForceState.Shadowed);
  assert.equal(stateOf(snapshot.resourceStates(), "VirtualService default/b")?.state, ForceState.InForce);
});

test("two VirtualServices for a host that no namespace sees together are not in conflict", () => {
  const virtualService = (namespace: string): string => `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: api, namespace: ${namespace} }
spec:
  hosts: [api.example.com]
  exportTo: ["."]
  http: [{ directResponse: { status: 200 } }]
`;
  assert.deepEqual(meshFromYaml(virtualService("a") + virtualService("b")).issues, []);
});

test("an unknown field is refused with the field that was probably meant", () => {
  const snapshot = meshFromYaml(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
  - timout: 3s
    route: [{ destination: { host: reviews } }]
`);
  assert.deepEqual(snapshot.issues.map(formatIssue), [
    'mesh.yaml:8:5 error IST0106 spec.http[0].timout: unknown field "timout" (fix: did you mean "timeout"?)',
  ]);
  assert.equal(stateOf(snapshot.resourceStates(), "VirtualService default/reviews")?.state, ForceState.Invalid);
  assert.equal(snapshot.objects("VirtualService").length, 0);
});

test("a new version that is wrong keeps the last good version in force", () => {
  const rule = (mode: string): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: ${mode} } }
`;
  const first = meshFromYaml(rule("STRICT"));
  const second = meshFromYaml(rule("STRIKT"), {}, first);
  assert.deepEqual(second.objects("PeerAuthentication"), first.objects("PeerAuthentication"));
  assert.deepEqual(second.changes, []);
  assert.equal(second.version, first.version);
  const [state] = second.resourceStates();
  assert.equal(state?.state, ForceState.Invalid);
  assert.ok(state?.reasons.includes("its last good version stays in force"));
  const third = meshFromYaml(rule("PERMISSIVE"), {}, second);
  assert.deepEqual(third.changes, [
    { kind: "PeerAuthentication", namespace: "default", name: "default", change: "changed" },
  ]);
});

test("keys that cannot be fetched are told with their address; keys from before stay in force", () => {
  const yaml = `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt }
spec: { jwtRules: [{ issuer: "https://a.example", jwksUri: "https://a.example/keys" }] }
`;
  const said = (keySets: KeySets): [string | undefined, string | undefined] => {
    const snapshot = meshFromYaml(yaml, { keySets });
    return [snapshot.resourceStates()[0]?.state, snapshot.issues[0]?.message];
  };
  const name = "keys https://a.example/keys";
  assert.deepEqual(said(new Map([[name, { keys: "{}" }]])), [ForceState.InForce, undefined]);
  assert.deepEqual(said(new Map([[name, { failure: "answers 500" }]])), [
    ForceState.Partly,
    "no keys come from https://a.example/keys: answers 500; every token of https://a.example is refused",
  ]);
  assert.deepEqual(said(new Map([[name, { keys: "{}", failure: "answers 500" }]])), [
    ForceState.InForce,
    "no keys come from https://a.example/keys: answers 500; the keys that were there before are used",
  ]);
});

test("a CUSTOM policy without its provider says that it denies", () => {
  const said = (...extensionProviders: object[]): string | undefined =>
    meshFromYaml(
      `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ask }
spec: { action: CUSTOM, provider: { name: asked }, rules: [{}] }
---
apiVersion: v1
kind: Service
metadata: { name: authz }
spec: { ports: [{ port: 9000 }] }
`,
      { meshConfig: { ...defaultMeshConfig, rest: { extensionProviders } } },
    ).issues.find(({ code }) => code === "IST0101")?.message;
  const settings = { service: "default/authz.default.svc.cluster.local", port: 9000 };
  assert.match(said() ?? "", /no external authorization provider "asked": requests that the rules match are denied/);
  assert.match(
    said({ name: "asked", envoyExtAuthzHttp: { service: "gone.example", port: 1 } }) ?? "",
    /which does not exist/,
  );
  assert.equal(said({ name: "asked", envoyExtAuthzGrpc: settings }), undefined);
});

test("what is accepted without effect says so", () => {
  const said = (kind: string, spec: string): string => {
    const yaml = `apiVersion: extensions.istio.io/v1alpha1\nkind: ${kind}\nmetadata: { name: x }\nspec: ${spec}\n`;
    const snapshot = meshFromYaml(yaml);
    const [issue] = snapshot.issues;
    return `${snapshot.resourceStates()[0]?.state}: ${issue?.code} ${issue?.path} ${issue?.message}`;
  };
  assert.equal(said("WasmPlugin", "{ url: oci://example.com/plugin:1 }"), "in force: undefined undefined undefined");
  assert.equal(said("WasmPlugin", "{ url: example.com/plugin:1 }"), "in force: undefined undefined undefined");
  assert.equal(
    said("TrafficExtension", "{ lua: { inlineCode: 'function envoy_on_request(h) end' } }"),
    "not in force: OUT0003 spec.lua Lua scripts are not run: traffic passes without this one",
  );
  assert.match(said("WasmPlugin", "{ url: http://example.com/a.wasm }"), /^in force: IST0133 spec\.url whoever stands/);
  assert.equal(
    said("WasmPlugin", "{ url: https://example.com/plugin.wasm }"),
    "in force: undefined undefined undefined",
  );
  assert.match(
    said("WasmPlugin", "{ url: oci://example.com/plugin:1, verificationKey: k }"),
    /^partly in force: OUT0003 spec\.verificationKey .*signatures of images are not looked at/,
  );
});

test("a Secret for pulling that is not there, or of another kind, is told", () => {
  const issues = (secret: string): string[] =>
    meshFromYaml(`
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: { name: x }
spec: { url: oci://example.com/plugin:1, imagePullSecret: pull }
---
apiVersion: v1
kind: Secret
metadata: { name: ${secret} }
`).issues.map(({ code, path, message }) => `${code} ${path} ${message}`);
  const anyway = "the image is pulled without credentials";
  assert.deepEqual(issues("other, namespace: elsewhere"), [
    `IST0101 spec.imagePullSecret there is no Secret default/pull: ${anyway}`,
  ]);
  assert.deepEqual(issues("pull"), [
    `IST0161 spec.imagePullSecret the Secret default/pull is not of type kubernetes.io/dockerconfigjson: ${anyway}`,
  ]);
});

test("fields that no sidecar acts on yet are named, where they stand", () => {
  const snapshot = meshFromYaml(`${reviews}---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ratings }
spec:
  host: reviews
  trafficPolicy:
    portLevelSettings:
    - port: { number: 9080 }
      outlierDetection: { outlierDetectionHttpErrorCodes: [500] }
`);
  assert.deepEqual(snapshot.issues.map(formatIssue), [
    "mesh.yaml:24:27 warning OUT0003 spec.trafficPolicy.portLevelSettings[0].outlierDetection.outlierDetectionHttpErrorCodes: " +
      "outlierDetectionHttpErrorCodes is accepted and not in force yet: every 5xx is an error, as in Istio",
  ]);
  assert.equal(stateOf(snapshot.resourceStates(), "DestinationRule default/ratings")?.state, ForceState.Partly);
});

test("a WorkloadEntry with a name is told where a ServiceEntry resolves none", () => {
  const issues = (resolution: string): string[] =>
    meshFromYaml(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: s }
spec: { hosts: [s.example], ports: [{ number: 80, name: http }], resolution: ${resolution}, workloadSelector: { labels: { app: a } } }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: w }
spec: { address: vm.example, labels: { app: a } }
`).issues.map(formatIssue);
  assert.deepEqual(issues("STATIC"), [
    "mesh.yaml:10:9 warning OUT0003 spec.address: ServiceEntry default/s resolves no names: this endpoint is left out (fix: give an IP address, or set resolution: DNS)",
  ]);
  assert.deepEqual(issues("DNS"), []);
});

test("zone aware routing without a sidecar that knows its peers is told", () => {
  const rule = `${reviews}---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ratings }
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: { zoneAwareLbSetting: { enabled: true } }
`;
  assert.deepEqual(meshFromYaml(rule).issues.map(formatIssue), [
    "mesh.yaml:22:21 warning OUT0003 spec.trafficPolicy.loadBalancer.zoneAwareLbSetting: " +
      'no sidecar knows its peers, so that zones are used alike; regions are told apart (fix: set ISTIO_META_ENABLE_SELF_DISCOVERY: "true" in meshConfig.defaultConfig.proxyMetadata, or for the clients in a ProxyConfig or the annotation proxy.istio.io/config)',
  ]);
  const off = rule.replace("enabled: true", "enabled: false");
  assert.deepEqual(meshFromYaml(off).issues, []);
  const told = `${rule}---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: { name: peers }
spec: { environmentVariables: { ISTIO_META_ENABLE_SELF_DISCOVERY: "true" } }
`;
  assert.deepEqual(meshFromYaml(told).issues, []);
});

test("a field that is without effect only for some values is named for those", () => {
  const codes = (applyTo: string): string[] =>
    meshFromYaml(`
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: everything }
spec: { configPatches: [{ applyTo: ${applyTo}, patch: { operation: MERGE, value: { name: a } } }] }
`)
      .issues.filter(({ code }) => code === "OUT0003")
      .map(({ path, message }) => `${path} ${message}`);
  assert.deepEqual(codes("BOOTSTRAP"), [
    "spec.configPatches[0].applyTo applyTo BOOTSTRAP is accepted and not in force yet: proxies keep their bootstrap",
  ]);
  assert.deepEqual(codes("CLUSTER"), []);
});

test("a kind that does not exist is an error with the kind that was probably meant", () => {
  const snapshot = meshFromYaml(`
apiVersion: networking.istio.io/v1
kind: VirtualServce
metadata: { name: reviews }
`);
  assert.match(snapshot.issues[0]?.fix ?? "", /VirtualService/);
  const wrongGroup = meshFromYaml(`
apiVersion: security.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
`);
  assert.equal(wrongGroup.issues[0]?.fix, "apiVersion: networking.istio.io/v1");
});

test("selectors that select no pod are reported once pods are known", () => {
  const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: allow }
spec:
  selector: { matchLabels: { app: revews } }
  rules: [{}]
`;
  assert.deepEqual(meshFromYaml(policy).issues, []);
  const pod = `---
apiVersion: v1
kind: Pod
metadata: { name: reviews-1, labels: { app: reviews } }
status: { podIP: 10.244.0.5 }
`;
  const plugin = `
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: { name: plugin }
spec: { selector: { matchLabels: { app: revews } }, url: "https://example.com/m.wasm" }
`;
  for (const object of [policy, plugin]) {
    const snapshot = meshFromYaml(object + pod);
    assert.equal(snapshot.issues[0]?.code, "IST0127");
    assert.equal(snapshot.resourceStates()[0]?.state, ForceState.MatchesNothing);
  }
});

test("CUSTOM policies of several providers for one workload say that they deny, unless that is switched on", () => {
  const policy = (name: string, app: string): string => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ${name} }
spec: { selector: { matchLabels: { app: ${app} } }, action: CUSTOM, provider: { name: ${name} }, rules: [{}] }
`;
  const pod = (app: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: ${app}-1, labels: { app: ${app} } }
status: { podIP: 10.244.0.5 }
`;
  const about = (yaml: string, options = {}): string[] =>
    meshFromYaml(yaml, options)
      .issues.filter(({ code }) => code === "OUT0010")
      .map(({ object, message }) => `${object?.name}: ${message}`);
  const one = policy("one", "web") + policy("two", "web") + pod("web");
  const why =
    "CUSTOM policies of several providers (one, two) are for pod default/web-1: requests that the rules match are denied";
  assert.deepEqual(about(one), [`one: ${why}`, `two: ${why}`]);
  assert.deepEqual(about(one, { severalProviders: true }), []);
  assert.deepEqual(about(policy("one", "web") + policy("two", "api") + pod("web") + pod("api")), []);
});

for (const [kind, apiVersion, rest] of [
  ["EnvoyFilter", "networking.istio.io/v1alpha3", ""],
  ["AuthorizationPolicy", "security.istio.io/v1", ", rules: [{}]"],
  ["RequestAuthentication", "security.istio.io/v1", ", jwtRules: [{ issuer: me, jwks: '{\"keys\": []}' }]"],
  ["Telemetry", "telemetry.istio.io/v1", ", accessLogging: [{ disabled: true }]"],
  ["WasmPlugin", "extensions.istio.io/v1alpha1", ", url: https://modules.example/a.wasm"],
  ["TrafficExtension", "extensions.istio.io/v1alpha1", ", wasm: { url: https://modules.example/a.wasm }"],
] as const) {
  test(`targets of the kind ${kind} that lead to no gateway are reported once pods are known`, () => {
    const filter = (namespace: string, ...targets: string[]): string => `
apiVersion: ${apiVersion}
kind: ${kind}
metadata: { name: f, namespace: ${namespace} }
spec: { targetRefs: [${targets.map((target) => `{group: gateway.networking.k8s.io, ${target}}`).join(", ")}]${rest} }
`;
    const pod = `---
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  labels: { gateway.networking.k8s.io/gateway-name: web, gateway.networking.k8s.io/gateway-class-name: istio }
status: { podIP: 10.244.0.5 }
`;
    const found = (yaml: string): string[] => {
      const snapshot = meshFromYaml(yaml);
      return [snapshot.resourceStates()[0]?.state ?? "", ...snapshot.issues.map(({ code, path }) => `${code} ${path}`)];
    };
    const [web, other] = ["kind: Gateway, name: web", "kind: Gateway, name: other"];
    assert.deepEqual(found(filter("default", other)), ["in force"]);
    assert.deepEqual(found(filter("default", web) + pod), ["in force"]);
    assert.deepEqual(found(filter("default", web, other) + pod), ["partly in force", "IST0127 spec.targetRefs[1]"]);
    assert.deepEqual(found(filter("istio-system", web) + pod), ["matches nothing", "IST0127 spec.targetRefs[0]"]);
    const ofClass = "kind: GatewayClass, name: istio";
    assert.deepEqual(found(filter("istio-system", ofClass) + pod), ["in force"]);
    assert.deepEqual(found(filter("default", ofClass) + pod), ["matches nothing", "IST0167 spec.targetRefs[0]"]);
  });
}

test("a server that cannot share its port with an older Gateway is left out and told why", () => {
  const gateway = (name: string, protocol: string): string => `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name} }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: p, protocol: ${protocol} }, hosts: ["*"] }]
`;
  const snapshot = meshFromYaml(gateway("a", "HTTP") + gateway("b", "TCP"));
  const [issue] = snapshot.issues;
  assert.equal(issue?.code, "IST0145");
  assert.equal(issue?.object?.name, "b");
  assert.match(issue?.message ?? "", /Gateway default\/a \(mesh.yaml:2\)/);
});

test("an object that is written twice counts once and the second is reported", () => {
  const service = `
apiVersion: v1
kind: Service
metadata: { name: a }
spec: { ports: [{ port: 80 }] }
`;
  const snapshot = meshFromYaml(`${service}---${service}`);
  assert.equal(snapshot.services.length, 1);
  assert.match(snapshot.issues[0]?.message ?? "", /written twice, first in mesh.yaml:2/);
});

test("what is wrong in one field hides nothing that is wrong in others", () => {
  const snapshot = meshFromYaml(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
  - match: [{ sourcelabels: { app: web } }]
    route: [{ destination: { host: reviews }, weight: -1 }]
  - timeout: 5
    redirect: { redirectCode: 200, uri: /x }
`);
  assert.deepEqual(
    snapshot.issues.map(({ path, position }) => `${position?.line} ${path}`),
    [
      "7 spec.http[0].match[0].sourcelabels",
      "8 spec.http[0].route[0].weight",
      "9 spec.http[1].timeout",
      "10 spec.http[1].redirect.redirectCode",
    ],
  );
});

test("a dry run of a kind that has none is refused", () => {
  const { issues } = meshFromYaml(`
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: p, annotations: { istio.io/dry-run: "true" } }
spec: { mtls: { mode: STRICT } }
`);
  const [issue] = issues;
  assert.equal(issue?.message, "PeerAuthentication has no dry run");
  assert.deepEqual([issue?.severity, issue?.path], ["error", 'metadata.annotations["istio.io/dry-run"]']);
});
