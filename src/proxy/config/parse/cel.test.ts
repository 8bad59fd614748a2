import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluateRbac } from "../../decide/rbac.ts";
import { nackText, Problems } from "../problems.ts";
import type { RbacSubject } from "../rbac.ts";
import { rbacOf, rbacRules } from "../testing/resources.ts";
import { decodeRbac } from "./rbac.ts";

const subject: RbacSubject = {
  peer: { uriSans: ["spiffe://td/ns/default/sa/web"], dnsSans: [], subject: "" },
  directRemoteIp: "10.0.0.1",
  remoteIp: "203.0.113.7",
  sourceIp: "10.244.0.9",
  sourcePort: 40_000,
  destinationIp: "10.0.0.2",
  destinationPort: 8080,
  requestedServerName: "sni.example",
  path: "/shop/cart",
  header: (name) => ({ ":path": "/shop/cart?item=1", ":method": "GET", "x-user": "jason" })[name],
  headerValues: undefined,
  metadata: (filter) => (filter === "jwt" ? { payload: { age: 20, groups: ["a", "b"] } } : undefined),
};

// Syntax trees as Envoy's configuration has them.
const id = (name: string): string => `ident_expr: { name: ${name} }`;
const get = (operand: string, field: string): string => `select_expr: { operand: { ${operand} }, field: ${field} }`;
const has = (operand: string, field: string): string =>
  `select_expr: { operand: { ${operand} }, field: ${field}, test_only: true }`;
const text = (value: string): string => `const_expr: { string_value: '${value}' }`;
const int = (value: number): string => `const_expr: { int64_value: ${value} }`;
const call = (name: string, ...args: string[]): string =>
  `call_expr: { function: "${name}", args: [${args.map((it) => `{ ${it} }`).join(", ")}] }`;
const method = (target: string, name: string, ...args: string[]): string =>
  `call_expr: { target: { ${target} }, function: "${name}", args: [${args.map((it) => `{ ${it} }`).join(", ")}] }`;
const header = (name: string): string => call("_[_]", get(id("request"), "headers"), text(name));
const claim = (name: string): string =>
  get(get(call("_[_]", get(id("metadata"), "filter_metadata"), text("jwt")), "payload"), name);

const policy = (condition: string): string =>
  `{ policies: { p: { permissions: [{ any: true }], principals: [{ any: true }], condition: { ${condition} } } } }`;

const conditions: readonly [string, string, boolean][] = [
  ["a header", call("_==_", header("x-user"), text("jason")), true],
  ["a header's name in any case", call("_==_", header("X-User"), text("jason")), true],
  ["another value", call("_==_", header("x-user"), text("mary")), false],
  ["an absent header", call("_!=_", header("x-none"), text("a")), false],
  [
    "absence looked at first",
    call(
      "_||_",
      call("!_", call("@in", text("x-none"), get(id("request"), "headers"))),
      call("_==_", header("x-none"), text("a")),
    ),
    true,
  ],
  ["presence", has(get(id("request"), "headers"), "x-user"), true],
  ["the path without query", call("_==_", get(id("request"), "url_path"), text("/shop/cart")), true],
  ["the path with query", method(get(id("request"), "path"), "endsWith", text("item=1")), true],
  ["the query", call("_==_", get(id("request"), "query"), text("item=1")), true],
  ["a pattern anywhere in it", method(get(id("request"), "path"), "matches", text("c.rt")), true],
  ["an anchored pattern", method(get(id("request"), "path"), "matches", text("^cart")), false],
  ["a port", call("_==_", get(id("destination"), "port"), int(8080)), true],
  ["an address", method(get(id("source"), "address"), "startsWith", text("203.0.113.")), true],
  ["mutual TLS", get(id("connection"), "mtls"), true],
  [
    "a name of the certificate",
    method(get(id("connection"), "uri_san_peer_certificate"), "endsWith", text("/sa/web")),
    true,
  ],
  ["a claim that is a number", call("_>=_", claim("age"), int(18)), true],
  ["a claim that is a list", call("@in", text("b"), claim("groups")), true],
  ["an absent claim", call("_==_", claim("nope"), text("b")), false],
  [
    "and, of three",
    call("_&&_", get(id("connection"), "mtls"), call("_==_", int(1), int(1)), call("_<_", int(1), int(2))),
    true,
  ],
  [
    "a choice",
    call("_?_:_", get(id("connection"), "mtls"), call("_==_", int(1), int(2)), call("_==_", int(1), int(1))),
    false,
  ],
];

for (const [words, condition, expected] of conditions) {
  test(`a CEL condition on ${words} is ${expected}`, () => {
    assert.equal(evaluateRbac(rbacRules(policy(condition)), subject, null).allowed, expected);
  });
}

test("a CEL condition is one more thing that a policy needs", () => {
  const rules = rbacRules(
    `{ policies: { p: { permissions: [{ destination_port: 1 }], principals: [{ any: true }], condition: { ${call("_==_", int(1), int(1))} } } } }`,
  );
  assert.equal(evaluateRbac(rules, subject, null).allowed, false);
});

test("a CEL condition that cannot be evaluated refuses the configuration", () => {
  const refusal = (condition: string): string => {
    const problems = new Problems("rbac", "r");
    return nackText(problems.done(decodeRbac(rbacOf(policy(condition)), new Map(), "rules", problems)).issues);
  };
  assert.match(refusal(get(id("request"), "size")), /the CEL attribute request\.size is not supported/);
  assert.match(refusal(id("request")), /the CEL attribute request is not supported/);
  assert.match(refusal(call("f", int(1))), /the function f in a CEL condition/);
  assert.match(
    refusal(method(get(id("request"), "path"), "matches", header("x"))),
    /regular expression that is no constant/,
  );
  assert.match(refusal(method(get(id("request"), "path"), "matches", text("("))), /is not a regular expression/);
  assert.match(refusal(call("_==_", int(1), text("a"))), /is not valid/);
  assert.match(refusal("comprehension_expr: {}"), /a macro over a list/);
  let deep = get(id("connection"), "mtls");
  for (let i = 0; i < 40; i++) deep = call("!_", deep);
  assert.match(refusal(deep), /nesting deeper than 32/);
});
