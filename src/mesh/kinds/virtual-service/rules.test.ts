// Istio's validation of VirtualServices, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { virtualService } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}]}]}": "",
  "{hosts: [foo.bar]}": "E ",
  "{}": "E ",
  "{http: [{route: [{destination: {host: foo.baz}}]}]}": "",
  "{gateways: [a], http: [{route: [{destination: {host: foo.baz}}]}]}": "E gateways",
  '{hosts: ["*"], http: [{route: [{destination: {host: foo.baz}}]}]}': "E hosts[0]",
  '{hosts: ["*"], gateways: [a], http: [{route: [{destination: {host: foo.baz}}]}]}': "",
  '{hosts: ["*"], gateways: [a, mesh], http: [{route: [{destination: {host: foo.baz}}]}]}': "E hosts[0]",
  "{hosts: [foo.bar, foo.bar], http: [{route: [{destination: {host: foo.baz}}]}]}": "E hosts[1]",
  '{hosts: ["*.foo.com", "*.com"], gateways: [a], http: [{route: [{destination: {host: foo.baz}}]}]}': "E hosts[0]",
  '{hosts: ["*.foo.com", "a.foo.com"], gateways: [a], http: [{route: [{destination: {host: foo.baz}}]}]}': "E hosts[1]",
  '{hosts: ["*.foo.com", "*.bar.com"], gateways: [a], http: [{route: [{destination: {host: foo.baz}}]}]}': "",
  '{hosts: ["foo.*.com"], http: [{route: [{destination: {host: foo.baz}}]}]}': "E hosts[0]",
  '{hosts: ["1.2.3.4"], http: [{route: [{destination: {host: foo.baz}}]}]}': "",
  "{hosts: [foo.bar], gateways: [ns1/gateway], http: [{route: [{destination: {host: foo.baz}}]}]}": "",
  '{hosts: [foo.bar], gateways: ["b@dgateway"], http: [{route: [{destination: {host: foo.baz}}]}]}': "E gateways[0]",
  '{hosts: [foo.bar], gateways: ["/gateway"], http: [{route: [{destination: {host: foo.baz}}]}]}': "E gateways[0]",
  '{hosts: [foo.bar], gateways: ["n$/gateway"], http: [{route: [{destination: {host: foo.baz}}]}]}': "E gateways[0]",
  '{hosts: [foo.bar], gateways: ["ns/g.w"], http: [{route: [{destination: {host: foo.baz}}]}]}': "E gateways[0]",
  '{hosts: [foo.bar], gateways: ["g.ns.svc.cluster.local"], http: [{route: [{destination: {host: foo.baz}}]}]}':
    "W gateways[0]",
  '{hosts: [foo.bar], gateways: ["g.ns"], http: [{route: [{destination: {host: foo.baz}}]}]}': "W gateways[0]",
  '{hosts: [foo.bar], http: [{match: [{headers: {"@request.auth.claims.foo": {exact: a}}}], route: [{destination: {host: foo.baz}}]}]}':
    'E http[0].match[0].headers["@request.auth.claims.foo"]',
  '{hosts: [foo.bar], gateways: [a], http: [{match: [{headers: {"@request.auth.claims.foo": {exact: a}}}], route: [{destination: {host: foo.baz}}]}]}':
    "",
  '{hosts: [foo.bar], gateways: [a,mesh], http: [{match: [{headers: {"@request.auth.claims.foo": {exact: a}}}], route: [{destination: {host: foo.baz}}]}]}':
    'E http[0].match[0].headers["@request.auth.claims.foo"]',
  '{hosts: [foo.bar], gateways: [a], http: [{match: [{headers: {"@request.auth.foo": {exact: a}}}], route: [{destination: {host: foo.baz}}]}]}':
    'E http[0].match[0].headers["@request.auth.foo"]',
  '{hosts: [foo.bar], gateways: [a], http: [{match: [{headers: {"@request.auth.claims[foo][bar]": {exact: a}}}], route: [{destination: {host: foo.baz}}]}]}':
    "",
  "{hosts: [foo.bar], http: [null]}": "E http[0]",
  "{hosts: [foo.bar], http: [{}]}": "E http[0]",
  "{hosts: [foo.bar], http: [{route: [{}]}]}": "E http[0].route[0].destination.host",
  "{hosts: [foo.bar], http: [{route: [null]}]}": "E http[0].route[0]",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: foo.baz}}], redirect: {uri: /}}]}": "E http[0]",
  "{hosts: [foo.bar], http: [{redirect: {uri: /}}]}": "",
  "{hosts: [foo.bar], http: [{redirect: {}}]}": "E http[0].redirect",
  "{hosts: [foo.bar], http: [{redirect: {redirectCode: 308, port: 80}}]}": "",
  "{hosts: [foo.bar], http: [{redirect: {uri: /, redirectCode: 200}}]}": "E http[0].redirect.redirectCode",
  "{hosts: [foo.bar], http: [{redirect: {uri: /, scheme: ftp}}]}": "E http[0].redirect.scheme",
  "{hosts: [foo.bar], http: [{redirect: {scheme: https}}]}": "",
  "{hosts: [foo.bar], http: [{redirect: {derivePort: FROM_REQUEST_PORT}}]}": "",
  "{hosts: [foo.bar], http: [{redirect: {uri: /, port: 70000}}]}": "E http[0].redirect.port",
  "{hosts: [foo.bar], http: [{redirect: {uri: /}, fault: {abort: {httpStatus: 500}}}]}": "E http[0].fault",
  "{hosts: [foo.bar], http: [{redirect: {uri: /}, rewrite: {uri: /}}]}": "E http[0].rewrite",
  "{hosts: [foo.bar], http: [{directResponse: {status: 200}}]}": "",
  "{hosts: [foo.bar], http: [{directResponse: {status: 200, body: {string: hi}}}]}": "",
  "{hosts: [foo.bar], http: [{directResponse: {status: 100}}]}": "E http[0].directResponse.status",
  "{hosts: [foo.bar], http: [{directResponse: {}}]}": "E http[0].directResponse.status",
  "{hosts: [foo.bar], http: [{directResponse: {status: 200}, redirect: {uri: /}}]}": "E http[0]",
  "{hosts: [foo.bar], http: [{directResponse: {status: 200}, fault: {abort: {httpStatus: 500}}}]}": "E http[0].fault",
  "{hosts: [foo.bar], http: [{directResponse: {status: 200}, rewrite: {uri: /}}]}": "E http[0].rewrite",
  "{hosts: [foo.bar], http: [{directResponse: {status: 200}, route: [{destination: {host: a.b}}]}]}": "E http[0]",
  "{hosts: [foo.bar], http: [{delegate: {name: a, namespace: b}}]}": "",
  "{hosts: [foo.bar], http: [{delegate: {name: a}, route: [{destination: {host: a.b}}]}]}": "E http[0]",
  "{hosts: [foo.bar], http: [{delegate: {name: a}, redirect: {uri: /}}]}": "E http[0]",
  "{http: [{delegate: {name: a}}]}": "E http[0].delegate",
  '{hosts: [foo.bar], http: [{match: [{uri: {regex: "a.*"}}], delegate: {name: a}}]}': "",
  '{hosts: [foo.bar], http: [{match: [{headers: {a: {regex: "a.*"}}}], delegate: {name: a}}]}': "",
  '{hosts: [foo.bar], http: [{match: [{queryParams: {a: {regex: "a.*"}}}], delegate: {name: a}}]}': "",
  '{http: [{match: [{uri: {regex: "a.*"}}], route: [{destination: {host: a.b}}]}]}': "",
  '{hosts: [foo.bar], http: [{match: [{withoutHeaders: {a: {regex: "a.*"}}}], delegate: {name: a}}]}': "",
  '{hosts: [foo.bar], http: [{match: [{uri: {regex: "a.*"}}], route: [{destination: {host: a.b}}]}]}': "",
  '{hosts: [foo.bar], http: [{match: [{uri: {regex: "["}}], route: [{destination: {host: a.b}}]}]}':
    "E http[0].match[0].uri.regex",
  '{hosts: [foo.bar], http: [{match: [{uri: {regex: ""}}], route: [{destination: {host: a.b}}]}]}':
    "E http[0].match[0].uri.regex",
  '{hosts: [foo.bar], http: [{match: [{uri: {prefix: ""}}], route: [{destination: {host: a.b}}]}]}': "",
  "{hosts: [foo.bar], http: [{match: [{headers: {a: {}}}], route: [{destination: {host: a.b}}]}]}": "",
  "{hosts: [foo.bar], http: [{match: [{headers: {a: null}}], route: [{destination: {host: a.b}}]}]}":
    "E http[0].match[0].headers.a",
  '{hosts: [foo.bar], http: [{match: [{headers: {"": {exact: a}}}], route: [{destination: {host: a.b}}]}]}':
    'E http[0].match[0].headers[""]',
  '{hosts: [foo.bar], http: [{match: [{headers: {"a.b": {exact: a}}}], route: [{destination: {host: a.b}}]}]}':
    'E http[0].match[0].headers["a.b"]',
  '{hosts: [foo.bar], http: [{match: [{headers: {":authority": {exact: a}}}], route: [{destination: {host: a.b}}]}]}':
    "E ",
  "{hosts: [foo.bar], http: [{match: [null], route: [{destination: {host: a.b}}]}]}": "E http[0].match[0]",
  "{hosts: [foo.bar], http: [{match: [{port: 70000}], route: [{destination: {host: a.b}}]}]}":
    "E http[0].match[0].port",
  '{hosts: [foo.bar], http: [{match: [{sourceLabels: {"a b": c}}], route: [{destination: {host: a.b}}]}]}':
    "E http[0].match[0].sourceLabels",
  '{hosts: [foo.bar], http: [{match: [{gateways: ["a/b/c/d$"]}], route: [{destination: {host: a.b}}]}]}':
    "E http[0].match[0].gateways[0]",
  '{hosts: [foo.bar], http: [{match: [{gateways: ["b@d"]}], route: [{destination: {host: a.b}}]}]}':
    "E http[0].match[0].gateways[0]",
  '{hosts: [foo.bar], http: [{match: [{sourceNamespace: "a_b"}], route: [{destination: {host: a.b}}]}]}':
    "E http[0].match[0].sourceNamespace",
  '{hosts: [foo.bar], http: [{match: [{sourceNamespace: "ab"}], route: [{destination: {host: a.b}}]}]}': "",
  '{hosts: [foo.bar], http: [{match: [{queryParams: {a: {exact: ""}}}], route: [{destination: {host: a.b}}]}]}': "",
  '{hosts: [foo.bar], http: [{match: [{queryParams: {a: {prefix: ""}}}], route: [{destination: {host: a.b}}]}]}':
    'E http[0].match[0].queryParams["a"].prefix',
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, weight: -1}]}]}": "E http[0].route[0].weight",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, weight: 0},{destination: {host: a.c}, weight: 0}]}]}":
    "E http[0].route",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, weight: 0}]}]}": "",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, weight: 50},{destination: {host: a.c}, weight: 25}]}]}":
    "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: "*"}}]}]}': "E http[0].route[0].destination.host",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: ""}}]}]}': "E http[0].route[0].destination.host",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: "a.b", subset: "a.b"}}]}]}':
    "E http[0].route[0].destination.subset",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: "a.b", subset: "v1", port: {number: 80}}}]}]}': "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: "a.b", port: {number: 0}}}]}]}':
    "E http[0].route[0].destination.port.number",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: "a.b", port: {}}}]}]}':
    "E http[0].route[0].destination.port.number",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: "1.2.3.4"}}]}]}': "E http[0].route[0].destination.host",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: "*.a.b"}}]}]}': "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, headers: {request: {set: {":path": a}}}}]}]}': "E ",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, headers: {request: {set: {":authority": a}}}}]}]}': "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, headers: {request: {set: {"Host": a}}}}]}]}': "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, headers: {request: {remove: ["Host"]}}}]}]}':
    "E http[0].route[0].headers.request.remove[0]",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, headers: {response: {set: {"Host": a}}}}]}]}':
    'E http[0].route[0].headers.response.set["Host"]',
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, headers: {response: {add: {":status": a}}}}]}]}': "E ",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}, headers: {response: {remove: [""]}}}]}]}':
    "E http[0].route[0].headers.response.remove[0]",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], headers: {request: {set: {"": a}}}}]}':
    'E http[0].headers.request.set[""]',
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], headers: {request: {set: {"a": "abc%123"}}}}]}':
    'E http[0].headers.request.set["a"]',
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], headers: {request: {set: {"a": "%START_TIME%%"}}}}]}':
    'E http[0].headers.request.set["a"]',
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], headers: {request: {set: {"a": "100%%"}}}}]}': "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], headers: {request: {set: {"a": "x %HOSTNAME% y"}}}}]}':
    "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], headers: {request: {set: {"a": "x\\ny"}}}}]}':
    'E http[0].headers.request.set["a"]',
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], rewrite: {authority: x}, headers: {request: {set: {":authority": y}}}}]}':
    "E ",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], headers: {request: {set: {":authority": y}, add: {host: z}}}}]}':
    'E http[0].headers.request.add["host"]',
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], rewrite: {}}]}": "E http[0].rewrite",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}}]}":
    "E http[0].rewrite",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], rewrite: {uriRegexRewrite: {match: a}}}]}":
    "E http[0].rewrite.uriRegexRewrite",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], rewrite: {uriRegexRewrite: {match: "[", rewrite: b}}}]}':
    "E http[0].rewrite.uriRegexRewrite.match",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], rewrite: {uriRegexRewrite: {match: "a", rewrite: b}, authority: x}}]}':
    "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: 2, perTryTimeout: 2s, retryOn: "5xx,gateway-error"}}]}':
    "",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: -1}}]}":
    "E http[0].retries.attempts",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: 0, perTryTimeout: 2s}}]}":
    "E http[0].retries",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: 0, retryOn: 5xx}}]}":
    "E http[0].retries",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: 0}}]}": "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: 2, perTryTimeout: "1us"}}]}':
    "E http[0].retries.perTryTimeout",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: 2, retryOn: "5xx,invalid"}}]}':
    "E http[0].retries.retryOn",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: 2, retryOn: "5xx,503,retriable-headers,reset-before-request,http3-post-connect-failure,envoy-ratelimited"}}]}':
    "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: 2, retryOn: "5xx,999"}}]}':
    "E http[0].retries.retryOn",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], retries: {attempts: 2, retryOn: "5xx, 503"}}]}':
    "E http[0].retries.retryOn",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], timeout: "1us"}]}': "E http[0].timeout",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], timeout: "0s"}]}': "E http[0].timeout",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], timeout: "1.5s"}]}': "",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], timeout: "1.5ms"}]}': "E http[0].timeout",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], timeout: "-1s"}]}': "E http[0].timeout",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {delay: {fixedDelay: 5s, percentage: {value: 10}}, abort: {httpStatus: 400}}}]}":
    "",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {}}]}": "E http[0].fault",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {delay: {fixedDelay: 0s}}}]}":
    "E http[0].fault.delay.fixedDelay",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {delay: {exponentialDelay: 5s}}}]}":
    "E http[0].fault.delay.exponentialDelay",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {delay: {fixedDelay: 5s, percentage: {value: 101}}}}]}":
    "E http[0].fault.delay.percentage",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {delay: {fixedDelay: 5s, percentage: {value: 0.00001}}}}]}":
    "E http[0].fault.delay.percentage",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {delay: {fixedDelay: 5s, percentage: {value: 0.001}}}}]}":
    "",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {abort: {httpStatus: 100}}}]}":
    "E http[0].fault.abort.httpStatus",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {abort: {httpStatus: 9000}}}]}":
    "E http[0].fault.abort.httpStatus",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {abort: {grpcStatus: UNAVAILABLE}}}]}": "",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {abort: {grpcStatus: MYSTERY}}}]}":
    "E http[0].fault.abort.grpcStatus",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {abort: {http2Error: x}}}]}":
    "E http[0].fault.abort.http2Error",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], fault: {abort: {percentage: {value: 10}}}}]}":
    "W http[0].fault.abort",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {allowOrigins: [{exact: a}], allowMethods: [GET, POST], allowHeaders: [header1, "*"], exposeHeaders: [a], maxAge: 2s}}]}':
    "",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {allowMethods: [GET, PUTTT]}}]}":
    "E http[0].corsPolicy.allowMethods[1]",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {allowHeaders: [""]}}]}':
    "E http[0].corsPolicy.allowHeaders[0]",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {allowHeaders: ["a b"]}}]}':
    "E http[0].corsPolicy.allowHeaders[0]",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {exposeHeaders: ["a b"]}}]}':
    "E http[0].corsPolicy.exposeHeaders[0]",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {maxAge: 2.5s}}]}":
    "E http[0].corsPolicy.maxAge",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {maxAge: 0s}}]}":
    "E http[0].corsPolicy.maxAge",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {allowOrigins: [{exact: ""}]}}]}':
    "E http[0].corsPolicy.allowOrigins[0]",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {allowOrigins: [{}]}}]}":
    "E http[0].corsPolicy.allowOrigins[0]",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], corsPolicy: {allowOrigins: [{regex: "["}]}}]}':
    "E http[0].corsPolicy.allowOrigins[0].regex",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirror: {host: c.d}, mirrorPercentage: {value: 10}}]}":
    "",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirror: {host: c.d}, mirrorPercent: 50}]}":
    "W http[0].mirrorPercent",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirror: {host: c.d}, mirrorPercent: 101}]}":
    "E http[0].mirrorPercent",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirror: {host: c.d}, mirrorPercentage: {value: 101}}]}":
    "E http[0].mirrorPercentage",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirror: {host: c.d}, mirrorPercentage: {value: -1}}]}":
    "E http[0].mirrorPercentage",
  '{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirror: {host: "*"}}]}': "E http[0].mirror.host",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirrors: [{destination: {host: c.d}, percentage: {value: 10}}]}]}":
    "",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirrors: [{percentage: {value: 10}}]}]}":
    "E http[0].mirrors[0].destination.host",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirrors: [{destination: {host: c.d}, percentage: {value: 110}}]}]}":
    "E http[0].mirrors[0].percentage",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}], mirror: {host: c.d}, mirrors: [{destination: {host: c.d}}]}]}":
    "E http[0].mirrors",
  "{hosts: [foo.bar], http: [{route: [{destination: {host: a.b}}]},{route: [{destination: {host: a.b}}]}]}": "",
  "{hosts: [foo.bar], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: a.b}}]},{match: [{uri: {prefix: /a}}], route: [{destination: {host: a.b}}]}]}":
    "",
  "{hosts: [foo.bar], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: a.b}}]},{match: [{uri: {prefix: /ab}}], route: [{destination: {host: a.b}}]}]}":
    "",
  "{hosts: [foo.bar], http: [{match: [{uri: {prefix: /ab}}], route: [{destination: {host: a.b}}]},{match: [{uri: {prefix: /a}}], route: [{destination: {host: a.b}}]}]}":
    "",
  "{hosts: [foo.bar], tls: [{route: [{destination: {host: a.b}}]}]}": "E tls[0]",
  "{hosts: [foo.bar], tls: [{match: [{sniHosts: [foo.bar]}], route: [{destination: {host: a.b}}]}]}": "",
  "{hosts: [foo.bar], tls: [{match: [{}], route: [{destination: {host: a.b}}]}]}": "E tls[0].match[0]",
  "{hosts: [foo.bar], tls: [{match: [{sniHosts: [other]}], route: [{destination: {host: a.b}}]}]}":
    "E tls[0].match[0].sniHosts[0]",
  "{hosts: [foo.bar], tls: [{match: [{sniHosts: [foo.bar]}]}]}": "E tls[0]",
  "{hosts: [foo.bar], tls: [{match: [{sniHosts: [foo.bar], port: 70000}], route: [{destination: {host: a.b}}]}]}":
    "E tls[0].match[0].port",
  "{hosts: [foo.bar], tls: [{match: [{sniHosts: [foo.bar], destinationSubnets: [a]}], route: [{destination: {host: a.b}}]}]}":
    "E tls[0].match[0].destinationSubnets[0]",
  '{hosts: [foo.bar], tls: [{match: [{sniHosts: [foo.bar], gateways: ["@#$"]}], route: [{destination: {host: a.b}}]}]}':
    "E tls[0].match[0].gateways[0]",
  '{hosts: [foo.bar], tls: [{match: [{sniHosts: [foo.bar], sourceLabels: {"a ": b}}], route: [{destination: {host: a.b}}]}]}':
    "E tls[0].match[0].sourceLabels",
  '{hosts: ["*.bar"], gateways: [a], tls: [{match: [{sniHosts: ["*.foo.bar"]}], route: [{destination: {host: a.b}}]}]}':
    "",
  '{hosts: ["*"], gateways: [a], tls: [{match: [{sniHosts: ["*"]}], route: [{destination: {host: a.b}}]}]}': "",
  '{hosts: ["1.1.1.1"], tls: [{match: [{sniHosts: ["1.1.1.1"]}], route: [{destination: {host: a.b}}]}]}':
    "W tls[0].match[0].sniHosts[0]",
  "{hosts: [foo.bar], tls: [null]}": "E tls[0]",
  "{hosts: [foo.bar], tcp: [{route: [{destination: {host: a.b}}]}]}": "",
  "{hosts: [foo.bar], tcp: [{}]}": "E tcp[0]",
  "{hosts: [foo.bar], tcp: [{match: [{port: 70000}], route: [{destination: {host: a.b}}]}]}": "E tcp[0].match[0].port",
  '{hosts: [foo.bar], tcp: [{match: [{gateways: ["@#$"]}], route: [{destination: {host: a.b}}]}]}':
    "E tcp[0].match[0].gateways[0]",
  '{hosts: [foo.bar], tcp: [{match: [{destinationSubnets: ["1.2.3.4/99"]}], route: [{destination: {host: a.b}}]}]}':
    "E tcp[0].match[0].destinationSubnets[0]",
  "{hosts: [foo.bar], tcp: [{route: [{destination: {host: a.b}, weight: 0},{destination: {host: a.c}, weight: 0}]}]}":
    "E tcp[0].route",
  '{hosts: ["outbound_.80_._.e2e.foobar.mesh"], gateways: [a], tls: [{match: [{sniHosts: ["outbound_.80_._.e2e.foobar.mesh"]}], route: [{destination: {host: a.b}}]}]}':
    "",
  '{hosts: [foo.bar], exportTo: ["~"], http: [{route: [{destination: {host: foo.baz}}]}]}': "E exportTo[0]",
  '{hosts: [foo.bar], exportTo: [".", "*"], http: [{route: [{destination: {host: foo.baz}}]}]}': "E exportTo",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(virtualService, rows);
});
