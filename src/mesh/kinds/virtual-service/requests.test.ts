// What VirtualService means for requests and connections: configuration → request → outcome.
import { requestCases } from "#cli/testing/request-cases.ts";

const subsets = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api}
spec: {host: api, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---`;
const to = (subset: string): string => `route: [{destination: {host: api, subset: ${subset}}}]`;
const virtualService = (spec: string, name = "v", namespace = "default"): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: ${namespace}}
spec: {${spec}}
---`;
const routes = (http: string): string => `${subsets}${virtualService(`hosts: [api], http: [${http}]`)}`;
/** Requests that match go to v2, all others to v1. */
const matching = (match: string): string => routes(`{match: [${match}], ${to("v2")}}, {${to("v1")}}`);

const v1 = "api:80/v1 mtls";
const v2 = "api:80/v2 mtls";

requestCases("uri exact", matching("{uri: {exact: /a}}"), {
  "shop GET http://api/a": v2,
  "shop GET http://api/a?x=1": v2,
  "shop GET http://api/a/": v1,
  "shop GET http://api/A": v1,
  "shop GET http://api/b/../a": v2,
});
requestCases("uri prefix is one of characters", matching("{uri: {prefix: /a}}"), {
  "shop GET http://api/a": v2,
  "shop GET http://api/a/b": v2,
  "shop GET http://api/ab": v2,
  "shop GET http://api/b/a": v1,
});
requestCases("uri prefix with a slash at its end", matching("{uri: {prefix: /a/}}"), {
  "shop GET http://api/a": v1,
  "shop GET http://api/a/b": v2,
});
requestCases("uri regex is the whole path", matching('{uri: {regex: "/a/[0-9]+"}}'), {
  "shop GET http://api/a/12": v2,
  "shop GET http://api/a/12?b": v2,
  "shop GET http://api/a/12/x": v1,
  "shop GET http://api/x/a/12": v1,
});
requestCases("ignoreUriCase", matching("{uri: {exact: /Ab}, ignoreUriCase: true}"), {
  "shop GET http://api/aB": v2,
  "shop GET http://api/ab/": v1,
});
requestCases("method", matching("{method: {exact: POST}}"), {
  "shop POST http://api/": v2,
  "shop GET http://api/": v1,
});
requestCases("authority", matching('{authority: {regex: "api(:80)?"}}'), {
  "shop GET http://api/": v2,
  "shop GET http://api:80/": v2,
  "shop GET http://api.default/": v1,
});
requestCases("scheme", matching("{scheme: {exact: https}}"), {
  "shop GET http://api/": v1,
});
requestCases(
  "headers: exact, prefix, regex and presence, all of them",
  matching("{headers: {a: {exact: x}, b: {prefix: ye}, c: {regex: '[0-9]+'}, d: {}}}"),
  {
    "shop GET http://api/ -H 'a: x' -H 'b: yes' -H 'c: 12' -H 'd: 1'": v2,
    "shop GET http://api/ -H 'A: x' -H 'B: yes' -H 'C: 12' -H 'D: 1'": v2,
    "shop GET http://api/ -H 'a: X' -H 'b: yes' -H 'c: 12' -H 'd: 1'": v1,
    "shop GET http://api/ -H 'a: x' -H 'b: no' -H 'c: 12' -H 'd: 1'": v1,
    "shop GET http://api/ -H 'a: x' -H 'b: yes' -H 'c: 1a' -H 'd: 1'": v1,
    "shop GET http://api/ -H 'a: x' -H 'b: yes' -H 'c: 12'": v1,
  },
);
requestCases("withoutHeaders", matching("{withoutHeaders: {a: {exact: x}, b: {}}}"), {
  "shop GET http://api/": v2,
  "shop GET http://api/ -H 'a: y'": v2,
  "shop GET http://api/ -H 'a: x'": v1,
  "shop GET http://api/ -H 'b: anything'": v1,
});
requestCases("queryParams", matching("{queryParams: {a: {exact: '1'}, b: {regex: '[a-z]+'}, c: {prefix: x}}}"), {
  "shop GET http://api/?a=1&b=z&c=xy": v2,
  "shop GET http://api/?c=x&b=z&a=1": v2,
  "shop GET http://api/?a=1&b=9&c=x": v1,
  "shop GET http://api/?a=1&b=z": v1,
  "shop GET http://api/?a=2&b=z&c=x": v1,
});
requestCases("port", matching("{port: 90}"), {
  "shop GET http://api/": v1,
  "shop GET http://api:90/": "api:90/v2 mtls",
});
requestCases("sourceLabels", matching("{sourceLabels: {app: shop}}"), {
  "shop GET http://api/": v2,
  "batch GET http://api.default/": v1,
});
requestCases("sourceNamespace", matching("{sourceNamespace: other}"), {
  "shop GET http://api/": v1,
  "batch GET http://api.default/": v2,
});
requestCases(
  "the conditions of a match hold together, several matches hold alone",
  matching("{uri: {prefix: /a}, method: {exact: GET}}, {headers: {x: {exact: '1'}}}"),
  {
    "shop GET http://api/a": v2,
    "shop POST http://api/a": v1,
    "shop POST http://api/b -H 'x: 1'": v2,
  },
);
requestCases(
  "the first route that matches counts",
  routes(`{match: [{uri: {prefix: /}}], ${to("v1")}}, {match: [{uri: {prefix: /a}}], ${to("v2")}}`),
  {
    "shop GET http://api/a": v1,
  },
);
requestCases("a request that no route matches is not found", routes(`{match: [{uri: {prefix: /a}}], ${to("v2")}}`), {
  "shop GET http://api/a": v2,
  "shop GET http://api/b": "404",
});

requestCases(
  "weights",
  routes(
    "{route: [{destination: {host: api, subset: v1}, weight: 90}, {destination: {host: api, subset: v2}, weight: 10}]}",
  ),
  {
    "shop GET http://api/": `90% ${v1}; 10% ${v2}`,
  },
);
requestCases(
  "weights need not make a hundred, and 0 is nothing",
  routes(
    "{route: [{destination: {host: api, subset: v1}, weight: 1}, {destination: {host: api, subset: v2}, weight: 3}, {destination: {host: old}, weight: 0}]}",
  ),
  {
    "shop GET http://api/": `25% ${v1}; 75% ${v2}`,
  },
);
requestCases(
  "another service, and one of its ports",
  routes(
    "{match: [{uri: {prefix: /cart}}], route: [{destination: {host: cart.other.svc.cluster.local}}]}, {route: [{destination: {host: api, port: {number: 90}}}]}",
  ),
  {
    "shop GET http://api/cart": "cart.other:80 mtls",
    "shop GET http://api/": "api:90 mtls",
  },
);
requestCases(
  "short names are those of the VirtualService's namespace",
  virtualService("hosts: [cart], http: [{route: [{destination: {host: cart}}], rewrite: {uri: /x}}]", "v", "other"),
  {
    "batch GET http://cart/": "cart.other:80 mtls",
    "shop GET http://cart.other/": "cart.other:80 mtls",
    "shop GET http://cart/": "PassthroughCluster",
  },
);

requestCases(
  "redirects and direct responses",
  routes(
    `{match: [{uri: {exact: /old}}], redirect: {uri: /new}}, {match: [{uri: {exact: /moved}}], redirect: {authority: b.example, redirectCode: 308}}, {match: [{uri: {exact: /ok}}], directResponse: {status: 200, body: {string: ok}}}, {match: [{uri: {exact: /teapot}}], directResponse: {status: 418}}, {${to("v1")}}`,
  ),
  {
    "shop GET http://api/old": "301",
    "shop GET http://api/moved": "308",
    "shop GET http://api/ok": "200 itself",
    "shop GET http://api/teapot": "418",
    "shop GET http://api/": v1,
  },
);
requestCases(
  "faults: for all, for some, and for those that match",
  routes(
    `{match: [{uri: {exact: /down}}], fault: {abort: {httpStatus: 503, percentage: {value: 100}}}, ${to("v1")}}, {match: [{uri: {exact: /shaky}}], fault: {abort: {httpStatus: 500, percentage: {value: 20}}}, ${to("v1")}}, {match: [{uri: {exact: /split}}], fault: {abort: {httpStatus: 500, percentage: {value: 50}}}, route: [{destination: {host: api, subset: v1}, weight: 50}, {destination: {host: api, subset: v2}, weight: 50}]}, {fault: {delay: {fixedDelay: 5s, percentage: {value: 100}}}, ${to("v2")}}`,
  ),
  {
    "shop GET http://api/down": "503",
    "shop GET http://api/shaky": `80% ${v1}; 20% 500`,
    "shop GET http://api/split": `25% ${v1}; 25% 500; 25% ${v2}; 25% 500`,
    "shop GET http://api/": v2,
  },
);

requestCases(
  "what the route rewrites and sets is what the workload's policies see",
  `${routes(`{match: [{uri: {prefix: /v1}}], rewrite: {uri: /api}, headers: {request: {set: {x-from: mesh}, remove: [x-secret]}}, ${to("v1")}}, {${to("v1")}}`)}
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec:
  selector: {matchLabels: {app: api}}
  rules: [{to: [{operation: {paths: ["/api*"]}}], when: [{key: "request.headers[x-from]", values: [mesh]}, {key: "request.headers[x-secret]", notValues: ["*"]}]}]
`,
  {
    "shop GET http://api/v1/x -H 'x-secret: s'": v1,
    "shop GET http://api/api": "403 not p[0]",
    "shop GET http://api/api -H 'x-from: mesh'": v1,
  },
);

requestCases(
  "a more specific host counts before a wildcard",
  `${subsets}${virtualService(`hosts: ["*.example.com"], http: [{${to("v1")}}]`, "wild")}${virtualService(`hosts: [a.example.com], http: [{${to("v2")}}]`, "exact")}`,
  {
    "shop GET http://a.example.com/": v2,
    "shop GET http://b.example.com/": v1,
    "shop GET http://x.b.example.com/": v1,
    "shop GET http://example.com/": "PassthroughCluster",
  },
);
requestCases(
  "exportTo: private, one namespace, all",
  `${virtualService(`hosts: [api], exportTo: ["."], http: [{redirect: {uri: /private}}]`)}${virtualService(`hosts: [cart.other.svc.cluster.local], exportTo: [other], http: [{redirect: {uri: /x}}]`, "c")}`,
  {
    "shop GET http://api/": "301",
    "batch GET http://api.default/": "api:80 mtls",
    "shop GET http://cart.other/": "cart.other:80 mtls",
    "batch GET http://cart/": "301",
  },
);
requestCases(
  "a VirtualService of a gateway is not for the mesh",
  `${virtualService("hosts: [api], gateways: [edge], http: [{redirect: {uri: /x}}]")}
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`,
  { "shop GET http://api/": "api:80 mtls", "@ GET http://api.default.svc.cluster.local/": "301" },
);

requestCases(
  "tcp routes: weights, and ports",
  virtualService(
    "hosts: [db], tcp: [{match: [{port: 3306}], route: [{destination: {host: db}, weight: 80}, {destination: {host: safe, port: {number: 443}}, weight: 20}]}]",
  ),
  {
    "shop --protocol tcp db:3306": "80% db:3306 mtls; 20% safe:443 mtls",
  },
);
requestCases(
  "tcp routes by source",
  virtualService(
    "hosts: [db], tcp: [{match: [{sourceLabels: {app: shop}}], route: [{destination: {host: safe, port: {number: 443}}}]}, {route: [{destination: {host: db}}]}]",
  ),
  {
    "shop --protocol tcp db:3306": "safe:443 mtls",
    "batch --protocol tcp db.default:3306": "db:3306 mtls",
  },
);
requestCases(
  "tls routes by server name",
  virtualService(
    "hosts: [safe, a.example], tls: [{match: [{sniHosts: [a.example]}], route: [{destination: {host: api, port: {number: 80}}}]}, {match: [{sniHosts: [safe]}], route: [{destination: {host: safe}}]}]",
  ),
  {
    "shop --protocol tls safe:443": "safe:443 mtls",
    "shop GET https://safe/": "safe:443 mtls",
  },
);
