// What ServiceEntry means for what workloads reach: configuration → request → outcome.
import { requestCases } from "#cli/testing/request-cases.ts";

const entry = (spec: string, name = "e", namespace = "default"): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, namespace: ${namespace}}
spec: {${spec}}
---`;
const closed = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: istio-system}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
---`;
const http = "ports: [{number: 80, name: http, protocol: HTTP}]";
const tls = "ports: [{number: 443, name: tls, protocol: TLS}]";

requestCases(
  "DNS: the host is the endpoint",
  closed + entry(`hosts: [ext.example], ${http}, resolution: DNS, location: MESH_EXTERNAL`),
  {
    "shop GET http://ext.example/": "ext.example:80",
    "batch GET http://ext.example/": "ext.example:80",
    "shop GET http://other.example/": "502",
    "shop GET http://ext.example:81/": "closed",
  },
);
requestCases(
  "STATIC endpoints",
  closed +
    entry(
      `hosts: [ext.example], ${http}, resolution: STATIC, location: MESH_EXTERNAL, endpoints: [{address: 198.51.100.7}]`,
    ),
  {
    "shop GET http://ext.example/": "ext.example:80",
  },
);
requestCases(
  "a STATIC entry for workloads of the mesh",
  entry(
    `hosts: [mine.example], addresses: [240.9.9.9], ${http}, resolution: STATIC, location: MESH_INTERNAL, workloadSelector: {labels: {app: api, version: v1}}`.replace(
      "name: http",
      "name: http, targetPort: 8080",
    ),
  ),
  {
    "shop GET http://mine.example/": "mine.example:80 mtls",
  },
);
requestCases(
  "NONE goes where the connection went",
  closed + entry(`hosts: ["*.wild.example"], ${http}, resolution: NONE, location: MESH_EXTERNAL`),
  {
    "shop GET http://a.wild.example/": "*.wild.example:80",
    "shop GET http://wild.example/": "502",
  },
);
requestCases(
  "TLS by server name",
  closed +
    entry(`hosts: [a.example], ${tls}, resolution: DNS, location: MESH_EXTERNAL`, "a") +
    entry(`hosts: [b.example], ${tls}, resolution: DNS, location: MESH_EXTERNAL`, "b"),
  {
    "shop GET https://a.example/": "a.example:443",
    "shop --protocol tls b.example:443": "b.example:443",
    "shop GET https://c.example/": "closed",
    "shop --sni a.example GET https://b.example/": "a.example:443",
  },
);
requestCases(
  "TCP by address",
  closed +
    entry(
      "hosts: [mysql.example], addresses: [198.51.100.20], ports: [{number: 3307, name: tcp, protocol: TCP}], resolution: STATIC, location: MESH_EXTERNAL, endpoints: [{address: 198.51.100.21}]",
    ),
  {
    "shop --protocol tcp 198.51.100.20:3307": "mysql.example:3307",
    "shop --protocol tcp mysql.example:3307": "mysql.example:3307",
    "shop --protocol tcp 198.51.100.99:3307": "closed",
  },
);
requestCases(
  "exportTo",
  closed +
    entry(`hosts: [ext.example], ${http}, resolution: DNS, location: MESH_EXTERNAL, exportTo: ["."]`, "e", "other"),
  {
    "batch GET http://ext.example/": "ext.example:80",
    "shop GET http://ext.example/": "502",
  },
);
requestCases(
  "TLS that the sidecar begins",
  entry(
    "hosts: [ext.example], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}], resolution: DNS, location: MESH_EXTERNAL",
  ) +
    `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ext}
spec: {host: ext.example, trafficPolicy: {tls: {mode: SIMPLE}}}
`,
  { "shop GET http://ext.example/": "ext.example:80 tls" },
);
requestCases(
  "a route to it",
  entry(`hosts: [ext.example], ${http}, resolution: DNS, location: MESH_EXTERNAL`) +
    `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec: {hosts: [api], http: [{match: [{uri: {prefix: /ext}}], rewrite: {authority: ext.example}, route: [{destination: {host: ext.example}}]}, {route: [{destination: {host: api}}]}]}
`,
  { "shop GET http://api/ext": "ext.example:80", "shop GET http://api/": "api:80 mtls" },
);

const dynamic = (protocol: string, port: number): string =>
  entry(
    `hosts: ["*.wild.example"], ports: [{number: ${port}, name: p, protocol: ${protocol}}], resolution: DYNAMIC_DNS, location: MESH_EXTERNAL`,
  );
requestCases("DYNAMIC_DNS: HTTP goes to the host that it names, others are unknown", closed + dynamic("HTTP", 80), {
  "shop GET http://a.wild.example/": "*.wild.example:80",
  "shop GET http://wild.example/": "502",
});
requestCases("DYNAMIC_DNS: TLS goes to the host of its hello", closed + dynamic("TLS", 443), {
  "shop GET https://a.wild.example/": "*.wild.example:443",
  "shop --protocol tls a.b.wild.example:443": "*.wild.example:443",
  "shop GET https://wild.example/": "closed",
});
requestCases(
  "DYNAMIC_DNS: TLS that the sidecar begins, and a route from elsewhere",
  `${dynamic("HTTP", 80)}
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: wild}
spec: {host: "*.wild.example", trafficPolicy: {tls: {mode: SIMPLE}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec: {hosts: [api], http: [{rewrite: {authority: a.wild.example}, route: [{destination: {host: "*.wild.example"}}]}]}
`,
  { "shop GET http://a.wild.example/": "*.wild.example:80 tls", "shop GET http://api/": "*.wild.example:80 tls" },
);
requestCases(
  "DYNAMIC_DNS through a gateway: HTTP, and TLS that passes",
  `${dynamic("HTTP", 80)}
${dynamic("TLS", 443).replace("name: e,", "name: t,").replaceAll("wild.example", "tls.example")}
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.wild.example"]}
  - {port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: ["*.tls.example"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: http}
spec: {hosts: ["*.wild.example"], gateways: [egress], http: [{route: [{destination: {host: "*.wild.example"}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tls}
spec:
  hosts: ["*.tls.example"]
  gateways: [egress]
  tls: [{match: [{sniHosts: ["*.tls.example"]}], route: [{destination: {host: "*.tls.example"}}]}]
`,
  {
    "@ GET http://a.wild.example/": "*.wild.example:80",
    "@ --protocol tls a.tls.example:443": "*.tls.example:443",
  },
);
