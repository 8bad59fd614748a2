// What clients may write to get around a policy, one test for each published attack.
import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluateRbac } from "../../decide/rbac.ts";
import { normalizePath } from "../../decide/request-path.ts";
import { matchablePath } from "../../decide/route.ts";
import type { HeaderValue, RbacSubject } from "../rbac.ts";
import { rbacRules, routeConfig } from "../testing/resources.ts";

interface Asked {
  readonly headers?: Readonly<Record<string, HeaderValue>>;
  readonly path?: string | undefined;
}

function subject({ headers = {}, path }: Asked): RbacSubject {
  return {
    peer: null,
    directRemoteIp: "10.0.0.1",
    remoteIp: "10.0.0.1",
    sourceIp: "10.244.0.9",
    sourcePort: 40_000,
    destinationIp: "10.0.0.2",
    destinationPort: 80,
    requestedServerName: "",
    path,
    header: undefined,
    headerValues: (name) => headers[name],
    metadata: undefined,
  };
}

const allows = (action: "ALLOW" | "DENY", permission: string, asked: Asked): boolean =>
  evaluateRbac(
    rbacRules(
      `{ action: ${action}, policies: { p: { permissions: [{ ${permission} }], principals: [{ any: true }] } } }`,
    ),
    subject(asked),
    null,
  ).allowed;

const role = (value: string): string => `header: { name: x-role, string_match: { exact: ${value} } }`;

test("CVE-2026-26308, CVE-2021-32777: a DENY finds its value in any of repeated headers", () => {
  const repeated = { headers: { "x-role": ["guest", "banned"] } };
  assert.equal(allows("DENY", role("banned"), repeated), false);
  assert.equal(allows("DENY", role("other"), repeated), true);
  assert.equal(allows("DENY", "header: { name: x-role, string_match: { prefix: ban } }", repeated), false);
});

test("CVE-2026-26308: a DENY of everything but one value is not met by adding that value", () => {
  const mixed = { headers: { "x-role": ["admin", "guest"] } };
  assert.equal(allows("DENY", `not_rule: { ${role("admin")} }`, mixed), false);
  assert.equal(allows("DENY", `not_rule: { ${role("admin")} }`, { headers: { "x-role": "admin" } }), true);
  const inverted = "header: { name: x-role, string_match: { exact: admin }, invert_match: true }";
  assert.equal(allows("DENY", inverted, mixed), false);
  assert.equal(allows("DENY", inverted, { headers: { "x-role": ["admin", "admin"] } }), true);
});

test("CVE-2026-26308: an ALLOW of everything but one value refuses when one of several is that value", () => {
  const mixed = { headers: { "x-role": ["guest", "banned"] } };
  assert.equal(allows("ALLOW", `not_rule: { ${role("banned")} }`, mixed), false);
  assert.equal(allows("ALLOW", role("guest"), mixed), true);
});

test("a DENY of a list is not met by splitting the list over two lines", () => {
  assert.equal(allows("DENY", role('"a,b"'), { headers: { "x-role": ["a", "b"] } }), false);
});

test("CVE-2026-73552: bytes that are no UTF-8 do not take a value out of a rule's reach", () => {
  const regex = "header: { name: x-role, string_match: { safe_regex: { regex: '.*banned.*' } } }";
  const odd = { headers: { "x-role": "banned\xff\xfe" } };
  assert.equal(allows("DENY", regex, odd), false);
  assert.equal(allows("ALLOW", `not_rule: { ${regex} }`, odd), false);
  const engine = "header: { name: x-role, string_match: { safe_regex: { regex: '(a|banned).?.?' } } }";
  assert.equal(allows("DENY", engine, odd), false);
});

test("CVE-2026-73552: text beyond ASCII in a policy means the same bytes on the wire", () => {
  const wire = Buffer.from("müller", "utf8").toString("latin1");
  assert.equal(allows("DENY", role("müller"), { headers: { "x-role": wire } }), false);
  assert.equal(
    allows("DENY", "header: { name: x-role, string_match: { safe_regex: { regex: 'm.*ü[a-z]+' } } }", {
      headers: { "x-role": wire },
    }),
    false,
  );
});

test("CVE-2021-39155: a DENY of a host holds in any case, with a port and with a final dot", () => {
  const host = "header: { name: ':authority', string_match: { exact: admin.example } }";
  for (const authority of [
    "admin.example",
    "ADMIN.example",
    "admin.example:8080",
    "Admin.Example.",
    "admin.example.:1",
  ]) {
    assert.equal(allows("DENY", host, { headers: { ":authority": authority } }), false, authority);
    assert.equal(allows("ALLOW", `not_rule: { ${host} }`, { headers: { ":authority": authority } }), false, authority);
  }
  assert.equal(allows("DENY", host, { headers: { ":authority": "admin.example.org" } }), true);
});

const path = (value: string): string => `url_path: { path: { exact: ${value} } }`;

test("CVE-2026-73511, CVE-2026-73553: a DENY of a path holds with parameters on any of its segments", () => {
  for (const asked of ["/admin/x", "/admin;a=1/x", "/admin/x;jsessionid=2", "/admin;/x;"]) {
    assert.equal(allows("DENY", path("/admin/x"), { path: asked }), false, asked);
    assert.equal(allows("ALLOW", `not_rule: { ${path("/admin/x")} }`, { path: asked }), false, asked);
  }
  assert.equal(allows("ALLOW", path("/admin/x"), { path: "/admin/x;a=1" }), false);
});

test("CVE-2026-73553: where the route table ignores parameters, routes and policies see the same path", () => {
  const ignoring = routeConfig("{ name: r, ignore_path_parameters_in_path_matching: true }");
  assert.equal(matchablePath(ignoring, "/a;x=1/b;y?q=;z"), "/a/b");
  assert.equal(matchablePath(routeConfig("{ name: r }"), "/a;x=1/b?q"), "/a;x=1/b");
});

test("CVE-2026-73551: a dot segment that hides behind a parameter is refused", () => {
  for (const asked of ["/public/..;/admin", "/public/..;a=b/admin", "/a/.;x/b", "/a/%2e%2e;/b", "/..;/admin"]) {
    assert.equal(normalizePath(asked), null, asked);
  }
  assert.equal(normalizePath("/a/..b;c"), "/a/..b;c");
  assert.equal(normalizePath("/a?x=/..;/"), "/a?x=/..;/");
});

test("CVE-2021-31920, CVE-2021-29492: backward slashes are slashes for every policy", () => {
  assert.equal(normalizePath("/x/..\\admin"), "/admin");
});

test("CVE-2026-73547: a request without a path meets no condition on paths and breaks none", () => {
  const connect = { path: undefined, headers: { ":method": "CONNECT", ":authority": "db:3306" } };
  assert.equal(allows("ALLOW", path("/x"), connect), false);
  assert.equal(allows("DENY", path("/x"), connect), true);
  assert.equal(allows("DENY", `not_rule: { ${path("/x")} }`, connect), false);
  assert.equal(allows("ALLOW", "header: { name: ':path', present_match: true }", connect), false);
  assert.equal(allows("ALLOW", "header: { name: ':path', string_match: { prefix: / } }", connect), false);
});

test("CVE-2019-15225: an expression that backtracks elsewhere is decided in linear time", () => {
  const regex = "header: { name: x-role, string_match: { safe_regex: { regex: '(a+)+b' } } }";
  const start = performance.now();
  assert.equal(allows("DENY", regex, { headers: { "x-role": "a".repeat(16_384) } }), true);
  assert.ok(performance.now() - start < 2000);
});

test("CVE-2026-21710: a header named __proto__ is a header", () => {
  const rule = "header: { name: __proto__, present_match: true }";
  const headers = Object.create(null) as Record<string, HeaderValue>;
  assert.equal(allows("DENY", rule, { headers }), true);
  headers["__proto__"] = "x";
  assert.equal(allows("DENY", rule, { headers }), false);
});

test("CVE-2022-24726, ISTIO-SECURITY-2026-006: giant expressions are refused with the configuration, and no stack ends", () => {
  const header = (regex: string): string =>
    `header: { name: x-role, string_match: { safe_regex: { regex: '${regex}' } } }`;
  for (const regex of ["a".repeat(4097), "(".repeat(2000) + "a" + ")".repeat(2000), "((a{1000}){1000})", "a{1001}"]) {
    assert.throws(() => allows("DENY", header(regex), {}), /not a regular expression|longer than 4096 characters/);
  }
});
