// What Sidecar means for what a workload reaches and serves: configuration → request → outcome.
import { requestCases } from "#cli/testing/request-cases.ts";

const sidecar = (spec: string, name = "s", namespace = "default"): string => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: ${name}, namespace: ${namespace}}
spec: {${spec}}
---`;
const ofShop = "workloadSelector: {labels: {app: shop}}";
const onlyRegistry = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}";

requestCases("without one, everything is reached", "", {
  "shop GET http://api/": "api:80 mtls",
  "shop GET http://cart.other/": "cart.other:80 mtls",
  "shop GET http://outside.example/": "PassthroughCluster",
  "shop --protocol tcp outside.example:9999": "PassthroughCluster",
});
requestCases("REGISTRY_ONLY: strangers get 502, or are closed", sidecar(onlyRegistry), {
  "shop GET http://api/": "api:80 mtls",
  "shop GET http://outside.example/": "502",
  "shop GET http://outside.example:9999/": "closed",
  "shop --protocol tcp outside.example:9999": "closed",
  "batch GET http://outside.example/": "PassthroughCluster",
});
requestCases("egress hosts of the own namespace only", sidecar(`egress: [{hosts: ["./*"]}], ${onlyRegistry}`), {
  "shop GET http://api/": "api:80 mtls",
  "shop --protocol tcp db:3306": "db:3306 mtls",
  "shop GET http://cart.other/": "502",
});
requestCases(
  "egress hosts by name and by namespace",
  sidecar(`egress: [{hosts: ["default/api.default.svc.cluster.local", "other/*"]}], ${onlyRegistry}`),
  {
    "shop GET http://api/": "api:80 mtls",
    "shop GET http://cart.other/": "cart.other:80 mtls",
    "shop GET http://old/": "502",
    "shop --protocol tcp db:3306": "closed",
  },
);
requestCases("egress hosts of no namespace", sidecar(`egress: [{hosts: ["~/*"]}], ${onlyRegistry}`), {
  "shop GET http://api/": "closed",
  "shop --protocol tcp db:3306": "closed",
});
requestCases(
  "a listener for one port",
  sidecar(
    `egress: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["./api.default.svc.cluster.local"]}, {hosts: ["other/*"]}], ${onlyRegistry}`,
  ),
  {
    "shop GET http://api/": "api:80 mtls",
    "shop --protocol tcp db:3306": "closed",
  },
);
requestCases(
  "the Sidecar with a selector comes before the namespace's, and that before the root namespace's",
  sidecar(`egress: [{hosts: ["./api.default.svc.cluster.local"]}], ${onlyRegistry}`, "root", "istio-system") +
    sidecar(`egress: [{hosts: ["other/*"]}], ${onlyRegistry}`) +
    sidecar(`${ofShop}, egress: [{hosts: ["./old.default.svc.cluster.local"]}], ${onlyRegistry}`, "shop"),
  {
    "shop GET http://old/": "old:80",
    "shop GET http://cart.other/": "502",
    "batch GET http://api.default/": "closed",
  },
);
requestCases(
  "VirtualServices and DestinationRules of namespaces that are not in scope have no say",
  sidecar('egress: [{hosts: ["./*", "other/cart.other.svc.cluster.local"]}]') +
    `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: other}
spec: {hosts: [api.default.svc.cluster.local], http: [{redirect: {uri: /x}}]}
`,
  { "shop GET http://api/": "api:80 mtls", "batch GET http://api.default/": "301" },
);
requestCases(
  "ingress: another port of the application, and its protocol",
  sidecar(
    "workloadSelector: {labels: {app: api}}, ingress: [{port: {number: 8080, protocol: HTTP, name: http}, defaultEndpoint: '127.0.0.1:8081'}]",
  ),
  {
    "> api-v1 --port 8080": "arrives:8080",
    "> api-v1 --port 8080 --identity default/shop": "arrives:8080",
    "> api-v1 --port 9090 --identity default/shop": "InboundPassthroughCluster",
  },
);
