// Istio's validation rule by rule, through the command: a spec, and what is said of it. `E` an error, `W` a warning or a
// note, with the path of the field; nothing when it is in order.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run } from "../testing/run-cli.ts";

const versions: Readonly<Record<string, string>> = {
  VirtualService: "networking.istio.io/v1",
  DestinationRule: "networking.istio.io/v1",
  Gateway: "networking.istio.io/v1",
  Sidecar: "networking.istio.io/v1",
  ServiceEntry: "networking.istio.io/v1",
  WorkloadEntry: "networking.istio.io/v1",
  PeerAuthentication: "security.istio.io/v1",
  AuthorizationPolicy: "security.istio.io/v1",
  RequestAuthentication: "security.istio.io/v1",
};

/** References to other objects and selectors without pods are another table's business. */
const aside = new Set(["IST0101", "IST0127", "IST0173", "IST0174", "IST0132", "IST0118"]);

function rules(kind: string, rows: Readonly<Record<string, string>>): void {
  test(kind, async () => {
    const answers: Record<string, string> = {};
    for (const spec of Object.keys(rows)) {
      const stdin = `apiVersion: ${versions[kind]}\nkind: ${kind}\nmetadata: {name: x}\nspec: ${spec}\n`;
      const { stdout } = await run(["validate", "-f", "-", "-o", "json"], { stdin });
      const issues = JSON.parse(stdout) as { severity: string; path?: string; code: string }[];
      const told = issues
        .filter(({ code }) => !aside.has(code))
        .map(({ severity, path = "" }) => `${severity === "error" ? "E" : "W"} ${path.replace(/^spec\.?/, "")}`);
      answers[spec] = [...new Set(told)].join(", ");
    }
    assert.deepEqual(answers, rows);
  });
}

const route = "route: [{destination: {host: a}}]";
const http = (extra: string): string => `{hosts: [a], http: [{${extra}}]}`;

describe("what is refused, and what is warned of", () => {
  rules("VirtualService", {
    "{hosts: [a]}": "E ",
    "{hosts: [a, a], http: [{route: [{destination: {host: a}}]}]}": "E hosts[1]",
    '{hosts: ["*"], http: [{route: [{destination: {host: a}}]}]}': "E hosts[0]",
    '{hosts: ["*"], gateways: [g], http: [{route: [{destination: {host: a}}]}]}': "",
    '{hosts: ["a.*"], gateways: [g], http: [{route: [{destination: {host: a}}]}]}': "E hosts[0]",
    "{hosts: [a], exportTo: [x, x], http: [{route: [{destination: {host: a}}]}]}": "E exportTo[1]",
    "{hosts: [a], exportTo: ['*', x], http: [{route: [{destination: {host: a}}]}]}": "E exportTo",
    "{hosts: [a], exportTo: ['~', x], http: [{route: [{destination: {host: a}}]}]}": "E exportTo[0]",
    [http("{}".slice(1, 1))]: "E http[0]",
    [http(`${route}, redirect: {uri: /x}`)]: "E http[0]",
    [http(`${route}, directResponse: {status: 200}`)]: "E http[0]",
    [http("redirect: {uri: /x}, directResponse: {status: 200}")]: "E http[0]",
    [http("redirect: {uri: /x}, fault: {abort: {httpStatus: 500, percentage: {value: 1}}}")]: "E http[0].fault",
    [http("redirect: {uri: /x}, rewrite: {uri: /y}")]: "E http[0].rewrite",
    [http("redirect: {}")]: "E http[0].redirect",
    [http("redirect: {uri: /x, redirectCode: 200}")]: "E http[0].redirect.redirectCode",
    [http("directResponse: {status: 99}")]: "E http[0].directResponse.status",
    [http(`${route}, mirror: {host: b}, mirrors: [{destination: {host: b}}]`)]: "E http[0].mirrors",
    [http(`${route}, rewrite: {}`)]: "E http[0].rewrite",
    [http(`${route}, rewrite: {uri: /x, uriRegexRewrite: {match: a, rewrite: b}}`)]: "E http[0].rewrite",
    [http(`${route}, fault: {}`)]: "E http[0].fault",
    [http(`${route}, fault: {abort: {httpStatus: 700, percentage: {value: 1}}}`)]: "E http[0].fault.abort.httpStatus",
    [http(`${route}, fault: {abort: {grpcStatus: NOPE, percentage: {value: 1}}}`)]: "E http[0].fault.abort.grpcStatus",
    [http(`${route}, fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}`)]: "E http[0].fault.delay.percentage",
    [http(`${route}, retries: {attempts: -1}`)]: "E http[0].retries.attempts",
    [http(`${route}, retries: {attempts: 0, perTryTimeout: 1s}`)]: "E http[0].retries",
    [http(`${route}, retries: {attempts: 1, retryOn: nonsense}`)]: "E http[0].retries.retryOn",
    [http(`${route}, retries: {attempts: 1, retryOn: "5xx,503"}`)]: "",
    [http(`${route}, timeout: soon`)]: "E http[0].timeout",
    [http(`${route}, corsPolicy: {allowMethods: [FETCH]}`)]: "E http[0].corsPolicy.allowMethods[0]",
    [http(`${route}, corsPolicy: {maxAge: 1500ms}`)]: "E http[0].corsPolicy.maxAge",
    [http(`match: [{uri: {prefix: ""}}], ${route}`)]: "",
    [http(`match: [{uri: {regex: "("}}], ${route}`)]: "E http[0].match[0].uri.regex",
    [http(`match: [{uri: {exact: /a, prefix: /b}}], ${route}`)]: "E http[0].match[0].uri",
    [http(`match: [{headers: {a: {regex: "["}}}], ${route}`)]: 'E http[0].match[0].headers["a"].regex',
    [http("route: [{destination: {host: a}, weight: 0}, {destination: {host: b}, weight: 0}]")]: "E http[0].route",
    [http("route: [{destination: {host: a}, weight: -1}]")]: "E http[0].route[0].weight",
    [http("route: [{weight: 1}]")]: "E http[0].route[0].destination.host",
    [http("route: [{destination: {host: a, port: {number: 70000}}}]")]: "E http[0].route[0].destination.port.number",
    [http("route: [{destination: {host: a, subset: 'v 1'}}]")]: "E http[0].route[0].destination.subset",
    "{hosts: [a.example], tls: [{route: [{destination: {host: a}}]}]}": "E tls[0]",
    "{hosts: [a.example], tls: [{match: [{sniHosts: [b.example]}], route: [{destination: {host: a}}]}]}":
      "E tls[0].match[0].sniHosts[0]",
    "{hosts: [a], tcp: [{match: [{port: 1}]}]}": "E tcp[0]",
  });

  rules("DestinationRule", {
    "{}": "E host",
    "{host: a, trafficPolicy: {}}": "E trafficPolicy",
    "{host: a, trafficPolicy: {connectionPool: {}}}": "E trafficPolicy.connectionPool",
    "{host: a, trafficPolicy: {portLevelSettings: [{tls: {mode: DISABLE}}]}}":
      "E trafficPolicy.portLevelSettings[0].port",
    "{host: a, subsets: [{name: v, labels: {a: b}}, {name: v, labels: {a: c}}]}": "E subsets[1].name",
    "{host: a, subsets: [{labels: {a: b}}]}": "E subsets[0]",
    "{host: a, trafficPolicy: {loadBalancer: {simple: ROUND}}}": "E trafficPolicy.loadBalancer.simple",
    "{host: a, trafficPolicy: {loadBalancer: {consistentHash: {}}}}": "",
    "{host: a, trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {ttl: 1s}}}}}":
      "E trafficPolicy.loadBalancer.consistentHash.httpCookie",
    "{host: a, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 10}}}}}":
      "E trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
    "{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM, warmup: {}}}}": "E trafficPolicy.loadBalancer.warmup",
    "{host: a, trafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}}":
      "E trafficPolicy.outlierDetection.maxEjectionPercent",
    "{host: a, trafficPolicy: {outlierDetection: {interval: 0.5ms}}}": "E trafficPolicy.outlierDetection.interval",
    "{host: a, trafficPolicy: {connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}}}":
      "E trafficPolicy.connectionPool.http.h2UpgradePolicy",
    "{host: a, trafficPolicy: {tls: {mode: MUTUAL}}}": "E trafficPolicy.tls",
    "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, clientCertificate: /c}}}":
      "W trafficPolicy.tls.clientCertificate",
    "{host: a, exportTo: ['*'], workloadSelector: {matchLabels: {a: b}}, trafficPolicy: {tls: {mode: DISABLE}}}":
      "E exportTo",
  });

  const server = (fields: string): string => `{selector: {istio: i}, servers: [{${fields}}]}`;
  rules("Gateway", {
    "{selector: {istio: i}}": "E servers",
    [server("hosts: [a.example]")]: "E servers[0].port.number, E servers[0].port.protocol, E servers[0].port",
    [server("port: {number: 80, name: http, protocol: HTTP}")]: "E servers[0].hosts",
    [server("port: {number: 80, name: http, protocol: GOPHER}, hosts: [a.example]")]: "E servers[0].port.protocol",
    [server("port: {number: 0, name: http, protocol: HTTP}, hosts: [a.example]")]: "E servers[0].port.number",
    [server("port: {number: 80, protocol: HTTP}, hosts: [a.example]")]: "E servers[0].port",
    [server("port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example]")]: "E servers[0]",
    [server("port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example], tls: {mode: SIMPLE}")]:
      "E servers[0].tls",
    [server(
      "port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example], tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k}",
    )]: "E servers[0].tls",
    [server(
      "port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example], tls: {mode: SIMPLE, credentialName: c}",
    )]: "E servers[0].tls",
    [server("port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example], tls: {httpsRedirect: true}")]: "",
    "{selector: {istio: i}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}, {port: {number: 81, name: http, protocol: HTTP}, hosts: [b.example]}]}":
      "E servers[1].port.name",
  });

  rules("Sidecar", {
    "{}": "E ",
    "{ingress: [{defaultEndpoint: '127.0.0.1:80'}]}": "E ingress[0].port.number",
    "{workloadSelector: {labels: {a: b}}, ingress: [{port: {number: 80, name: http, protocol: HTTP}, defaultEndpoint: 'example.com:80'}]}":
      "E ingress[0].defaultEndpoint",
    "{egress: [{}]}": "E egress[0].hosts",
    "{egress: [{hosts: [a]}]}": "E egress[0].hosts[0]",
    "{egress: [{hosts: ['*/*']}, {port: {number: 80, name: http, protocol: HTTP}, hosts: ['./*']}]}": "E egress[0]",
    "{outboundTrafficPolicy: {mode: SOMETIMES}}": "E outboundTrafficPolicy.mode",
  });

  rules("ServiceEntry", {
    "{ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}": "E hosts",
    "{hosts: ['*'], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}": "E hosts[0]",
    "{hosts: [a.example], ports: [{number: 80, name: a, protocol: HTTP}, {number: 80, name: b, protocol: HTTP}], resolution: DNS}":
      "E ports[1].number",
    "{hosts: [a.example], ports: [{number: 80, name: a, protocol: GOPHER}], resolution: DNS}": "E ports[0].protocol",
    "{hosts: [a.example], ports: [{number: 80, name: a, protocol: HTTP}], resolution: NONE, endpoints: [{address: 1.1.1.1}]}":
      "E endpoints",
    "{hosts: [a.example], ports: [{number: 80, name: a, protocol: HTTP}], resolution: STATIC, endpoints: [{address: b.example}]}":
      "E endpoints[0].address",
    "{hosts: [a.example], ports: [{number: 80, name: a, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 1.1.1.1, ports: {b: 1}}]}":
      'E endpoints[0].ports["b"]',
    "{hosts: [a.example], addresses: [10.0.0.0/8], ports: [{number: 80, name: a, protocol: HTTP}], resolution: DNS}":
      "E addresses[0]",
    "{hosts: ['*.example'], ports: [{number: 80, name: a, protocol: HTTP}], resolution: DNS}": "E hosts[0]",
    "{hosts: [a.example, b.example], ports: [{number: 80, name: a, protocol: HTTP}], resolution: DNS_ROUND_ROBIN, endpoints: [{address: a}, {address: b}]}":
      "W hosts, E endpoints",
    "{hosts: [a.example], workloadSelector: {labels: {a: b}}, ports: [{number: 80, name: a, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 1.1.1.1}]}":
      "E endpoints",
  });

  rules("PeerAuthentication", {
    "{mtls: {mode: SOMETIMES}}": "E mtls.mode",
    "{portLevelMtls: {80: {mode: STRICT}}}": "E portLevelMtls",
    "{selector: {matchLabels: {a: b}}, portLevelMtls: {0: {mode: STRICT}}}": 'E portLevelMtls["0"]',
    "{selector: {matchLabels: {a: 'b*'}}, mtls: {mode: STRICT}}": "E selector.matchLabels",
  });

  rules("AuthorizationPolicy", {
    "{action: DENY}": "E rules",
    "{}": "",
    "{rules: [{}]}": "",
    "{rules: [{from: []}]}": "",
    "{rules: [{from: [{}]}]}": "E rules[0].from[0]",
    "{rules: [{from: [{source: {}}]}]}": "E rules[0].from[0].source",
    "{rules: [{to: [{operation: {}}]}]}": "E rules[0].to[0].operation",
    "{rules: [{to: [{operation: {ports: [x]}}]}]}": "E rules[0].to[0].operation.ports[0]",
    "{rules: [{from: [{source: {ipBlocks: [300.1.1.1]}}]}]}": "E rules[0].from[0].source.ipBlocks[0]",
    "{rules: [{from: [{source: {principals: ['']}}]}]}": "E rules[0].from[0].source.principals[0]",
    "{rules: [{when: [{values: [a]}]}]}": "E rules[0].when[0]",
    "{rules: [{when: [{key: request.nonsense, values: [a]}]}]}": "E rules[0].when[0].key",
    "{rules: [{when: [{key: source.ip}]}]}": "E rules[0].when[0]",
    "{action: CUSTOM, rules: [{}]}": "E provider",
    "{provider: {name: a}, rules: [{}]}": "E provider",
    "{rules: [{to: [{operation: {paths: ['/a/{*}b']}}]}]}": "E rules[0].to[0].operation.paths[0]",
    "{rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]}": "E rules[0].from[0].source",
  });

  rules("RequestAuthentication", {
    "{jwtRules: [{}]}": "E jwtRules[0].issuer",
    "{jwtRules: [{issuer: a, jwksUri: nonsense}]}": "E jwtRules[0].jwksUri",
    "{jwtRules: [{issuer: a, jwks: '{'}]}": "E jwtRules[0].jwks",
    "{jwtRules: [{issuer: a, jwksUri: 'https://a/b', fromHeaders: [{prefix: x}]}]}":
      "E jwtRules[0].fromHeaders[0].name",
  });
});
