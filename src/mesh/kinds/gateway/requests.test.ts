// What Gateway and its VirtualServices mean for what comes from outside: configuration → request → outcome.
import { requestCases } from "#cli/testing/request-cases.ts";

const gateway = (servers: string, name = "edge", namespace = "default"): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ${name}, namespace: ${namespace}}
spec: {selector: {istio: ingressgateway}, servers: [${servers}]}
---`;
const http = (hosts: string, extra = ""): string =>
  `{port: {number: 80, name: http, protocol: HTTP}, hosts: [${hosts}]${extra}}`;
const https = (hosts: string, tls: string, name = "https"): string =>
  `{port: {number: 443, name: ${name}, protocol: HTTPS}, hosts: [${hosts}], tls: ${tls}}`;
const virtualService = (spec: string, name = "v", namespace = "default"): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: ${namespace}}
spec: {${spec}}
---`;
const toApi = "http: [{route: [{destination: {host: api, port: {number: 80}}}]}]";
const api = "api:80 mtls";

requestCases(
  "only hosts of the server and of the VirtualService are routed",
  gateway(http("a.example, '*.b.example'")) +
    virtualService(`hosts: [a.example, x.b.example, c.example], gateways: [edge], ${toApi}`),
  {
    "@ GET http://a.example/": api,
    "@ GET http://A.EXAMPLE/": api,
    "@ GET http://a.example:80/": api,
    "@ GET http://x.b.example/": api,
    "@ GET http://y.b.example/": "404",
    "@ GET http://c.example/": "404",
    "@ GET http://b.example/": "404",
  },
);
requestCases(
  "a wildcard VirtualService gets the hosts of the server",
  gateway(http("a.example")) + virtualService(`hosts: ["*"], gateways: [edge], ${toApi}`),
  {
    "@ GET http://a.example/": api,
    "@ GET http://b.example/": "404",
  },
);
requestCases(
  "a server for a namespace takes only its VirtualServices",
  gateway(http("other/*")) +
    virtualService(`hosts: [a.example], gateways: [edge], ${toApi}`) +
    virtualService(
      "hosts: [b.example], gateways: [default/edge], http: [{route: [{destination: {host: cart}}]}]",
      "b",
      "other",
    ),
  {
    "@ GET http://a.example/": "404",
    "@ GET http://b.example/": "cart.other:80 mtls",
  },
);
requestCases(
  "nothing listens on ports that no server names",
  gateway(http("'*'")) + virtualService(`hosts: ["*"], gateways: [edge], ${toApi}`),
  {
    "@ GET http://a.example/": api,
    "@ GET https://a.example/": "closed",
    "@ --protocol tcp a.example:3306": "closed",
  },
);
requestCases(
  "routes of several VirtualServices for one host, the longer path first or not as they are written",
  gateway(http("'*'")) +
    virtualService(
      "hosts: [a.example], gateways: [edge], http: [{match: [{uri: {prefix: /api}}], route: [{destination: {host: api, port: {number: 80}}}]}]",
      "a",
    ) +
    virtualService("hosts: [a.example], gateways: [edge], http: [{route: [{destination: {host: old}}]}]", "b"),
  {
    "@ GET http://a.example/api/x": api,
    "@ GET http://a.example/": "old:80",
  },
);
requestCases(
  "httpsRedirect",
  gateway(http("a.example", ", tls: {httpsRedirect: true}")) +
    virtualService(`hosts: [a.example], gateways: [edge], ${toApi}`),
  {
    "@ GET http://a.example/x": "301",
  },
);
requestCases(
  "SIMPLE: by server name, and not in plaintext",
  gateway(
    https("a.example", "{mode: SIMPLE, credentialName: a}") +
      ", " +
      https("b.example", "{mode: SIMPLE, credentialName: b}", "https-b"),
  ) +
    virtualService(`hosts: [a.example], gateways: [edge], ${toApi}`) +
    virtualService("hosts: [b.example], gateways: [edge], http: [{route: [{destination: {host: old}}]}]", "b"),
  {
    "@ GET https://a.example/": api,
    "@ GET https://b.example/": "old:80",
    "@ GET https://c.example/": "closed",
    "@ --sni a.example GET https://a.example/": api,
    "@ GET http://a.example:443/": "closed",
  },
);
requestCases(
  "MUTUAL wants a certificate, OPTIONAL_MUTUAL takes one",
  gateway(
    https("a.example", "{mode: MUTUAL, credentialName: a}") +
      ", " +
      https("b.example", "{mode: OPTIONAL_MUTUAL, credentialName: b}", "https-b"),
  ) + virtualService(`hosts: [a.example, b.example], gateways: [edge], ${toApi}`),
  {
    "@ GET https://a.example/": "closed",
    "@ --tls mutual --identity x/y GET https://a.example/": api,
    "@ GET https://b.example/": api,
    "@ --tls mutual --identity x/y GET https://b.example/": api,
  },
);
requestCases(
  "PASSTHROUGH goes by server name and ends in the workload",
  gateway(https("safe.example", "{mode: PASSTHROUGH}").replace("HTTPS", "TLS")) +
    virtualService(
      "hosts: [safe.example], gateways: [edge], tls: [{match: [{sniHosts: [safe.example]}], route: [{destination: {host: safe, port: {number: 443}}}]}]",
    ),
  {
    "@ --protocol tls safe.example:443": "safe:443 mtls",
    "@ --protocol tls other.example:443": "closed",
  },
);
requestCases(
  "TCP",
  gateway("{port: {number: 3306, name: tcp, protocol: TCP}, hosts: ['*']}") +
    virtualService(
      "hosts: ['*'], gateways: [edge], tcp: [{match: [{port: 3306}], route: [{destination: {host: db}}]}]",
    ),
  {
    "@ --protocol tcp db.example:3306": "db:3306 mtls",
  },
);
requestCases(
  "policies at the gateway and at the workload, by the address of the client",
  gateway(http("'*'")) +
    virtualService(`hosts: ["*"], gateways: [edge], ${toApi}`) +
    `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: block, namespace: istio-system}
spec: {selector: {matchLabels: {istio: ingressgateway}}, action: DENY, rules: [{from: [{source: {ipBlocks: [203.0.113.0/24]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec: {selector: {matchLabels: {app: api}}, rules: [{from: [{source: {principals: [cluster.local/ns/istio-system/sa/edge], remoteIpBlocks: [198.51.100.0/24]}}]}]}
`,
  {
    "@ --source-ip 198.51.100.7 GET http://a/": api,
    "@ --source-ip 203.0.113.9 GET http://a/": "403 istio-system/block[0]",
    "@ --source-ip 192.0.2.9 GET http://a/": "403 not p[0]",
    "@ --source-ip 192.0.2.9 --remote-ip 198.51.100.7 GET http://a/": "403 not p[0]",
    "shop GET http://api/": "403 not p[0]",
  },
);
