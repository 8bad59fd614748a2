// What PeerAuthentication means for connections: configuration → request → outcome.
import { requestCases } from "#cli/testing/request-cases.ts";

const policy = (mode: string, extra = "", namespace = "default", name = "p"): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ${name}, namespace: ${namespace}}
spec: {mtls: {mode: ${mode}}${extra}}
---`;
const ofApi = ", selector: {matchLabels: {app: api}}";

requestCases("without a policy a workload takes both, and sidecars speak mutual TLS", "", {
  "shop GET http://api/": "api:80 mtls",
  "batch GET http://api.default/": "api:80 mtls",
  "plain GET http://api/": "arrives:8080",
  "plain --protocol tcp db:3306": "arrives:3306",
  "shop --protocol tcp db:3306": "db:3306 mtls",
  "shop GET http://old/": "old:80",
  "shop --protocol tls safe:443": "safe:443 mtls",
  "> api-v1 --port 8080": "arrives:8080",
  "> api-v1 --port 8080 --identity default/shop": "arrives:8080",
  "> api-v1 --port 7777": "InboundPassthroughCluster",
});

requestCases("STRICT refuses plaintext, with and without HTTP, on ports of services and on others", policy("STRICT"), {
  "shop GET http://api/": "api:80 mtls",
  "batch GET http://api.default/": "api:80 mtls",
  "plain GET http://api/": "closed",
  "plain --protocol tcp db:3306": "closed",
  "batch --protocol tcp db.default:3306": "db:3306 mtls",
  "shop GET http://old/": "old:80",
  "> api-v1 --port 8080": "closed",
  "> api-v1 --port 8080 --protocol tcp": "closed",
  "> api-v1 --port 7777": "closed",
  "> api-v1 --port 7777 --identity default/shop": "InboundPassthroughCluster",
  "> api-v1 --port 8080 --tls simple": "closed",
  "> api-v1 --port 8080 --identity other/batch": "arrives:8080",
  "> api-v1 --port 8080 --identity spiffe://foreign.example/ns/default/sa/shop": "closed",
  "> safe-1 --port 8443 --protocol tls --sni safe": "closed",
});

requestCases("DISABLE takes plaintext only, and sidecars know it", policy("DISABLE"), {
  "shop GET http://api/": "api:80",
  "plain GET http://api/": "arrives:8080",
  "> api-v1 --port 8080": "arrives:8080",
  "shop --protocol tcp db:3306": "db:3306",
  "batch GET http://cart/": "cart.other:80 mtls",
});

requestCases("a policy of the root namespace is the mesh's", policy("STRICT", "", "istio-system"), {
  "plain GET http://api/": "closed",
  "> cart-1.other --port 8080": "closed",
  "batch GET http://cart/": "cart.other:80 mtls",
});

requestCases(
  "a namespace's policy replaces the mesh's, a workload's replaces both",
  policy("STRICT", "", "istio-system") + policy("PERMISSIVE") + policy("DISABLE", ofApi, "default", "api"),
  {
    "> api-v1 --port 8080": "arrives:8080",
    "shop GET http://api/": "api:80",
    "> db-1 --port 3306 --protocol tcp": "arrives:3306",
    "shop --protocol tcp db:3306": "db:3306 mtls",
    "> cart-1.other --port 8080": "closed",
  },
);

requestCases("UNSET takes what the wider scope says", policy("STRICT") + policy("UNSET", ofApi, "default", "api"), {
  "> api-v1 --port 8080": "closed",
  "shop GET http://api/": "api:80 mtls",
});

requestCases(
  "a port has a mode of its own",
  policy("STRICT", `${ofApi}, portLevelMtls: {8080: {mode: DISABLE}, 7777: {mode: PERMISSIVE}}`),
  {
    "> api-v1 --port 8080": "arrives:8080",
    "shop GET http://api/": "api:80",
    "> api-v1 --port 9090": "closed",
    "shop GET http://api:90/": "api:90 mtls",
    "> api-v1 --port 7777": "InboundPassthroughCluster",
    "> api-v1 --port 7777 --identity default/shop": "InboundPassthroughCluster",
    "> db-1 --port 3306 --protocol tcp": "arrives:3306",
  },
);

requestCases(
  "a port PERMISSIVE under DISABLE takes both",
  policy("DISABLE", `${ofApi}, portLevelMtls: {9090: {mode: PERMISSIVE}}`),
  {
    "> api-v1 --port 9090": "arrives:9090",
    "shop GET http://api:90/": "api:90 mtls",
    "shop GET http://api/": "api:80",
  },
);

const rule = (tls: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api}
spec: {host: api, trafficPolicy: {tls: ${tls}}}
---`;

requestCases(
  "a DestinationRule that switches TLS off does not get into STRICT",
  policy("STRICT") + rule("{mode: DISABLE}"),
  {
    "shop GET http://api/": "503",
    "shop --protocol tcp db:3306": "db:3306 mtls",
  },
);

requestCases("and gets into PERMISSIVE", policy("PERMISSIVE") + rule("{mode: DISABLE}"), {
  "shop GET http://api/": "api:80",
});

requestCases("ISTIO_MUTUAL does not get into DISABLE", policy("DISABLE") + rule("{mode: ISTIO_MUTUAL}"), {
  "shop GET http://api/": "503",
});

requestCases("SIMPLE is no certificate for STRICT", policy("STRICT") + rule("{mode: SIMPLE}"), {
  "shop GET http://api/": "503",
});
