// Istio's validation of AuthorizationPolicies, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { authorizationPolicy } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{}": "",
  "{rules: [{}]}": "",
  "{action: DENY}": "E rules",
  "{action: DENY, rules: [{}]}": "",
  "{action: CUSTOM, provider: {name: x}}": "E rules",
  "{action: CUSTOM, rules: [{}]}": "E provider",
  '{action: CUSTOM, rules: [{}], provider: {name: ""}}': "E provider",
  "{action: CUSTOM, rules: [{}], provider: {name: x}}": "",
  "{action: ALLOW, rules: [{}], provider: {name: x}}": "E provider",
  "{action: AUDIT, rules: [{}]}": "",
  "{action: CUSTOM, provider: {name: x}, rules: [{from: [{source: {namespaces: [a]}}]}]}":
    "E rules[0].from[0].source.namespaces",
  "{action: CUSTOM, provider: {name: x}, rules: [{from: [{source: {principals: [a]}}]}]}":
    "E rules[0].from[0].source.principals",
  "{action: CUSTOM, provider: {name: x}, rules: [{from: [{source: {requestPrincipals: [a]}}]}]}":
    "E rules[0].from[0].source.requestPrincipals",
  "{action: CUSTOM, provider: {name: x}, rules: [{when: [{key: source.namespace, values: [a]}]}]}":
    "E rules[0].when[0].key",
  "{action: CUSTOM, provider: {name: x}, rules: [{when: [{key: source.principal, values: [a]}]}]}":
    "E rules[0].when[0].key",
  '{action: CUSTOM, provider: {name: x}, rules: [{when: [{key: "request.auth.claims[a]", values: [a]}]}]}':
    "E rules[0].when[0].key",
  "{rules: [{from: []}]}": "",
  "{rules: [{to: []}]}": "",
  "{rules: [{from: [{}]}]}": "E rules[0].from[0]",
  "{rules: [{from: [{source: {}}]}]}": "E rules[0].from[0].source",
  "{rules: [{from: [null]}]}": "E rules[0].from[0]",
  "{rules: [null]}": "E rules[0]",
  '{rules: [{from: [{source: {principals: [""]}}]}]}': "E rules[0].from[0].source.principals[0]",
  '{rules: [{from: [{source: {ipBlocks: ["1.2.3"]}}]}]}': "E rules[0].from[0].source.ipBlocks[0]",
  '{rules: [{from: [{source: {ipBlocks: ["1.2.3.4","10.0.0.0/8","2001::/16"]}}]}]}': "",
  '{rules: [{from: [{source: {notRemoteIpBlocks: ["a"]}}]}]}': "E rules[0].from[0].source.notRemoteIpBlocks[0]",
  "{rules: [{to: [{}]}]}": "E rules[0].to[0]",
  "{rules: [{to: [{operation: {}}]}]}": "E rules[0].to[0].operation",
  '{rules: [{to: [{operation: {ports: ["a"]}}]}]}': "E rules[0].to[0].operation.ports[0]",
  '{rules: [{to: [{operation: {ports: ["80","70000"]}}]}]}': "E rules[0].to[0].operation.ports[1]",
  '{rules: [{to: [{operation: {methods: [""]}}]}]}': "E rules[0].to[0].operation.methods[0]",
  '{rules: [{to: [{operation: {paths: [""]}}]}]}': "E rules[0].to[0].operation.paths[0]",
  '{rules: [{to: [{operation: {paths: ["/a/{*}/b/{**}/{*}"]}}]}]}': "E rules[0].to[0].operation.paths[0]",
  '{rules: [{to: [{operation: {paths: ["/a/{**}/{*}"]}}]}]}': "E rules[0].to[0].operation.paths[0]",
  '{rules: [{to: [{operation: {paths: ["/a/foo{*}"]}}]}]}': "E rules[0].to[0].operation.paths[0]",
  '{rules: [{to: [{operation: {paths: ["/a/*/{*}"]}}]}]}': "E rules[0].to[0].operation.paths[0]",
  '{rules: [{to: [{operation: {paths: ["/a/{*}/b/{**}"]}}]}]}': "",
  '{rules: [{to: [{operation: {paths: ["/a*", "*b", "*"]}}]}]}': "",
  '{rules: [{to: [{operation: {paths: ["/a/*/b"]}}]}]}': "W rules[0].to[0].operation.paths[0]",
  '{rules: [{to: [{operation: {hosts: ["*.a.*"]}}]}]}': "W rules[0].to[0].operation.hosts[0]",
  '{rules: [{when: [{key: ""}]}]}': "E rules[0].when[0]",
  '{rules: [{when: [{key: "source.ip"}]}]}': "E rules[0].when[0]",
  '{rules: [{when: [{key: "source.ip", values: ["a"]}]}]}': "E rules[0].when[0].values[0]",
  '{rules: [{when: [{key: "source.ip", notValues: ["a"]}]}]}': "E rules[0].when[0].notValues[0]",
  '{rules: [{when: [{key: "foo", values: ["a"]}]}]}': "E rules[0].when[0].key",
  '{rules: [{when: [{key: "request.headers", values: ["a"]}]}]}': "E rules[0].when[0].key",
  '{rules: [{when: [{key: "request.headers[]", values: ["a"]}]}]}': "E rules[0].when[0].key",
  '{rules: [{when: [{key: "request.headers[:authority]", values: ["a"]}]}]}': "",
  '{rules: [{when: [{key: "request.auth.claims[a][b]", values: ["a"]}]}]}': "",
  '{rules: [{when: [{key: "experimental.envoy.filters.network.mysql_proxy[db.table]", values: ["[update]"]}]}]}': "",
  '{rules: [{when: [{key: "experimental.envoy.filters.network.mysql_proxy", values: ["[update]"]}]}]}':
    "E rules[0].when[0].key",
  '{rules: [{when: [{key: "destination.port", values: ["a"]}]}]}': "E rules[0].when[0].values[0]",
  '{rules: [{when: [{key: "destination.port", values: ["80"]}]}]}': "",
  '{rules: [{when: [{key: "connection.sni", values: ["a"]}]}]}': "",
  '{rules: [{when: [{key: "source.user", values: ["a"]}]}]}': "E rules[0].when[0].key",
  "{action: DENY, rules: [{from: [{source: {requestPrincipals: [a]}}]}]}": "W rules[0]",
  "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}": "W rules[0]",
  '{action: DENY, rules: [{to: [{operation: {methods: [GET], ports: ["80"]}}]}]}': "",
  "{action: DENY, rules: [{from: [{source: {principals: [a]}}]}]}": "",
  "{action: DENY, rules: [{from: [{source: {principals: [a]}}], to: [{operation: {methods: [GET]}}]}]}": "W rules[0]",
  '{action: DENY, rules: [{from: [{source: {requestPrincipals: [a]}}], to: [{operation: {ports: ["80"]}}]}]}': "",
  "{rules: [{from: [{source: {principals: [spiffe://cluster.local/ns/a/sa/b]}}]}]}":
    "W rules[0].from[0].source.principals[0]",
  "{rules: [{from: [{source: {notPrincipals: [spiffe://cluster.local/ns/a/sa/b]}}]}]}":
    "W rules[0].from[0].source.notPrincipals[0]",
  "{rules: [{when: [{key: source.principal, values: [spiffe://a/ns/a/sa/b]}]}]}": "W rules[0].when[0].values[0]",
  "{rules: [{from: [{source: {requestPrincipals: [spiffe://a/b]}}]}]}": "",
  "{rules: [{to: [{operation: {paths: [admin]}}]}]}": "W rules[0].to[0].operation.paths[0]",
  "{rules: [{to: [{operation: {notPaths: ['admin*']}}]}]}": "W rules[0].to[0].operation.notPaths[0]",
  "{rules: [{to: [{operation: {paths: ['/a?x=1']}}]}]}": "W rules[0].to[0].operation.paths[0]",
  "{rules: [{to: [{operation: {hosts: ['https://a.example']}}]}]}": "W rules[0].to[0].operation.hosts[0]",
  "{rules: [{to: [{operation: {hosts: ['a.example/x']}}]}]}": "W rules[0].to[0].operation.hosts[0]",
  "{rules: [{to: [{operation: {hosts: ['a.example:8080', 'b.example:*', '[::1]:80'], paths: ['/', '*/x', '*']}}]}]}":
    "",
  "{selector: {matchLabels: {}}}": "W selector",
  "{action: NOPE}": "E action",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(authorizationPolicy, rows);
});
