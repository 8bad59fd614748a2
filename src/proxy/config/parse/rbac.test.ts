import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create, fromJson, type JsonObject } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { RBACSchema } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import { UriTemplateMatchConfigSchema } from "#wire/gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.ts";
import { newTrace } from "../../config/trace.ts";
import { evaluateRbac } from "../../decide/rbac.ts";
import { anyRegistry } from "../../xds/any-registry.ts";
import { nackText, Problems } from "../problems.ts";
import type { HeaderValue, RbacSubject } from "../rbac.ts";
import { rbacOf, rbacRules } from "../testing/resources.ts";
import { decodeRbac } from "./rbac.ts";
import { decodeUriTemplate } from "./uri-template.ts";

const headers: Readonly<Record<string, string>> = { ":method": "GET", "x-user": "jason", ":authority": "reviews" };

const subject = (change: Partial<RbacSubject> = {}): RbacSubject => ({
  peer: { uriSans: ["spiffe://cluster.local/ns/default/sa/productpage"], dnsSans: [], subject: "" },
  directRemoteIp: "10.244.0.9",
  remoteIp: "203.0.113.7",
  sourceIp: "10.244.0.9",
  sourcePort: 40_000,
  destinationIp: "10.244.0.7",
  destinationPort: 9080,
  requestedServerName: "outbound_.9080_._.reviews",
  path: "/reviews/1",
  header: (name) => headers[name],
  headerValues: (name) => headers[name],
  metadata: (filter) => (filter === "jwt" ? { payload: { iss: "me", groups: ["a", "b"], n: 3 } } : undefined),
  ...change,
});

/** Whether one permission (or principal) lets the subject in. */
const allows = (
  part: string,
  change: Partial<RbacSubject> = {},
  place: "permission" | "principal" = "permission",
): boolean => {
  const permissions = place === "permission" ? part : "any: true";
  const principals = place === "principal" ? part : "any: true";
  const rules = rbacRules(
    `{ policies: { p: { permissions: [{ ${permissions} }], principals: [{ ${principals} }] } } }`,
  );
  return evaluateRbac(rules, subject(change), null).allowed;
};

const permissions: readonly [string, boolean, Partial<RbacSubject>?][] = [
  ["any: true", true],
  ["destination_port: 9080", true],
  ["destination_port: 80", false],
  ["destination_port_range: { start: 9000, end: 9080 }", false],
  ["destination_port_range: { start: 9080, end: 9081 }", true],
  ["destination_ip: { address_prefix: 10.244.0.0, prefix_len: 16 }", true],
  ["destination_ip: { address_prefix: 10.244.0.0, prefix_len: 16 }", false, { destinationIp: "10.245.0.1" }],
  ["requested_server_name: { prefix: outbound_ }", true],
  ["url_path: { path: { exact: /reviews/1 } }", true],
  ["url_path: { path: { exact: /reviews/1 } }", false, { path: undefined }],
  ["header: { name: ':method', string_match: { exact: GET } }", true],
  ["header: { name: X-User, string_match: { prefix: ja } }", true],
  ["header: { name: x-user, string_match: { exact: jason } }", false, { headerValues: undefined }],
  ["header: { name: x-none, present_match: false }", true],
  ["header: { name: x-user, string_match: { safe_regex: { regex: 'j.*' } } }", true],
  ["header: { name: x-user, string_match: { safe_regex: { regex: 'j' } } }", false],
  ["not_rule: { destination_port: 80 }", true],
  ["and_rules: { rules: [{ destination_port: 9080 }, { destination_port: 80 }] }", false],
  ["or_rules: { rules: [{ destination_port: 9080 }, { destination_port: 80 }] }", true],
  ["metadata: { filter: jwt, path: [{ key: payload }, { key: iss }], value: { string_match: { exact: me } } }", true],
  [
    "metadata: { filter: jwt, path: [{ key: payload }, { key: groups }], value: { list_match: { one_of: { string_match: { exact: b } } } } }",
    true,
  ],
  ["metadata: { filter: jwt, path: [{ key: payload }, { key: nope }], value: { present_match: true } }", false],
  ["metadata: { filter: jwt, path: [{ key: payload }, { key: n }], value: { double_match: { exact: 3 } } }", true],
  ["metadata: { filter: other, path: [{ key: a }], value: { string_match: { exact: x } } }", false],
  [
    "metadata: { filter: jwt, path: [{ key: payload }, { key: iss }], value: { string_match: { exact: me } } }",
    false,
    { metadata: undefined },
  ],
];

for (const [yaml, expected, change] of permissions) {
  test(`RBAC permission { ${yaml} } is ${expected} for ${JSON.stringify(change ?? "the usual subject")}`, () => {
    assert.equal(allows(yaml, change), expected);
  });
}

const principals: readonly [string, boolean, Partial<RbacSubject>?][] = [
  ["authenticated: { principal_name: { exact: 'spiffe://cluster.local/ns/default/sa/productpage' } }", true],
  ["authenticated: { principal_name: { suffix: /sa/details } }", false],
  ["authenticated: { principal_name: { safe_regex: { regex: '.*' } } }", false, { peer: null }],
  ["authenticated: {}", false, { peer: null }],
  ["authenticated: {}", true],
  ["direct_remote_ip: { address_prefix: 10.244.0.9, prefix_len: 32 }", true],
  ["source_ip: { address_prefix: 203.0.113.0, prefix_len: 24 }", false],
  ["remote_ip: { address_prefix: 203.0.113.0, prefix_len: 24 }", true],
  ["not_id: { authenticated: {} }", true, { peer: null }],
  ["and_ids: { ids: [{ authenticated: {} }, { remote_ip: { address_prefix: 203.0.113.7, prefix_len: 32 } }] }", true],
  ["or_ids: { ids: [{ remote_ip: { address_prefix: 1.1.1.1, prefix_len: 32 } }, { authenticated: {} }] }", true],
  ["filter_state: { key: io.istio.peer_principal, string_match: { prefix: 'spiffe://' } }", true],
];

for (const [yaml, expected, change] of principals) {
  test(`RBAC principal { ${yaml} } is ${expected} for ${JSON.stringify(change ?? "the usual subject")}`, () => {
    assert.equal(allows(yaml, change, "principal"), expected);
  });
}

const onePolicy = "policies: { p: { permissions: [{ destination_port: 9080 }], principals: [{ any: true }] } }";

test("the action decides what a match means", () => {
  const decide = (action: string, port: number): boolean =>
    evaluateRbac(rbacRules(`{ action: ${action}, ${onePolicy} }`), subject({ destinationPort: port }), null).allowed;
  assert.deepEqual([decide("ALLOW", 9080), decide("ALLOW", 1)], [true, false]);
  assert.deepEqual([decide("DENY", 9080), decide("DENY", 1)], [false, true]);
  assert.deepEqual([decide("LOG", 9080), decide("LOG", 1)], [true, true]);
});

test("ALLOW without policies lets nobody in, and no rules at all enforce nothing", () => {
  assert.equal(evaluateRbac(rbacRules("{}"), subject(), null).allowed, false);
  assert.equal(evaluateRbac(null, subject(), null).allowed, true);
});

test("permissions of a policy are alternatives, and so are its principals", () => {
  const rules = rbacRules(`
policies:
  p:
    permissions: [{ destination_port: 1 }, { destination_port: 9080 }]
    principals: [{ authenticated: { principal_name: { exact: nobody } } }, { authenticated: {} }]
`);
  assert.equal(evaluateRbac(rules, subject(), null).allowed, true);
  assert.equal(evaluateRbac(rules, subject({ peer: null }), null).allowed, false);
});

test("a traced denial names the nearest policy and what it lacked", () => {
  const rules = rbacRules(`
policies:
  "ns[default]-policy[far]-rule[0]":
    permissions: [{ and_rules: { rules: [{ destination_port: 1 }, { header: { name: ":method", string_match: { exact: POST } } }] } }]
    principals: [{ authenticated: { principal_name: { exact: nobody } } }]
  "ns[default]-policy[near]-rule[0]":
    permissions: [{ and_rules: { rules: [{ destination_port: 9080 }, { header: { name: ":method", string_match: { exact: POST } } }] } }]
    principals: [{ authenticated: {} }]
`);
  const trace = newTrace();
  const verdict = evaluateRbac(rules, subject(), trace);
  assert.equal(verdict.allowed, false);
  assert.equal(verdict.nearestMiss?.policy.name, "ns[default]-policy[near]-rule[0]");
  assert.deepEqual(verdict.nearestMiss?.failed, ['method exact "POST"']);
  assert.match(
    trace.steps[0]?.decision ?? "",
    /denied: no ALLOW policy matches; nearest is .*near.* needs method exact "POST"/,
  );
});

test("what cannot be evaluated is refused and never guessed", () => {
  const refusal = (yaml: string): string => {
    const problems = new Problems("rbac", "r");
    return nackText(problems.done(decodeRbac(rbacOf(yaml), new Map(), "rules", problems)).issues);
  };
  const policy = (permission: string): string =>
    `{ policies: { p: { permissions: [{ ${permission} }], principals: [{ any: true }] } } }`;
  assert.match(
    refusal(policy("url_path: { path: { safe_regex: { regex: '(' } } }")),
    /rules\.policies\["p"\]\.permissions\[0\]\.url_path.*not a regular expression/,
  );
  assert.match(refusal(policy("")), /names no rule/);
  assert.match(
    refusal("{ policies: { p: { permissions: [], principals: [{ any: true }] } } }"),
    /permissions: is empty/,
  );
  assert.match(refusal(policy("url_path: { path: { safe_regex: { regex: '(?=x)' } } }")), /not a regular expression/);
});

const templates: readonly [string, string, boolean | null][] = [
  ["/path/template/*", "/path/template/a", true],
  ["/path/template/*", "/path/template/a/b", false],
  ["/path/template/*", "/path/template/", false],
  ["/path/{name}/x", "/path/a.b/x", true],
  ["/**/path/template", "/a/b/path/template", true],
  ["/files/**", "/files/a/b/c", true],
  ["/files/**", "/file", false],
  ["/a.b/*", "/aXb/1", false],
  ["/**/x/*", "/", null],
  ["/x*", "/", null],
  ["/videos/*/*.m4s", "/videos/1/a.m4s", true],
  ["/**.mpd", "/content/dash/manifest.mpd", true],
  ["/{file=videos/*}/x", "/videos/1/x", true],
  ["/{all=**}", "/a/b", true],
  ["/{a}/{a}", "/", null],
  ["/{a", "/", null],
  ["/{a}/{b}/{c}/{d}/{e}/{f}", "/", null],
  ["relative", "/", null],
];

for (const [template, path, expected] of templates) {
  test(`path template ${template} ${expected === null ? "is refused" : `gives ${expected} for ${path}`}`, () => {
    const config = create(UriTemplateMatchConfigSchema, { pathTemplate: template });
    const any = anyPack(UriTemplateMatchConfigSchema, config);
    assert.equal(decodeUriTemplate(any, "t", new Problems("x", "y"))?.matches(path) ?? null, expected);
  });
}

/** Whether a policy of that action lets a request through whose header stands in these lines. */
function passes(action: "ALLOW" | "DENY", condition: string, lines: readonly string[], path = "/"): boolean {
  const rules = rbacRules(
    `{ action: ${action}, policies: { p: { permissions: [{ ${condition} }], principals: [{ any: true }] } } }`,
  );
  const headerValues = (): HeaderValue => (lines.length > 1 ? lines : lines[0]);
  return evaluateRbac(rules, subject({ headerValues, path }), null).allowed;
}

const exact = "header: { name: x-role, string_match: { exact: admin } }";
const notExact = `not_rule: { ${exact} }`;
const inverted = "header: { name: x-role, string_match: { exact: admin }, invert_match: true }";
const repeated: readonly (readonly ["ALLOW" | "DENY", string, readonly string[], boolean])[] = [
  ["DENY", exact, ["admin"], false],
  ["DENY", exact, ["user"], true],
  ["DENY", exact, ["user", "admin"], false],
  ["DENY", exact, ["admin", "user"], false],
  ["DENY", exact, ["user,admin"], true],
  ["DENY", notExact, ["admin", "user"], false],
  ["DENY", inverted, ["admin", "user"], false],
  ["ALLOW", exact, ["admin"], true],
  ["ALLOW", exact, ["user", "admin"], true],
  ["ALLOW", exact, ["user", "guest"], false],
  ["ALLOW", notExact, ["user"], true],
  ["ALLOW", notExact, ["user", "admin"], false],
  ["ALLOW", inverted, ["user", "guest"], true],
  ["ALLOW", inverted, ["user", "admin"], false],
  ["ALLOW", "header: { name: x-role, string_match: { contains: adm } }", ["admin", "user"], true],
];

for (const [action, condition, lines, expected] of repeated) {
  test(`CVE-2026-26308 ${action} ${condition} ${expected ? "passes" : "stops"} the lines ${lines.join(" | ")}`, () => {
    assert.equal(passes(action, condition, lines), expected);
  });
}

const admin = "url_path: { path: { exact: /admin } }";
const parameters: readonly (readonly ["ALLOW" | "DENY", string, string, boolean])[] = [
  ["DENY", admin, "/admin;x=1", false],
  ["DENY", "url_path: { path: { prefix: /a/b } }", "/a;x/b;y/c", false],
  ["DENY", admin, "/public;/admin", true],
  ["DENY", `not_rule: { ${admin} }`, "/admin;x", false],
  ["ALLOW", admin, "/admin;x", false],
  ["ALLOW", `not_rule: { ${admin} }`, "/admin;x", false],
  ["ALLOW", `not_rule: { ${admin} }`, "/public", true],
];

for (const [action, condition, path, expected] of parameters) {
  test(`CVE-2026-73551 ${action} ${condition} ${expected ? "passes" : "stops"} ${path}`, () => {
    assert.equal(passes(action, condition, [], path), expected);
  });
}

const host = "header: { name: ':authority', string_match: { exact: admin.example } }";
const hosts: readonly (readonly ["ALLOW" | "DENY", string, string, boolean])[] = [
  ["DENY", host, "admin.example", false],
  ["DENY", host, "Admin.Example", false],
  ["DENY", host, "admin.example:8080", false],
  ["DENY", host, "ADMIN.example:80", false],
  ["DENY", host, "other.example", true],
  ["ALLOW", `not_rule: { ${host} }`, "ADMIN.EXAMPLE:1", false],
  ["ALLOW", host, "admin.example", true],
];

for (const [action, condition, authority, expected] of hosts) {
  test(`CVE-2021-39155 ${action} ${condition} ${expected ? "passes" : "stops"} Host ${authority}`, () => {
    assert.equal(passes(action, condition, [authority]), expected);
  });
}

test("CVE-2026-73552 a regular expression sees bytes that are not UTF-8, and a negated one fails closed", () => {
  const regex = "header: { name: x-role, string_match: { safe_regex: { regex: 'admin.*' } } }";
  assert.equal(passes("DENY", regex, ["admin\xff\xfe"]), false);
  assert.equal(passes("ALLOW", `not_rule: { ${regex} }`, ["admin\xff"]), false);
});

const data = join(import.meta.dirname, "../../../../../shared/testdata/authz-builder.json");

test("every rule set that Istio's authorization builder makes is understood", {
  skip: !existsSync(data) && "shared test data is absent",
}, () => {
  const cases = JSON.parse(readFileSync(data, "utf8")).cases as { id: string; golden: { typedConfig: JsonObject }[] }[];
  let count = 0;
  for (const { id, golden } of cases) {
    for (const { typedConfig } of golden) {
      for (const key of ["rules", "shadowRules"]) {
        if (typedConfig[key] === undefined) continue;
        const message = fromJson(RBACSchema, typedConfig[key] as JsonObject, { registry: anyRegistry() });
        const problems = new Problems("rbac", id);
        const decoded = problems.done(decodeRbac(message, new Map(), key, problems));
        assert.deepEqual(decoded.issues, [], id);
        assert.equal(typeof evaluateRbac(decoded.value, subject(), newTrace()).allowed, "boolean");
        count++;
      }
    }
  }
  assert.ok(count > 10);
});
