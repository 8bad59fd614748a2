import assert from "node:assert/strict";
import { test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { parse } from "yaml";
import { MatcherSchema } from "#wire/gen/xds/type/matcher/v3/matcher_pb.ts";
import { evaluateRbac } from "../../decide/rbac.ts";
import { anyRegistry } from "../../xds/any-registry.ts";
import { nackText, Problems } from "../problems.ts";
import type { RbacRules, RbacSubject } from "../rbac.ts";
import { decodeMatchTree } from "./rbac-tree.ts";

const types = "type.googleapis.com/envoy";
const action = (name: string, what: string): string =>
  `{ action: { name: action, typed_config: { "@type": ${types}.config.rbac.v3.Action, name: ${name}, action: ${what} } } }`;
const network = (input: string): string =>
  `{ name: i, typed_config: { "@type": ${types}.extensions.matching.common_inputs.network.v3.${input} } }`;
const header = (name: string): string =>
  `{ name: i, typed_config: { "@type": ${types}.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: ${name} } }`;

function decode(yaml: string): { rules: RbacRules | null; refusal: string } {
  const problems = new Problems("rbac", "t");
  const matcher = fromJson(MatcherSchema, parse(yaml) as JsonValue, { registry: anyRegistry() });
  const { value, issues } = problems.done(decodeMatchTree(matcher, new Map(), "matcher", problems));
  return { rules: value, refusal: nackText(issues) };
}

function decided(yaml: string, change: Partial<RbacSubject> = {}): [boolean, string | undefined, boolean | undefined] {
  const { rules, refusal } = decode(yaml);
  assert.equal(refusal, "");
  const subject: RbacSubject = {
    peer: { uriSans: ["spiffe://td/ns/a/sa/b"], dnsSans: [], subject: "" },
    directRemoteIp: "10.0.0.1",
    remoteIp: "203.0.113.7",
    sourceIp: "10.244.0.9",
    sourcePort: 40_000,
    destinationIp: "10.0.0.2",
    destinationPort: 8080,
    requestedServerName: "",
    path: "/",
    header: (name) => (name === "x-role" ? "guest,admin" : undefined),
    headerValues: undefined,
    metadata: undefined,
    ...change,
  };
  const { allowed, policy, accessLogHint } = evaluateRbac(rules, subject, null);
  return [allowed, policy?.name, accessLogHint];
}

const list = (predicate: string, then: string, otherwise = ""): string =>
  `{ matcher_list: { matchers: [{ predicate: { ${predicate} }, on_match: ${then} }] }${otherwise === "" ? "" : `, on_no_match: ${otherwise}`} }`;

test("the first predicate of a matching tree that holds decides, and nothing found denies", () => {
  const byPort = list(
    `single_predicate: { input: ${network("DestinationPortInput")}, value_match: { exact: "8080" } }`,
    action("port", "ALLOW"),
  );
  assert.deepEqual(decided(byPort), [true, "port", undefined]);
  assert.deepEqual(decided(byPort, { destinationPort: 1 }), [false, undefined, undefined]);
});

test("a tree's actions allow, deny and log", () => {
  const both = (what: string): string =>
    list(
      `and_matcher: { predicate: [
        { single_predicate: { input: ${header("x-role")}, value_match: { contains: admin } } },
        { not_matcher: { single_predicate: { input: ${network("DirectSourceIPInput")}, value_match: { prefix: "192." } } } }
      ] }`,
      action("p", what),
      action("rest", "DENY"),
    );
  assert.deepEqual(decided(both("DENY")), [false, "p", undefined]);
  assert.deepEqual(decided(both("LOG")), [true, "p", true]);
  assert.deepEqual(decided(both("LOG"), { header: () => undefined }), [false, "rest", false]);
});

test("maps by exact value and by longest prefix, nested", () => {
  const map = (kind: string, entries: string): string =>
    `{ matcher_tree: { input: ${network("SourceIPInput")}, ${kind}: { map: { ${entries} } } } }`;
  assert.deepEqual(decided(map("exact_match_map", `"203.0.113.7": ${action("exact", "ALLOW")}`)), [
    true,
    "exact",
    undefined,
  ]);
  const prefixes = map(
    "prefix_match_map",
    `"203.": ${action("short", "ALLOW")}, "203.0.113.": ${action("long", "DENY")}`,
  );
  assert.deepEqual(decided(prefixes), [false, "long", undefined]);
  assert.deepEqual(decided(prefixes, { remoteIp: "203.9.9.9" }), [true, "short", undefined]);
  const nested = list(
    `single_predicate: { input: ${network("SourceIPInput")}, custom_match: { name: ip, typed_config: {
      "@type": ${types}.extensions.matching.input_matchers.ip.v3.Ip, stat_prefix: s,
      cidr_ranges: [{ address_prefix: 203.0.113.0, prefix_len: 24 }] } } }`,
    `{ matcher: ${map("exact_match_map", `"203.0.113.7": ${action("inner", "ALLOW")}`)} }`,
  );
  assert.deepEqual(decided(nested), [true, "inner", undefined]);
  assert.deepEqual(decided(nested, { remoteIp: "10.1.1.1" }), [false, undefined, undefined]);
});

test("a tree may ask a CEL expression", () => {
  const cel = list(
    `single_predicate: {
      input: { name: i, typed_config: { "@type": type.googleapis.com/xds.type.matcher.v3.HttpAttributesCelMatchInput } },
      custom_match: { name: cel, typed_config: { "@type": type.googleapis.com/xds.type.matcher.v3.CelMatcher,
        expr_match: { parsed_expr: { expr: { call_expr: { function: "_==_", args: [
          { select_expr: { operand: { ident_expr: { name: destination } }, field: port } },
          { const_expr: { int64_value: 8080 } } ] } } } } } } }`,
    action("cel", "ALLOW"),
  );
  assert.deepEqual(decided(cel), [true, "cel", undefined]);
  assert.deepEqual(decided(cel, { destinationPort: 1 }), [false, undefined, undefined]);
});

test("a tree that is not understood whole is refused", () => {
  const single = (input: string): string => `single_predicate: { input: ${input}, value_match: { exact: a } }`;
  assert.match(
    decode(list(single(network("TransportProtocolInput")), action("p", "ALLOW"))).refusal,
    /the input .*TransportProtocolInput is not supported/,
  );
  assert.match(decode(list("", action("p", "ALLOW"))).refusal, /predicate: names no predicate/);
  assert.match(
    decode(
      list(
        single(network("SourceIPInput")),
        network("SourceIPInput").replace("name: i", "action: { name: i").concat(" }"),
      ),
    ).refusal,
    /the action .* is not supported/,
  );
  assert.match(
    decode(list(single(network("SourceIPInput")), action('""', "ALLOW"))).refusal,
    /action\.name: is missing/,
  );
});
