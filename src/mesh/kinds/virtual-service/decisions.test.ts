// VirtualServices as requests see them: configuration, request, outcome, in a line each.

import { type Decider, decider, decisions } from "../../compile/testing/decisions.ts";
import { bookinfo, ingressGateway, mesh, sidecarOf } from "../../compile/testing/mesh.ts";

const subsets = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: v3, labels: {version: v3}}]
---
`;

/** A VirtualService for reviews in the mesh, as productpage's sidecar has it. */
function rules(http: string, more = ""): () => Decider {
  const yaml = `${subsets}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
${http.replace(/^/gm, "  ")}
---${more}`;
  return () =>
    decider({
      snapshot: mesh(bookinfo, yaml),
      proxy: sidecarOf("productpage", "10.244.0.11"),
      base: "http://reviews:9080",
    });
}

const to = (subset: string): string => `route: [{destination: {host: reviews, subset: ${subset}}}]`;
/** What the match takes goes to v2, the rest to v1. */
const matching = (match: string): (() => Decider) => rules(`- {match: [${match}], ${to("v2")}}\n- {${to("v1")}}`);

decisions("uri exact", matching("{uri: {exact: /a}}"), {
  "/a": "v2",
  "/a?x=1": "v2",
  "/a/": "v1",
  "/A": "v1",
  "/ab": "v1",
  "/": "v1",
  "POST /a": "v2",
});

decisions("uri exact in any case", matching("{uri: {exact: /a/B}, ignoreUriCase: true}"), {
  "/a/b": "v2",
  "/A/B": "v2",
  "/a/c": "v1",
});

decisions("uri prefix", matching("{uri: {prefix: /api}}"), {
  "/api": "v2",
  "/api/1": "v2",
  "/apis": "v2",
  "/ap": "v1",
  "/x/api": "v1",
  "/API": "v1",
});

decisions("uri prefix in any case", matching("{uri: {prefix: /Api}, ignoreUriCase: true}"), {
  "/api/x": "v2",
  "/API": "v2",
  "/ap": "v1",
});

decisions("uri regex is the whole path, without the query", matching('{uri: {regex: "/[0-9]+/(a|b)"}}'), {
  "/1/a": "v2",
  "/12/b?q=1": "v2",
  "/1/ab": "v1",
  "/x/1/a": "v1",
  "/1/c": "v1",
});

decisions("method", matching("{method: {exact: POST}}"), { "POST /": "v2", "GET /": "v1", "PUT /": "v1" });
decisions("method by regex", matching('{method: {regex: "PUT|POST"}}'), {
  "POST /": "v2",
  "PUT /": "v2",
  "GET /": "v1",
  "PUTT /": "v1",
});

decisions("scheme", matching("{scheme: {exact: http}}"), { "/": "v2" });
decisions("another scheme", matching("{scheme: {exact: https}}"), { "/": "v1" });

decisions("authority as the client wrote it", matching('{authority: {exact: "reviews:9080"}}'), {
  "/": "v2",
  "http://reviews.default:9080/": "v1@reviews:9080",
});
decisions("authority by prefix", matching("{authority: {prefix: reviews.default}}"), {
  "/": "v1",
  "http://reviews.default.svc:9080/": "v2@reviews:9080",
});

decisions("header exact", matching("{headers: {x-user: {exact: jason}}}"), {
  "/ x-user: jason": "v2",
  "/ X-User: jason": "v2",
  "/ x-user: Jason": "v1",
  "/ x-user: jasons": "v1",
  "/ x-user: ": "v1",
  "/": "v1",
});
decisions("header prefix", matching("{headers: {x-user: {prefix: ja}}}"), {
  "/ x-user: jason": "v2",
  "/ x-user: ja": "v2",
  "/ x-user: j": "v1",
  "/": "v1",
});
decisions("header regex", matching('{headers: {x-user: {regex: "j.*n"}}}'), {
  "/ x-user: jason": "v2",
  "/ x-user: jn": "v2",
  "/ x-user: jasons": "v1",
  "/": "v1",
});
decisions("header present", matching("{headers: {x-user: {}}}"), {
  "/ x-user: a": "v2",
  "/ x-user: ": "v2",
  "/": "v1",
});
decisions("header present, as the regex *", matching('{headers: {x-user: {regex: "*"}}}'), {
  "/ x-user: a": "v2",
  "/": "v1",
});
decisions("several headers of one match", matching("{headers: {a: {exact: '1'}, b: {exact: '2'}}}"), {
  "/ a: 1 b: 2": "v2",
  "/ b: 2 a: 1": "v2",
  "/ a: 1": "v1",
  "/ b: 2": "v1",
  "/ a: 2 b: 1": "v1",
});

decisions("withoutHeaders exact: absent counts as empty", matching("{withoutHeaders: {x-user: {exact: jason}}}"), {
  "/ x-user: jason": "v1",
  "/ x-user: other": "v2",
  "/": "v2",
});
decisions("withoutHeaders present", matching("{withoutHeaders: {x-user: {}}}"), { "/ x-user: a": "v1", "/": "v2" });
decisions("withoutHeaders prefix", matching("{withoutHeaders: {x-user: {prefix: ja}}}"), {
  "/ x-user: jason": "v1",
  "/ x-user: bob": "v2",
  "/": "v2",
});
decisions("headers and withoutHeaders", matching("{headers: {a: {}}, withoutHeaders: {b: {}}}"), {
  "/ a: 1": "v2",
  "/ a: 1 b: 1": "v1",
  "/ b: 1": "v1",
  "/": "v1",
});

decisions("query parameter exact", matching("{queryParams: {v: {exact: '2'}}}"), {
  "/?v=2": "v2",
  "/?a=1&v=2": "v2",
  "/?v=22": "v1",
  "/?v=": "v1",
  "/?V=2": "v1",
  "/": "v1",
});
decisions("query parameter prefix", matching("{queryParams: {v: {prefix: '2.'}}}"), { "/?v=2.1": "v2", "/?v=2": "v1" });
decisions("query parameter regex", matching('{queryParams: {v: {regex: "[0-9]+"}}}'), {
  "/?v=12": "v2",
  "/?v=1a": "v1",
});
decisions("query parameter present", matching("{queryParams: {v: {}}}"), { "/?v": "v2", "/?v=x": "v2", "/?w=x": "v1" });

decisions("all of one match has to hold", matching("{uri: {prefix: /a}, method: {exact: GET}, headers: {x: {}}}"), {
  "/a x: 1": "v2",
  "POST /a x: 1": "v1",
  "/a": "v1",
  "/b x: 1": "v1",
});
decisions("any of several matches is enough", matching("{uri: {exact: /a}}, {uri: {exact: /b}}, {headers: {x: {}}}"), {
  "/a": "v2",
  "/b": "v2",
  "/c x: 1": "v2",
  "/c": "v1",
});

decisions(
  "the first route that matches",
  rules(`- {match: [{uri: {prefix: /a}}], ${to("v2")}}
- {match: [{uri: {prefix: /a/b}}], ${to("v3")}}
- {match: [{uri: {prefix: /}}], ${to("v1")}}`),
  { "/a/b": "v2", "/a": "v2", "/b": "v1" },
);

decisions("without a route for the rest there is none", rules(`- {match: [{uri: {exact: /a}}], ${to("v2")}}`), {
  "/a": "v2",
  "/b": "404",
});

decisions("port of a match", matching("{port: 9080}"), { "/": "v2" });
decisions("another port", matching("{port: 80}"), { "/": "v1" });
decisions("source labels of this client", matching("{sourceLabels: {app: productpage}}"), { "/": "v2" });
decisions("source labels of another client", matching("{sourceLabels: {app: ratings}}"), { "/": "v1" });
decisions("source namespace of this client", matching("{sourceNamespace: default}"), { "/": "v2" });
decisions("another source namespace", matching("{sourceNamespace: shop}"), { "/": "v1" });
decisions("gateways of a match: the mesh", matching("{gateways: [mesh]}"), { "/": "v2" });
decisions("gateways of a match: a gateway", matching("{gateways: [edge]}"), { "/": "v1" });
decisions("naming gateways switches the source off", matching("{gateways: [mesh], sourceNamespace: shop}"), {
  "/": "v2",
});

const weighted = (weights: readonly number[]): (() => Decider) =>
  rules(
    `- {route: [${weights.map((weight, i) => `{destination: {host: reviews, subset: v${i + 1}}, weight: ${weight}}`).join()}]}`,
  );
decisions("weights", weighted([50, 30, 20]), {
  "/ ?0": "v1",
  "/ ?.49": "v1",
  "/ ?.51": "v2",
  "/ ?.79": "v2",
  "/ ?.81": "v3",
  "/ ?.99": "v3",
});
decisions("weights that do not add up to 100", weighted([1, 3]), { "/ ?.24": "v1", "/ ?.26": "v2" });
decisions("no weight takes nothing", weighted([0, 1]), { "/ ?0": "v2", "/ ?.99": "v2" });
decisions("the only destination needs no weight", rules(`- {${to("v3")}}`), { "/ ?.9": "v3" });

const destination = (text: string): (() => Decider) => rules(`- {route: [{destination: ${text}}]}`);
decisions("another service", destination("{host: ratings}"), { "/": "ratings:9080" });
decisions("another service by its full name", destination("{host: ratings.default.svc.cluster.local}"), {
  "/": "ratings:9080",
});
decisions("a port that the service has not", destination("{host: reviews, port: {number: 81}}"), {
  "/": "reviews:81 503",
});
decisions("a subset that does not exist", destination("{host: reviews, subset: v9}"), { "/": "v9 503" });
decisions("a service that does not exist", destination("{host: nobody}"), { "/": "nobody:9080 503" });
decisions(
  "the one port of the destination",
  destination("{host: istio-ingressgateway.istio-system.svc.cluster.local}"),
  {
    "/": "istio-ingressgateway.istio-system.svc.cluster.local:80",
  },
);

const rewriting = (match: string, rewrite: string): (() => Decider) =>
  rules(`- {match: [{uri: ${match}}], rewrite: ${rewrite}, ${to("v2")}}\n- {${to("v1")}}`);
decisions("rewrite of a prefix", rewriting("{prefix: /old}", "{uri: /new}"), {
  "/old": "v2 /new",
  "/old/a?q=1": "v2 /new/a?q=1",
  "/older": "v2 /newer",
  "/x": "v1",
});
decisions("rewrite of a prefix with its slash", rewriting("{prefix: /old/}", "{uri: /}"), {
  "/old/a": "v2 /a",
  "/old": "v1",
});
decisions("rewrite of a whole path", rewriting("{exact: /old}", "{uri: /new}"), { "/old?q=1": "v2 /new?q=1" });
decisions("rewrite of the authority", rewriting("{prefix: /}", "{authority: other.example.com}"), {
  "/a": "v2 as other.example.com",
});
decisions(
  "rewrite by a regular expression",
  rewriting("{prefix: /}", '{uriRegexRewrite: {match: "^/v[0-9]/(.*)", rewrite: "/\\\\1"}}'),
  {
    "/v1/a?q=/v1/": "v2 /a?q=/v1/",
    "/w1/a": "v2",
  },
);
decisions(
  "host among the headers of a route",
  rules(`- {headers: {request: {set: {host: a.example.com}}}, ${to("v2")}}`),
  {
    "/": "v2 as a.example.com",
  },
);

const redirecting = (redirect: string, match = "{prefix: /}"): (() => Decider) =>
  rules(`- {match: [{uri: ${match}}], redirect: ${redirect}}`);
decisions("redirect of the path", redirecting("{uri: /new}"), { "/old": "301 http://reviews:9080/new" });
decisions("redirect to another host keeps the path", redirecting("{authority: example.com}"), {
  "/old": "301 http://example.com/old",
});
decisions("redirect to https", redirecting("{scheme: https, authority: example.com}"), {
  "/old": "301 https://example.com/old",
});
decisions("redirect to https keeps a port that http does not imply", redirecting("{scheme: https}"), {
  "/": "301 https://reviews:9080/",
});
decisions("redirect with a port", redirecting("{authority: example.com, port: 8080}"), {
  "/": "301 http://example.com:8080/",
});
decisions("redirect to the default port says none", redirecting("{scheme: https, authority: example.com, port: 443}"), {
  "/": "301 https://example.com/",
});
decisions(
  "redirect to the port of the request",
  redirecting("{authority: example.com, derivePort: FROM_REQUEST_PORT}"),
  {
    "/": "301 http://example.com:9080/",
  },
);
decisions(
  "redirect to the port of the protocol",
  redirecting("{authority: example.com, derivePort: FROM_PROTOCOL_DEFAULT}"),
  {
    "/": "301 http://example.com/",
  },
);
for (const code of [301, 302, 303, 307, 308]) {
  decisions(`redirect with ${code}`, redirecting(`{uri: /new, redirectCode: ${code}}`), {
    "/": `${code} http://reviews:9080/new`,
  });
}
decisions("redirect of a prefix", redirecting("{prefixRewrite: /new}", "{prefix: /old}"), {
  "/old/a": "301 http://reviews:9080/new/a",
});

const answering = (response: string): (() => Decider) => rules(`- {directResponse: ${response}}`);
decisions("direct response", answering("{status: 503}"), { "/": "503" });
decisions("direct response with a text", answering("{status: 200, body: {string: hello}}"), { "/": "200 hello" });
decisions("direct response with bytes", answering("{status: 200, body: {bytes: aGVsbG8=}}"), { "/": "200 hello" });

const part = (http: string, more = ""): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part}
spec:
  ${more}
  http:
${http.replace(/^/gm, "  ")}
`;
const delegating = (rootMatch: string, http: string, more = ""): (() => Decider) =>
  rules(`- {${rootMatch}delegate: {name: part}}\n- {${to("v1")}}`, part(http, more));
decisions(
  "delegate: its routes, where the root's match holds",
  delegating("match: [{uri: {prefix: /api}}], ", `- {match: [{headers: {beta: {}}}], ${to("v3")}}\n- {${to("v2")}}`),
  {
    "/api/1 beta: 1": "v3",
    "/api/1": "v2",
    "/other beta: 1": "v1",
    "/other": "v1",
  },
);
decisions(
  "delegate: a longer prefix",
  delegating("match: [{uri: {prefix: /api}}], ", `- {match: [{uri: {prefix: /api/v2}}], ${to("v2")}}`),
  {
    "/api/v2/x": "v2",
    "/api/v1": "v1",
  },
);
decisions(
  "delegate: a route that does not fit is left out",
  delegating("match: [{uri: {prefix: /api}}], ", `- {match: [{uri: {prefix: /other}}], ${to("v3")}}\n- {${to("v2")}}`),
  {
    "/api/1": "v2",
    "/other": "v1",
  },
);
decisions(
  "delegate: the root's rewrite holds where it has none",
  delegating(
    "match: [{uri: {prefix: /api}}], rewrite: {uri: /}, ",
    `- {match: [{uri: {exact: /api/own}}], rewrite: {uri: /mine}, ${to("v3")}}\n- {${to("v2")}}`,
  ),
  {
    "/api": "v2 /",
    "/api/own": "v3 /mine",
  },
);
decisions("delegate: one that is not exported is left out", delegating("", `- {${to("v2")}}`, 'exportTo: ["~"]'), {
  "/": "v1",
});
decisions("delegate: one that does not exist is left out", rules(`- {delegate: {name: nobody}}\n- {${to("v1")}}`), {
  "/": "v1",
});

/** A gateway for plain HTTP and the VirtualServices bound to it. */
function atGateway(hosts: string, ...virtualServices: string[]): () => Decider {
  const yaml = `${subsets}
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ${hosts}}]
---
${virtualServices
  .map(
    (spec, i) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs-${i}, creationTimestamp: "2026-01-0${i + 1}T00:00:00Z"}
spec: ${spec}
`,
  )
  .join("---")}`;
  return () =>
    decider({ snapshot: mesh(bookinfo, yaml), proxy: ingressGateway(), base: "http://shop.example.com:8080" });
}
const toPort = (host: string): string => `route: [{destination: {host: ${host}, port: {number: 9080}}}]`;

decisions(
  "gateway: hosts choose the VirtualService",
  atGateway(
    '["*"]',
    `{hosts: [shop.example.com], gateways: [edge], http: [{${toPort("productpage")}}]}`,
    `{hosts: ["*.example.com"], gateways: [edge], http: [{${toPort("reviews")}}]}`,
    `{hosts: [other.org], gateways: [mesh], http: [{${toPort("ratings")}}]}`,
  ),
  {
    "/": "productpage:9080",
    "http://a.example.com:8080/": "reviews:9080",
    "http://a.b.example.com:8080/": "reviews:9080",
    "http://example.com:8080/": "404",
    "http://other.org:8080/": "404",
  },
);
decisions(
  "gateway: VirtualServices of one host are joined, the older first",
  atGateway(
    '["*"]',
    `{hosts: [shop.example.com], gateways: [edge], http: [{match: [{uri: {prefix: /a}}], ${toPort("productpage")}}, {${toPort("details")}}]}`,
    `{hosts: [shop.example.com], gateways: [edge], http: [{match: [{uri: {prefix: /a/b}}], ${toPort("reviews")}}, {match: [{uri: {prefix: /c}}], ${toPort("ratings")}}]}`,
  ),
  {
    "/a": "productpage:9080",
    "/a/b": "productpage:9080",
    "/c": "ratings:9080",
    "/": "details:9080",
  },
);
decisions(
  "gateway: a server admits the hosts it names",
  atGateway("[shop.example.com]", `{hosts: ["*"], gateways: [edge], http: [{${toPort("reviews")}}]}`),
  {
    "/": "reviews:9080",
    "http://other.example.com:8080/": "404",
  },
);
decisions(
  "gateway: a match for the mesh does not hold there",
  atGateway(
    '["*"]',
    `{hosts: [shop.example.com], gateways: [edge, mesh], http: [{match: [{gateways: [mesh]}], ${toPort("ratings")}}, {match: [{gateways: [edge]}], ${toPort("reviews")}}]}`,
  ),
  {
    "/": "reviews:9080",
  },
);
decisions(
  "gateway: a destination that names no port takes the service's only one",
  atGateway(
    '["*"]',
    `{hosts: [shop.example.com], gateways: [edge], http: [{route: [{destination: {host: reviews, subset: v2}}]}]}`,
  ),
  {
    "/": "v2@reviews:9080",
  },
);

/** Several VirtualServices in the mesh, oldest first. */
function several(...specs: string[]): () => Decider {
  const yaml = specs.map(
    (spec, i) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs-${i}, creationTimestamp: "2026-01-0${i + 1}T00:00:00Z"}
spec: ${spec}
`,
  );
  return () =>
    decider({
      snapshot: mesh(bookinfo, [subsets, ...yaml].join("---")),
      proxy: sidecarOf("productpage", "10.244.0.11"),
      base: "http://reviews:9080",
    });
}
decisions(
  "mesh: of two for one host the older one speaks",
  several(
    `{hosts: [reviews], http: [{match: [{uri: {exact: /a}}], ${to("v2")}}]}`,
    `{hosts: [reviews], http: [{${to("v3")}}]}`,
  ),
  {
    "/a": "v2",
    "/b": "404",
  },
);
decisions(
  "mesh: one that is exported to nobody else comes before public ones",
  several(`{hosts: [reviews], http: [{${to("v2")}}]}`, `{hosts: [reviews], exportTo: ["."], http: [{${to("v3")}}]}`),
  { "/": "v3" },
);
decisions(
  "mesh: a full name and a short name are one host",
  several(`{hosts: [reviews.default.svc.cluster.local], http: [{${to("v2")}}]}`),
  {
    "/": "v2",
    "http://reviews.default:9080/": "v2@reviews:9080",
    "http://reviews.default.svc.cluster.local:9080/": "v2@reviews:9080",
    "http://10.96.0.13:9080/": "v2@reviews:9080",
  },
);
decisions(
  "mesh: a wildcard speaks for services that nobody speaks for by name",
  several(
    `{hosts: ["*.default.svc.cluster.local"], http: [{${to("v2")}}]}`,
    `{hosts: [ratings], http: [{${to("v3")}}]}`,
  ),
  {
    "http://details:9080/": "v2@reviews:9080",
    "http://ratings:9080/": "v3@reviews:9080",
    "/": "v2",
  },
);
decisions(
  "mesh: one that names only a gateway does not count",
  several(`{hosts: [reviews], gateways: [edge], http: [{${to("v2")}}]}`),
  { "/": "itself" },
);

const tokens = `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  jwtRules: [{issuer: me, jwks: '{"keys":[]}'}]
---
`;
/** What the match takes goes to reviews, the rest to ratings. */
const byToken = (match: string): (() => Decider) =>
  atGateway(
    '["*"]',
    `{hosts: ["*"], gateways: [edge], http: [{match: [${match}], ${toPort("reviews")}}, {${toPort("ratings")}}]}
---${tokens}`,
  );
const [taken, rest] = ["reviews:9080", "ratings:9080"];

decisions("claim exact, of a good token", byToken('{headers: {"@request.auth.claims.group": {exact: admin}}}'), {
  "/ @iss: me @group: admin": taken,
  "/ @iss: me @group: user": rest,
  "/ @iss: me @group: user,admin": taken,
  "/ @iss: me": rest,
  "/": rest,
  "/ group: admin": rest,
  "/ @iss: other @group: admin": "401",
});
decisions("claim in brackets", byToken('{headers: {"@request.auth.claims[a][b]": {prefix: x}}}'), {
  "/ @iss: me @a.b: xyz": taken,
  "/ @iss: me @a.b: y": rest,
  "/ @iss: me @a: x": rest,
});
decisions(
  "claim that is there, and regex",
  byToken('{headers: {"@request.auth.claims.a.b": {}, "@request.auth.claims.c": {regex: "[0-9]+"}}}'),
  {
    "/ @iss: me @a.b: any @c: 12": taken,
    "/ @iss: me @a.b: any @c: x": rest,
    "/ @iss: me @c: 12": rest,
  },
);
decisions("withoutHeaders on a claim", byToken('{withoutHeaders: {"@request.auth.claims.group": {exact: admin}}}'), {
  "/ @iss: me @group: admin": rest,
  "/ @iss: me @group: user": taken,
  "/ @iss: me": taken,
});
