// What AuthorizationPolicy means for requests and connections: configuration → request → outcome.
import { requestCases } from "#cli/testing/request-cases.ts";

interface PolicyWish {
  readonly name?: string;
  readonly namespace?: string;
  readonly action?: string;
  readonly app?: string;
  readonly annotations?: string;
}

const policy = (rules: string, wish: PolicyWish = {}): string => {
  const { name = "p", namespace = "default", action = "ALLOW", app = "api", annotations = "{}" } = wish;
  const selector = app === "" ? "" : `selector: {matchLabels: {app: ${app}}}, `;
  return `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: ${namespace}, annotations: ${annotations}}
spec: {${selector}action: ${action}${rules === "" ? "" : `, rules: [${rules}]`}}
---`;
};

const me = "> api-v1 --port 8080 --identity default/shop";

requestCases("no policy lets everybody in", "", {
  "shop GET http://api/": "api:80 mtls",
  "> api-v1 --port 8080": "arrives:8080",
});

requestCases("ALLOW without rules lets nobody in, with HTTP or without", policy(""), {
  "shop GET http://api/": "403 not p[0]",
  "> api-v1 --port 9090 --identity default/shop": "403 not p[0]",
  "> api-v1 --port 7777 --identity default/shop": "403 not p[0]",
  "shop --protocol tcp db:3306": "db:3306 mtls",
});

requestCases("an empty rule lets everybody in", policy("{}"), {
  "shop GET http://api/": "api:80 mtls",
  "> api-v1 --port 8080": "arrives:8080",
  "> api-v1 --port 7777": "InboundPassthroughCluster",
});

requestCases("DENY with an empty rule lets nobody in", policy("{}", { action: "DENY" }), {
  "shop GET http://api/": "403 p[0]",
  "> api-v1 --port 7777": "403 p[0]",
});

requestCases(
  "DENY comes before ALLOW",
  policy("{}", { name: "all" }) + policy("{to: [{operation: {methods: [POST]}}]}", { action: "DENY" }),
  {
    "shop GET http://api/": "api:80 mtls",
    "shop POST http://api/": "403 p[0]",
  },
);

requestCases(
  "policies of the namespace and of the root namespace count too",
  policy("{from: [{source: {namespaces: [default]}}]}", { app: "" }) +
    policy("{to: [{operation: {paths: [/root]}}]}", {
      namespace: "istio-system",
      name: "root",
      action: "DENY",
      app: "",
    }),
  {
    "shop GET http://api/": "api:80 mtls",
    "shop GET http://api/root": "403 istio-system/root[0]",
    "batch GET http://api.default/": "403 not p[0]",
    "batch GET http://cart/root": "403 istio-system/root[0]",
    "batch GET http://cart/": "cart.other:80 mtls",
  },
);

requestCases("a selector picks workloads", policy("", { app: "db" }), {
  "shop GET http://api/": "api:80 mtls",
  "shop --protocol tcp db:3306": "closed not p[0]",
});

requestCases(
  "principals: exact, prefix, suffix, presence",
  policy("{from: [{source: {principals: [cluster.local/ns/default/sa/shop]}}]}"),
  {
    "shop GET http://api/": "api:80 mtls",
    "batch GET http://api.default/": "403 not p[0]",
    "> api-v1 --port 8080": "403 not p[0]",
    "> api-v1 --port 8080 --tls simple": "closed",
  },
);
requestCases("principals by prefix", policy("{from: [{source: {principals: [cluster.local/ns/def*]}}]}"), {
  [me]: "arrives:8080",
  "> api-v1 --port 8080 --identity other/batch": "403 not p[0]",
});
requestCases("principals by suffix", policy('{from: [{source: {principals: ["*/sa/shop"]}}]}'), {
  [me]: "arrives:8080",
  "> api-v1 --port 8080 --identity other/shop": "arrives:8080",
  "> api-v1 --port 8080 --identity other/batch": "403 not p[0]",
});
requestCases("any principal", policy('{from: [{source: {principals: ["*"]}}]}'), {
  [me]: "arrives:8080",
  "> api-v1 --port 8080": "403 not p[0]",
});
requestCases("notPrincipals", policy("{from: [{source: {notPrincipals: [cluster.local/ns/default/sa/shop]}}]}"), {
  [me]: "403 not p[0]",
  "> api-v1 --port 8080 --identity other/batch": "arrives:8080",
  "> api-v1 --port 8080": "arrives:8080",
});
requestCases(
  "serviceAccounts, with a namespace and without",
  policy("{from: [{source: {serviceAccounts: [shop, other/batch]}}]}"),
  {
    [me]: "arrives:8080",
    "> api-v1 --port 8080 --identity other/batch": "arrives:8080",
    "> api-v1 --port 8080 --identity other/shop": "403 not p[0]",
    "> api-v1 --port 8080": "403 not p[0]",
  },
);
requestCases("namespaces and notNamespaces", policy("{from: [{source: {namespaces: ['o*'], notNamespaces: [old]}}]}"), {
  [me]: "403 not p[0]",
  "> api-v1 --port 8080 --identity other/batch": "arrives:8080",
  "> api-v1 --port 8080 --identity old/x": "403 not p[0]",
});

requestCases(
  "ipBlocks are the peer's address, remoteIpBlocks the client's",
  policy("{from: [{source: {ipBlocks: [10.244.0.0/16], notIpBlocks: [10.244.0.99]}}]}") +
    policy("{from: [{source: {remoteIpBlocks: [198.51.100.0/24]}}]}", { app: "db", name: "remote" }) +
    policy("{from: [{source: {remoteIpBlocks: [198.51.100.7], notRemoteIpBlocks: [198.51.100.8]}}]}", {
      app: "cart",
      name: "r",
      namespace: "other",
    }),
  {
    "> api-v1 --port 8080 --source-ip 10.244.0.7": "arrives:8080",
    "> api-v1 --port 8080 --source-ip 10.244.0.99": "403 not p[0]",
    "> api-v1 --port 8080 --source-ip 10.245.0.7": "403 not p[0]",
    "> api-v1 --port 8080 --source-ip 10.244.0.7 --remote-ip 1.2.3.4": "arrives:8080",
    "> cart-1.other --port 8080 --source-ip 10.244.0.7 --remote-ip 198.51.100.7": "arrives:8080",
    "> cart-1.other --port 8080 --source-ip 10.244.0.7 --remote-ip 198.51.100.8": "403 not other/r[0]",
    "> cart-1.other --port 8080 --source-ip 198.51.100.7": "arrives:8080",
  },
);

requestCases(
  "hosts and notHosts",
  policy("{to: [{operation: {hosts: ['*.example.com', api], notHosts: [bad.example.com]}}]}"),
  {
    "shop GET http://api/": "api:80 mtls",
    "shop GET http://api/ -H 'host: a.example.com'": "PassthroughCluster",
    [`${me} GET http://a.example.com/`]: "arrives:8080",
    [`${me} GET http://A.Example.COM/`]: "arrives:8080",
    [`${me} GET http://bad.example.com/`]: "403 not p[0]",
    [`${me} GET http://example.com/`]: "403 not p[0]",
  },
);
requestCases("methods and notMethods", policy("{to: [{operation: {methods: ['P*'], notMethods: [PATCH]}}]}"), {
  [`${me} POST http://api/`]: "arrives:8080",
  [`${me} PUT http://api/`]: "arrives:8080",
  [`${me} PATCH http://api/`]: "403 not p[0]",
  [`${me} GET http://api/`]: "403 not p[0]",
});
requestCases(
  "paths: exact, prefix, suffix, presence and templates",
  policy("{to: [{operation: {paths: [/exact, /pre*, '*.html', '/u/{*}/p/{**}']}}]}"),
  {
    [`${me} GET http://api/exact`]: "arrives:8080",
    [`${me} GET http://api/exact?x=/secret`]: "arrives:8080",
    [`${me} GET http://api/exact/`]: "403 not p[0]",
    [`${me} GET http://api/Exact`]: "403 not p[0]",
    [`${me} GET http://api/prefix`]: "arrives:8080",
    [`${me} GET http://api/a/b.html`]: "arrives:8080",
    [`${me} GET http://api/u/7/p/1/2`]: "arrives:8080",
    [`${me} GET http://api/u/7/8/p/1`]: "403 not p[0]",
  },
);
requestCases(
  "notPaths see the canonical path",
  policy("{to: [{operation: {paths: ['/admin*']}}]}", { action: "DENY" }),
  {
    [`${me} GET http://api/admin`]: "403 p[0]",
    [`${me} GET http://api/x/../admin`]: "403 p[0]",
    [`${me} GET http://api/./admin/x`]: "403 p[0]",
    [`${me} GET http://api/%61dmin`]: "403 p[0]",
    [`${me} GET http://api/x?/admin`]: "arrives:8080",
    [`${me} GET http://api/../admin`]: "400",
    [`${me} GET 'http://api/a#/admin'`]: "400",
  },
);
requestCases(
  "ports and notPorts are those of the workload",
  policy("{to: [{operation: {ports: ['8080', '9090'], notPorts: ['9090']}}]}"),
  {
    [me]: "arrives:8080",
    "> api-v1 --port 9090 --identity default/shop": "403 not p[0]",
    "shop GET http://api/": "api:80 mtls",
  },
);
requestCases(
  "from, to and when hold together, several of a kind hold alone",
  policy(
    "{from: [{source: {namespaces: [default]}}, {source: {namespaces: [other]}}], to: [{operation: {methods: [GET]}}, {operation: {paths: [/open]}}], when: [{key: 'request.headers[x-token]', values: [t]}]}",
  ),
  {
    [`${me} GET http://api/x -H 'x-token: t'`]: "arrives:8080",
    [`${me} POST http://api/open -H 'x-token: t'`]: "arrives:8080",
    [`${me} POST http://api/x -H 'x-token: t'`]: "403 not p[0]",
    [`${me} GET http://api/x -H 'x-token: u'`]: "403 not p[0]",
    [`${me} GET http://api/x`]: "403 not p[0]",
    "> api-v1 --port 8080 --identity other/batch GET http://api/x -H 'x-token: t'": "arrives:8080",
    "> api-v1 --port 8080 --identity third/x GET http://api/x -H 'x-token: t'": "403 not p[0]",
  },
);
requestCases(
  "when: headers by prefix, suffix and presence, and notValues",
  policy(
    "{when: [{key: 'request.headers[a]', values: ['pre*', '*fix', 'is']}, {key: 'request.headers[b]', notValues: [bad]}]}",
  ),
  {
    [`${me} GET http://api/ -H 'a: prefix'`]: "arrives:8080",
    [`${me} GET http://api/ -H 'a: suffix'`]: "arrives:8080",
    [`${me} GET http://api/ -H 'a: is' -H 'b: yes'`]: "arrives:8080",
    [`${me} GET http://api/ -H 'a: is' -H 'b: bad'`]: "403 not p[0]",
    [`${me} GET http://api/ -H 'a: other'`]: "403 not p[0]",
  },
);
requestCases(
  "when: source and destination",
  policy(
    "{when: [{key: source.principal, values: ['*/sa/shop']}, {key: source.namespace, values: [default]}, {key: destination.port, values: ['8080']}, {key: source.ip, notValues: [192.0.2.9]}]}",
  ),
  {
    [me]: "arrives:8080",
    [`${me} --source-ip 192.0.2.9`]: "403 not p[0]",
    "> api-v1 --port 9090 --identity default/shop": "403 not p[0]",
  },
);
requestCases("when: connection.sni", policy("{when: [{key: connection.sni, values: [good.example]}]}"), {
  [`${me} --sni good.example`]: "arrives:8080",
  [`${me} --sni bad.example`]: "403 not p[0]",
});

requestCases(
  "claims of a token",
  policy(
    "{when: [{key: 'request.auth.claims[groups]', values: [staff]}, {key: request.auth.principal, values: ['iss.example/*']}]}",
  ) +
    `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt}
spec: {selector: {matchLabels: {app: api}}, jwtRules: [{issuer: iss.example, jwks: '{"keys":[]}'}]}
---`,
  {
    [`${me} GET http://api/ --claims '{"iss":"iss.example","sub":"ann","groups":["staff","x"]}'`]: "arrives:8080",
    [`${me} GET http://api/ --claims '{"iss":"iss.example","sub":"ann","groups":["x"]}'`]: "403 not p[0]",
    [`${me} GET http://api/`]: "403 not p[0]",
    [`${me} GET http://api/ -H 'authorization: Bearer nonsense'`]: "401",
  },
);

requestCases(
  "on TCP an ALLOW rule about HTTP never holds, a DENY rule holds without it",
  policy("{to: [{operation: {methods: [GET]}}]}", { app: "db" }),
  {
    "shop --protocol tcp db:3306": "closed no policy",
  },
);
requestCases(
  "DENY about methods and ports denies the port on TCP",
  policy("{to: [{operation: {methods: [GET], ports: ['3306']}}]}", { app: "db", action: "DENY" }),
  {
    "shop --protocol tcp db:3306": "closed p[0]",
    "> db-1 --port 3307 --protocol tcp": "InboundPassthroughCluster",
  },
);
requestCases(
  "TCP by principal and namespace",
  policy("{from: [{source: {principals: [cluster.local/ns/default/sa/shop]}}]}", { app: "db" }),
  {
    "shop --protocol tcp db:3306": "db:3306 mtls",
    "batch --protocol tcp db.default:3306": "closed not p[0]",
    "plain --protocol tcp db:3306": "closed not p[0]",
  },
);

requestCases(
  "AUDIT and dry runs deny nothing",
  policy("{}", { action: "AUDIT" }) +
    policy("{}", { name: "dry", action: "DENY", annotations: '{istio.io/dry-run: "true"}' }) +
    policy("{}", { name: "dry2", action: "DENY", annotations: '{istio.io/dry-run: "True"}' }),
  {
    "shop GET http://api/": "api:80 mtls",
    [me]: "arrives:8080",
  },
);
