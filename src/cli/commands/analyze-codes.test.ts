// Every code that `outrigger analyze` knows, over the command: YAML → the codes and the objects that they are about.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { analyzers } from "#mesh/analyze/analyzers.ts";

import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { run } from "../testing/run-cli.ts";

const object = (apiVersion: string, kind: string, metadata: string, rest = ""): string =>
  `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {${metadata}}\n${rest}\n`;
const spec = (text: string): string => `spec: ${text}`;
const networking = (kind: string, name: string, text: string, more = ""): string =>
  object("networking.istio.io/v1", kind, `name: ${name}${more}`, spec(text));
const envoyFilter = (name: string, text: string): string =>
  object("networking.istio.io/v1alpha3", "EnvoyFilter", `name: ${name}`, spec(text));
const security = (kind: string, name: string, text: string, more = ""): string =>
  object("security.istio.io/v1", kind, `name: ${name}${more}`, spec(text));
const telemetry = (name: string, text: string): string =>
  object("telemetry.istio.io/v1", "Telemetry", `name: ${name}`, spec(text));
const namespace = (name: string, more = "labels: {istio-injection: enabled}"): string =>
  object("v1", "Namespace", `name: ${name}, ${more}`);
const service = (name: string, text: string, more = ""): string =>
  object("v1", "Service", `name: ${name}${more}`, spec(text));
const container = (more = ""): string => `containers: [{name: app, image: a${more}}]`;
const pod = (name: string, labels: string, text = container(), more = ""): string =>
  object("v1", "Pod", `name: ${name}, labels: {${labels}}${more}`, spec(`{${text}}`));
const sidecar = "containers: [{name: app, image: a}, {name: istio-proxy, image: hub/proxyv2:1.0}]";
const deployment = (name: string, labels: string, text = container(), more = ""): string =>
  object(
    "apps/v1",
    "Deployment",
    `name: ${name}${more}`,
    spec(`{selector: {matchLabels: {${labels}}}, template: {metadata: {labels: {${labels}}}, spec: {${text}}}}`),
  );
const webhook = (name: string, more: string, clientConfig: string): string =>
  object(
    "admissionregistration.k8s.io/v1",
    "MutatingWebhookConfiguration",
    `name: ${name}`,
    `webhooks: [{name: object.sidecar-injector.istio.io, ${more} clientConfig: {${clientConfig}}}]`,
  );
const route = (host: string, more = ""): string => `http: [{route: [{destination: {host: ${host}${more}}}]}]`;
const web = service("web", "{selector: {app: web}, ports: [{name: http, port: 80}]}");
const webPod = pod("web", "app: web", sidecar);
const ingress = pod("ingress", "istio: ingress", container(), ", namespace: edge");
const ingressService = service(
  "ingress",
  "{selector: {istio: ingress}, ports: [{name: http, port: 80, targetPort: 8080}]}",
  ", namespace: edge",
);
const gateway = (name: string, servers: string): string =>
  networking("Gateway", name, `{selector: {istio: ingress}, servers: [${servers}]}`);
const https = (credential: string, host = "a.example"): string =>
  `{port: {number: 443, name: https, protocol: HTTPS}, hosts: [${host}], tls: {mode: SIMPLE, credentialName: ${credential}}}`;
const secret = (name: string, certificate: string, key: string): string =>
  object(
    "v1",
    "Secret",
    `name: ${name}, namespace: edge`,
    `stringData: ${JSON.stringify({ "tls.crt": certificate, "tls.key": key })}`,
  );
const injector = (values: object): string =>
  object(
    "v1",
    "ConfigMap",
    "name: istio-sidecar-injector, namespace: istio-system",
    `data: {values: ${JSON.stringify(JSON.stringify(values))}}`,
  );
const patch = (applyTo: string, operation: string, more = ""): string =>
  `{configPatches: [{applyTo: ${applyTo}, match: {context: ANY${more}}, patch: {operation: ${operation}, value: {name: f}}}]}`;

/** What the table asks for, beside which nothing else of the analyzer may be found. */
const table: readonly (readonly [code: string, what: string, yaml: readonly string[], objects: readonly string[]])[] = [
  [
    "IST0002",
    "a deprecated field",
    [
      web,
      networking(
        "VirtualService",
        "v",
        `{hosts: [web], http: [{fault: {delay: {percent: 5, fixedDelay: 1s}}, route: [{destination: {host: web}}]}]}`,
      ),
    ],
    ["VirtualService v.default"],
  ],
  [
    "IST0002",
    "egressProxy",
    [
      service("out", "{ports: [{name: tcp, port: 80}]}"),
      networking(
        "Sidecar",
        "s",
        `{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: out.default.svc.cluster.local, port: {number: 80}}}}`,
      ),
    ],
    ["Sidecar s.default"],
  ],
  [
    "IST0002",
    "a kind that is no more",
    [
      object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "name: serviceroles.rbac.istio.io",
        spec("{group: rbac.istio.io}"),
      ),
    ],
    ["CustomResourceDefinition serviceroles.rbac.istio.io"],
  ],
  [
    "IST0101",
    "a host that is not there",
    [web, networking("VirtualService", "v", `{hosts: [web], ${route("wub")}}`)],
    ["VirtualService v.default"],
  ],
  [
    "IST0101",
    "a selector of a Sidecar without pods",
    [webPod, networking("Sidecar", "s", "{workloadSelector: {labels: {app: wub}}, egress: [{hosts: ['*/*']}]}")],
    ["Sidecar s.default"],
  ],
  [
    "IST0101",
    "a selector of a Telemetry without pods",
    [webPod, telemetry("t", "{selector: {matchLabels: {app: wub}}, accessLogging: [{providers: [{name: envoy}]}]}")],
    ["Telemetry t.default"],
  ],
  [
    "IST0101",
    "a namespace of a policy that is not there",
    [
      namespace("default"),
      webPod,
      security("AuthorizationPolicy", "p", "{rules: [{from: [{source: {namespaces: [none, def*]}}]}]}"),
    ],
    ["AuthorizationPolicy p.default"],
  ],
  [
    "IST0101",
    "a Secret that is not there",
    [ingress, ingressService, secret("other", "a", "b"), gateway("g", https("none"))],
    ["Gateway g.default"],
  ],
  [
    "IST0102",
    "a namespace without injection",
    [
      namespace("plain", "labels: {a: b}"),
      namespace("on"),
      namespace("off", "labels: {istio-injection: disabled}"),
      namespace("istio-system", "labels: {}"),
    ],
    ["Namespace plain"],
  ],
  [
    "IST0103",
    "a pod without a sidecar",
    [
      namespace("default"),
      pod("bare", "app: bare"),
      webPod,
      pod("out", 'sidecar.istio.io/inject: "false"'),
      pod("host", "app: host", `hostNetwork: true, ${container()}`),
    ],
    ["Pod bare.default"],
  ],
  [
    "IST0106",
    "a field that there is not",
    [networking("VirtualService", "v", "{hosts: [a.example], htp: []}")],
    ["VirtualService v.default"],
  ],
  [
    "IST0107",
    "an annotation where it has no effect",
    [
      deployment("d", "app: d", container(), ", annotations: {sidecar.istio.io/logLevel: debug}"),
      namespace("ns", "labels: {istio-injection: enabled}, annotations: {networking.istio.io/exportTo: a}"),
    ],
    ["Deployment d.default", "Namespace ns"],
  ],
  [
    "IST0108",
    "an annotation that there is not",
    [service("a", "{ports: [{name: http, port: 80}]}", ", annotations: {networking.istio.io/exportsTo: a}")],
    ["Service a.default"],
  ],
  [
    "IST0109",
    "two VirtualServices for a host",
    [
      web,
      networking("VirtualService", "v", `{hosts: [web], ${route("web")}}`),
      networking("VirtualService", "w", `{hosts: [web], ${route("web")}}`),
    ],
    ["VirtualService w.default"],
  ],
  [
    "IST0110",
    "two Sidecars for a pod",
    [
      pod("a", "app: web, version: v1", sidecar),
      networking("Sidecar", "s", "{workloadSelector: {labels: {app: web}}, egress: [{hosts: ['*/*']}]}"),
      networking("Sidecar", "t", "{workloadSelector: {labels: {version: v1}}, egress: [{hosts: ['*/*']}]}"),
    ],
    ["Sidecar s.default", "Sidecar t.default"],
  ],
  [
    "IST0111",
    "two Sidecars for a namespace",
    [
      networking("Sidecar", "s", "{egress: [{hosts: ['./*']}]}"),
      networking("Sidecar", "t", "{egress: [{hosts: ['./*']}]}"),
    ],
    ["Sidecar t.default"],
  ],
  [
    "IST0112",
    "a destination without a port",
    [
      service("two", "{ports: [{name: http, port: 80}, {name: http-b, port: 81}]}"),
      networking("VirtualService", "v", `{hosts: [a.example], gateways: [g], ${route("two")}}`),
    ],
    ["VirtualService v.default"],
  ],
  [
    "IST0116",
    "one port with two protocols",
    [
      namespace("default"),
      deployment("d", "app: d"),
      service("a", "{selector: {app: d}, ports: [{name: tcp, port: 80}]}"),
      service("b", "{selector: {app: d}, ports: [{name: udp, port: 80, protocol: UDP}]}"),
    ],
    ["Deployment d.default"],
  ],
  ["IST0118", "a port without a protocol", [service("a", "{ports: [{name: web, port: 80}]}")], ["Service a.default"]],
  [
    "IST0123",
    "two labels of injection",
    [namespace("both", "labels: {istio-injection: enabled, istio.io/rev: a}")],
    ["Namespace both"],
  ],
  [
    "IST0125",
    "a value that cannot be used",
    [pod("a", "app: a", sidecar, ', annotations: {traffic.sidecar.istio.io/excludeInboundPorts: "80a"}')],
    ["Pod a.default"],
  ],
  [
    "IST0127",
    "a policy for nobody",
    [
      webPod,
      security("AuthorizationPolicy", "p", "{selector: {matchLabels: {app: wub}}}"),
      security("AuthorizationPolicy", "q", "{}", ", namespace: empty"),
    ],
    ["AuthorizationPolicy p.default", "AuthorizationPolicy q.empty"],
  ],
  [
    "IST0128",
    "TLS without roots",
    [
      networking("DestinationRule", "d", "{host: a.example, trafficPolicy: {tls: {mode: SIMPLE}}}"),
      networking(
        "DestinationRule",
        "e",
        "{host: b.example, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: system}}}",
      ),
    ],
    ["DestinationRule d.default"],
  ],
  [
    "IST0129",
    "TLS of a port without roots",
    [
      networking(
        "DestinationRule",
        "d",
        "{host: a.example, trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}}",
      ),
    ],
    ["DestinationRule d.default"],
  ],
  [
    "IST0130",
    "a route behind one that takes all",
    [
      web,
      networking(
        "VirtualService",
        "v",
        "{hosts: [web], http: [{route: [{destination: {host: web}}]}, {match: [{uri: {prefix: /a}}], route: [{destination: {host: web}}]}]}",
      ),
    ],
    ["VirtualService v.default"],
  ],
  [
    "IST0131",
    "a match twice",
    [
      web,
      networking(
        "VirtualService",
        "v",
        "{hosts: [web], http: [{match: [{uri: {exact: /a}}], route: [{destination: {host: web}}]}, {match: [{uri: {exact: /a}}, {uri: {exact: /b}}], route: [{destination: {host: web}}]}]}",
      ),
    ],
    ["VirtualService v.default"],
  ],
  [
    "IST0132",
    "a host that its Gateway does not serve",
    [
      web,
      ingress,
      ingressService,
      gateway("g", "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}"),
      networking("VirtualService", "v", `{hosts: [b.example], gateways: [g], ${route("web")}}`),
    ],
    ["VirtualService v.default"],
  ],
  [
    "IST0133",
    "a field without effect",
    [
      networking(
        "VirtualService",
        "v",
        "{hosts: [a.example], http: [{directResponse: {status: 200, body: {string: " + "a".repeat(110_000) + "}}}]}",
      ),
    ],
    ["VirtualService v.default"],
  ],
  [
    "IST0134",
    "TCP to a ServiceEntry without addresses",
    [
      networking(
        "ServiceEntry",
        "s",
        "{hosts: [a.example], ports: [{number: 80, name: tcp, protocol: TCP}], resolution: NONE}",
      ),
    ],
    ["ServiceEntry s.default"],
  ],
  [
    "IST0135",
    "an annotation that is deprecated",
    [
      pod("a", "app: a", sidecar, ', annotations: {sidecar.istio.io/inject: "true"}'),
      pod("b", 'sidecar.istio.io/inject: "true"', sidecar, ', annotations: {sidecar.istio.io/inject: "true"}'),
    ],
    ["Pod a.default"],
  ],
  [
    "IST0137",
    "two ports to one target",
    [
      namespace("default"),
      deployment("d", "app: d"),
      service("a", "{selector: {app: d}, ports: [{name: http, port: 80, targetPort: 8080}]}"),
      service("b", "{selector: {app: d}, ports: [{name: http, port: 81, targetPort: 8080}]}"),
    ],
    ["Deployment d.default"],
  ],
  [
    "IST0138",
    "one certificate in two Gateways",
    [gateway("g", https("c")), gateway("h", https("c", "b.example"))],
    ["Gateway g.default", "Gateway h.default"],
  ],
  [
    "IST0139",
    "webhooks that overlap",
    [webhook("a", "", "url: 'https://a.example/inject'"), webhook("b", "", "url: 'https://b.example/inject'")],
    ["MutatingWebhookConfiguration a", "MutatingWebhookConfiguration b"],
  ],
  [
    "IST0139",
    "a webhook of a Service that is not there",
    [
      service("istiod-b", "{ports: [{name: https, port: 443}]}", ", namespace: istio-system"),
      webhook("a", "", "service: {name: istiod, namespace: istio-system}"),
    ],
    ["MutatingWebhookConfiguration a"],
  ],
  [
    "IST0140",
    "subsets that the gateway does not choose",
    [
      web,
      webPod,
      networking("DestinationRule", "d", "{host: web, subsets: [{name: v1, labels: {app: web}}]}"),
      networking("VirtualService", "v", `{hosts: [web], ${route("web", ", subset: v1")}}`),
      networking("VirtualService", "w", `{hosts: [a.example], gateways: [g], ${route("web")}}`),
    ],
    ["VirtualService w.default"],
  ],
  [
    "IST0144",
    "the sidecar's user",
    [
      pod("a", "app: a", `securityContext: {runAsUser: 1337}, ${container()}`),
      deployment("d", "app: d", container(", securityContext: {runAsUser: 1337}")),
      pod("p", "app: p", "containers: [{name: istio-proxy, image: a, securityContext: {runAsUser: 1337}}]"),
    ],
    ["Deployment d.default", "Pod a.default"],
  ],
  [
    "IST0145",
    "two servers for one port",
    [
      gateway("g", "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}"),
      gateway("h", "{port: {number: 80, name: tcp, protocol: TCP}, hosts: [a.example]}"),
    ],
    ["Gateway h.default"],
  ],
  [
    "IST0146",
    "image: auto that nobody replaces",
    [
      deployment("d", "app: d", "containers: [{name: istio-proxy, image: auto}]"),
      deployment("e", 'app: e, sidecar.istio.io/inject: "true"', "containers: [{name: istio-proxy, image: auto}]"),
    ],
    ["Deployment d.default"],
  ],
  [
    "IST0147",
    "image: auto that nobody replaced",
    [pod("a", "app: a", "containers: [{name: istio-proxy, image: auto}]")],
    ["Pod a.default"],
  ],
  [
    "IST0148",
    "injection by default",
    [injector({ sidecarInjectorWebhook: { enableNamespacesByDefault: true } }), namespace("plain", "labels: {a: b}")],
    ["Namespace plain"],
  ],
  [
    "IST0149",
    "claims that nobody verifies",
    [
      web,
      ingress,
      ingressService,
      gateway("g", "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}"),
      networking(
        "VirtualService",
        "v",
        "{hosts: [a.example], gateways: [g], http: [{match: [{headers: {'@request.auth.claims.group': {exact: a}}}], route: [{destination: {host: web}}]}]}",
      ),
    ],
    ["VirtualService v.default"],
  ],
  [
    "IST0150",
    "an external name with a port for all",
    [
      service("a", "{type: ExternalName, externalName: a.example, ports: [{name: tcp, port: 80}]}"),
      service("b", "{type: ExternalName, externalName: b.example, ports: [{name: http, port: 80}]}"),
    ],
    ["Service a.default"],
  ],
  [
    "IST0151",
    "an operation that depends on the order",
    [envoyFilter("e", patch("HTTP_FILTER", "INSERT_FIRST")), envoyFilter("f", patch("HTTP_FILTER", "INSERT_BEFORE"))],
    ["EnvoyFilter f.default"],
  ],
  [
    "IST0152",
    "REPLACE of what cannot be replaced",
    [envoyFilter("e", patch("CLUSTER", "REPLACE"))],
    ["EnvoyFilter e.default"],
  ],
  [
    "IST0153",
    "ADD that is ignored",
    [envoyFilter("e", patch("ROUTE_CONFIGURATION", "ADD"))],
    ["EnvoyFilter e.default"],
  ],
  [
    "IST0154",
    "REMOVE that is ignored",
    [envoyFilter("e", patch("ROUTE_CONFIGURATION", "REMOVE"))],
    ["EnvoyFilter e.default"],
  ],
  [
    "IST0155",
    "an order between versions",
    [
      envoyFilter("e", patch("HTTP_FILTER", "INSERT_FIRST", ", proxy: {proxyVersion: '^1.30.*'}")),
      envoyFilter("f", patch("HTTP_FILTER", "INSERT_AFTER")),
    ],
    ["EnvoyFilter f.default"],
  ],
  [
    "IST0157",
    "logging without a provider",
    [telemetry("t", "{accessLogging: [{match: {mode: SERVER}}]}")],
    ["Telemetry t.default"],
  ],
  [
    "IST0158",
    "another proxy than the injector gives",
    [namespace("default"), injector({ global: { hub: "hub", tag: "1.1", proxy: { image: "proxyv2" } } }), webPod],
    ["Namespace default"],
  ],
  [
    "IST0159",
    "two Telemetries for a pod",
    [
      pod("a", "app: web, version: v1", sidecar),
      telemetry("t", "{selector: {matchLabels: {app: web}}}"),
      telemetry("u", "{selector: {matchLabels: {version: v1}}}"),
    ],
    ["Telemetry t.default", "Telemetry u.default"],
  ],
  [
    "IST0160",
    "two Telemetries for a namespace",
    [
      telemetry("t", "{accessLogging: [{providers: [{name: envoy}]}]}"),
      telemetry("u", "{accessLogging: [{providers: [{name: envoy}]}]}"),
    ],
    ["Telemetry u.default"],
  ],
  [
    "IST0161",
    "a Secret without a certificate",
    [ingress, ingressService, secret("broken", "a", "b"), gateway("g", https("broken"))],
    ["Gateway g.default"],
  ],
  [
    "IST0162",
    "a port that no Service leads to",
    [
      ingress,
      ingressService,
      gateway(
        "g",
        "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}, {port: {number: 8080, name: http-b, protocol: HTTP}, hosts: [b.example]}, {port: {number: 99, name: http-c, protocol: HTTP}, hosts: [c.example]}",
      ),
    ],
    ["Gateway g.default"],
  ],
  [
    "IST0163",
    "an external control plane without a URL",
    [webhook("istio-sidecar-injector-external-istiod", "", "service: {name: a, namespace: b}")],
    ["MutatingWebhookConfiguration istio-sidecar-injector-external-istiod"],
  ],
  [
    "IST0164",
    "an external control plane by address",
    [webhook("istio-sidecar-injector-external-istiod", "", "url: 'https://192.0.2.1:15017/inject'")],
    ["MutatingWebhookConfiguration istio-sidecar-injector-external-istiod"],
  ],
  [
    "IST0165",
    "a Gateway that the control plane made",
    [
      web,
      networking(
        "VirtualService",
        "v",
        `{hosts: [a.example], gateways: [edge/a-istio-autogenerated-k8s-gateway-http], ${route("web")}}`,
      ),
    ],
    ["VirtualService v.default"],
  ],
  [
    "IST0166",
    "a selector for a gateway of the Gateway API",
    [
      pod("g", "app: g, gateway.networking.k8s.io/gateway-name: g"),
      security("RequestAuthentication", "r", "{selector: {matchLabels: {app: g}}}"),
    ],
    ["RequestAuthentication r.default"],
  ],
  [
    "IST0167",
    "a policy without effect in the root namespace",
    [
      security(
        "PeerAuthentication",
        "p",
        "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}}",
        ", namespace: istio-system",
      ),
    ],
    ["PeerAuthentication p.istio-system"],
  ],
  [
    "IST0171",
    "a condition that is False",
    [
      object(
        "v1",
        "Service",
        "name: a",
        "spec: {ports: [{name: http, port: 80}]}\nstatus: {conditions: [{type: Programmed, status: 'False', reason: Invalid, message: no}, {type: Other, status: 'True'}]}",
      ),
    ],
    ["Service a.default"],
  ],
  [
    "IST0173",
    "a subset without pods",
    [web, webPod, networking("DestinationRule", "d", "{host: web, subsets: [{name: v9, labels: {version: v9}}]}")],
    ["DestinationRule d.default"],
  ],
  [
    "IST0174",
    "a rule for a host that is not there",
    [web, networking("DestinationRule", "d", "{host: wub}")],
    ["DestinationRule d.default"],
  ],
  [
    "IST0175",
    "keys from any address",
    [
      deployment("istiod", "app: istiod", container(), ", labels: {app: istiod}"),
      security("RequestAuthentication", "r", "{jwtRules: [{issuer: a, jwksUri: 'https://a.example/k'}]}"),
    ],
    ["Deployment istiod.default"],
  ],
  [
    "IST0177",
    "a port with two protocols",
    [
      networking(
        "ServiceEntry",
        "s",
        "{hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}",
      ),
      networking(
        "ServiceEntry",
        "t",
        "{hosts: [a.example], ports: [{number: 80, name: tls, protocol: TLS}], resolution: DNS}",
      ),
      networking(
        "ServiceEntry",
        "u",
        "{hosts: [b.example], ports: [{number: 80, name: tls, protocol: TLS}], resolution: DNS}",
      ),
    ],
    ["ServiceEntry s.default", "ServiceEntry t.default"],
  ],
];

async function analyzed(yaml: readonly string[], ...flags: string[]): Promise<{ code: string; origin: string }[]> {
  const { stdout, stderr } = await run(["analyze", "-", "-o", "json", ...flags], { stdin: yaml.join("---\n") });
  assert.ok(stdout.startsWith("["), stderr);
  return JSON.parse(stdout) as { code: string; origin: string }[];
}

describe("codes over the command", () => {
  for (const [code, what, yaml, objects] of table) {
    test(`${code}: ${what}`, async () => {
      const found = (await analyzed(yaml)).filter((message) => message.code === code);
      assert.deepEqual([...new Set(found.map(({ origin }) => origin))].sort(), [...objects].sort());
    });
  }

  test("every code of every analyzer is in the table", () => {
    const tested = new Set(table.map(([code]) => code));
    assert.deepEqual(
      analyzers.flatMap(({ codes }) => codes).filter((code) => !tested.has(code)),
      [],
    );
  });

  test("a certificate whose time has ended: IST0161", async () => {
    const ended = selfSigned("a", { notBeforeMs: Date.now() - 7_200_000, notAfterMs: Date.now() - 3_600_000 });
    const yaml = [ingress, ingressService, secret("old", ended.chain, ended.key), gateway("g", https("old"))];
    const found = await analyzed(yaml);
    assert.deepEqual(
      found.filter(({ code }) => code === "IST0161").map(({ origin }) => origin),
      ["Gateway g.default"],
    );
  });

  test("--analyzer keeps what one analyzer can find, an unknown one is refused", async () => {
    const yaml = [namespace("plain", "labels: {}"), service("a", "{ports: [{name: web, port: 80}]}")];
    const codes = async (...flags: string[]): Promise<string[]> =>
      (await analyzed(yaml, ...flags)).map(({ code }) => code).sort();
    assert.deepEqual(await codes(), ["IST0102", "IST0118"]);
    assert.deepEqual(await codes("--analyzer", "service.PortNameAnalyzer"), ["IST0118"]);
    const { code, stderr } = await run(["analyze", "-", "--analyzer", "none"], { stdin: yaml.join("---\n") });
    assert.deepEqual([code, /there is no analyzer "none"/.test(stderr)], [1, true]);
  });
});
