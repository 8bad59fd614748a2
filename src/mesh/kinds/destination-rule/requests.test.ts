// What DestinationRule means for where requests go and how: configuration → request → outcome.
import { requestCases } from "#cli/testing/request-cases.ts";

const rule = (spec: string, name = "r", namespace = "default"): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${name}, namespace: ${namespace}}
spec: {${spec}}
---`;
const route = (subset: string, host = "api"): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec: {hosts: [${host}], http: [{route: [{destination: {host: ${host}, subset: ${subset}}}]}]}
---`;

requestCases(
  "a subset is the workloads with its labels",
  rule("host: api, subsets: [{name: two, labels: {version: v2}}]") + route("two"),
  {
    "shop GET http://api/": "api:80/two mtls",
    "batch GET http://api.default/": "api:80/two mtls",
  },
);
requestCases(
  "TLS of the rule, of a subset and of a port",
  rule(
    "host: old, trafficPolicy: {tls: {mode: SIMPLE}, portLevelSettings: [{port: {number: 90}, tls: {mode: DISABLE}}]}",
  ) +
    rule(
      "host: api, trafficPolicy: {portLevelSettings: [{port: {number: 90}, tls: {mode: DISABLE}}]}, subsets: [{name: plain, labels: {version: v1}, trafficPolicy: {tls: {mode: DISABLE}}}]",
      "a",
    ) +
    route("plain"),
  {
    "shop GET http://old/": "old:80 tls",
    "shop GET http://api/": "api:80/plain",
    "batch GET http://api.default:90/": "api:90/plain",
  },
);
requestCases(
  "ISTIO_MUTUAL to a workload without a sidecar fails",
  rule("host: old, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"),
  {
    "shop GET http://old/": "old:80 mtls",
  },
);
requestCases(
  "a client's namespace comes before the service's, and both before the root namespace",
  rule("host: api.default.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}", "root", "istio-system") +
    rule("host: api.default.svc.cluster.local, trafficPolicy: {tls: {mode: SIMPLE}}", "client", "other"),
  {
    "shop GET http://api/": "api:80",
    "batch GET http://api.default/": "503",
  },
);
requestCases(
  "exportTo keeps a rule in its namespace",
  rule("host: api, exportTo: ['.'], trafficPolicy: {tls: {mode: DISABLE}}"),
  {
    "shop GET http://api/": "api:80",
    "batch GET http://api.default/": "api:80 mtls",
  },
);
requestCases(
  "workloadSelector keeps a rule for some clients",
  rule("host: api, workloadSelector: {matchLabels: {app: shop}}, trafficPolicy: {tls: {mode: DISABLE}}"),
  {
    "shop GET http://api/": "api:80",
    "> api-v1 --port 8080": "arrives:8080",
  },
);
requestCases(
  "a rule for a wildcard host counts where there is none for the name",
  rule('host: "*.default.svc.cluster.local", trafficPolicy: {tls: {mode: DISABLE}}', "wild") +
    rule("host: old, trafficPolicy: {tls: {mode: SIMPLE}}"),
  {
    "shop GET http://api/": "api:80",
    "shop GET http://old/": "old:80 tls",
    "shop GET http://cart.other/": "cart.other:80 mtls",
  },
);
