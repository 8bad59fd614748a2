// Attacks on what decides about a request: paths, hosts and headers that mean one thing to a policy and another to the
// application, what clients may say about themselves, and log lines. Through the real data path, by CVE.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { rbacRules } from "../config/testing/resources.ts";
import { compileTextFormat } from "../observe/access-log/format.ts";
import {
  chain,
  clientAddress,
  clusterOn,
  dataPath,
  filterConfig,
  forward,
  httpFilter,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "./testing/data-path.ts";
import { cannedServer } from "./testing/raw-peers.ts";
import { sendRaw, until } from "./testing/requests.ts";

let server: Awaited<ReturnType<typeof cannedServer>>;
before(async () => {
  server = await cannedServer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
});
after(() => server.stop());

async function guarded(rules: string, manager: Parameters<typeof managerConfig>[1] = {}): Promise<TestDataPath> {
  const path = dataPath();
  path.clusters.update(clusterOn("app", [server.port]));
  const rbac = filterConfig("rbac", { rules: rbacRules(rules), shadowRules: null });
  const own = routeEntry("/admin", { type: "direct_response", status: 418, body: "" });
  const connect = routeEntry("/", forward("app"));
  const routes = [
    own,
    routeEntry("/", forward("app")),
    { ...connect, match: { ...connect.match, path: { type: "connect" as const } } },
  ];
  const config = managerConfig(routes, { httpFilters: [rbac, filterConfig("router", {})], ...manager });
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  return path;
}

const deny = (condition: string): string =>
  `{ action: DENY, policies: { p: { permissions: [{ ${condition} }], principals: [{ any: true }] } } }`;
const denyAdmin = deny("url_path: { path: { prefix: /admin } }");
const get = (target: string, lines = "", host = "a"): string =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}Connection: close\r\n\r\n`;
const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);

// Every spelling that some server takes for /admin: it is denied, or refused, or forwarded in one that none does.
const spellings: readonly (readonly [cve: string, target: string, status: number])[] = [
  ["CVE-2021-31920", "/admin", 403],
  ["CVE-2021-31920", "//admin", 403],
  ["CVE-2021-31920", "///admin", 403],
  ["CVE-2021-31920", "/public//../admin", 200],
  ["CVE-2021-31920", "/./admin", 403],
  ["CVE-2021-31920", "/public/../admin", 403],
  ["CVE-2021-31920", "/public/%2e%2e/admin", 403],
  ["CVE-2021-31920", "/%61dmin", 403],
  ["CVE-2021-31920", "/%2e/admin", 403],
  ["CVE-2021-29492", "/public%2F..%2Fadmin", 403],
  ["CVE-2021-29492", "/public%5C..%5Cadmin", 403],
  ["CVE-2021-29492", "/%2Fadmin", 403],
  ["CVE-2021-29492", "\\admin", 400],
  ["CVE-2021-29492", "/public\\..\\admin", 403],
  ["CVE-2021-39156", "/admin#/public", 400],
  ["CVE-2021-39156", "/public#/../admin", 400],
  ["CVE-2026-73551", "/admin;x=1", 403],
  ["CVE-2026-73551", "/admin;/", 403],
  ["CVE-2026-73511", "/public/..;/admin", 400],
  ["CVE-2026-73553", "/public/%2e%2e;a=b/admin", 400],
  ["CVE-2021-31920", "/public/%00/admin", 400],
  ["CVE-2021-31920", "http://a/admin", 403],
  ["CVE-2021-31920", "http://a//admin?x", 403],
  ["CVE-2021-31920", "/ADMIN", 200],
  ["CVE-2021-31920", "/public?/admin", 200],
];

test("paths have one canonical form for routes, policies and upstreams", async (t) => {
  const path = await guarded(denyAdmin, {
    paths: { normalize: true, mergeSlashes: true, escapedSlashes: "forward" },
  });
  for (const [cve, target, status] of spellings) {
    await t.test(`${cve} ${target} is answered ${status}`, async () => {
      const seen = server.received().length;
      assert.equal(statusOf(await sendRaw(path.port(), get(target))), status);
      assert.doesNotMatch(server.received().slice(seen), /^GET \/admin/);
    });
  }
  path.stop();
});

test("CVE-2021-39155 a host in another case, with a port or with both is the same host", async () => {
  const path = await guarded(deny("header: { name: ':authority', string_match: { exact: admin.example } }"));
  for (const host of ["admin.example", "ADMIN.example", "admin.example:8080", "Admin.Example:1"]) {
    assert.equal(statusOf(await sendRaw(path.port(), get("/", "", host))), 403, host);
    assert.equal(statusOf(await sendRaw(path.port(), get(`http://${host}/`, "", "other"))), 403, `absolute ${host}`);
  }
  assert.equal(statusOf(await sendRaw(path.port(), get("/", "", "other.example"))), 200);
  path.stop();
});

test("CVE-2026-26308 CVE-2021-32777 each line of a header counts for itself", async () => {
  const path = await guarded(deny("header: { name: x-role, string_match: { exact: admin } }"));
  for (const lines of ["X-Role: admin\r\n", "X-Role: user\r\nX-Role: admin\r\n", "X-Role: admin\r\nx-role: user\r\n"]) {
    assert.equal(statusOf(await sendRaw(path.port(), get("/", lines))), 403, lines);
  }
  assert.equal(statusOf(await sendRaw(path.port(), get("/", "X-Role: user\r\n"))), 200);
  path.stop();
});

test("CVE-2026-73552 a header that is not UTF-8 is matched byte by byte", async () => {
  const path = await guarded(deny("header: { name: x-role, string_match: { safe_regex: { regex: 'admin.*' } } }"));
  const bytes = Buffer.from(get("/", "X-Role: admin\xff\xc0\r\n"), "latin1");
  assert.equal(statusOf(await sendRaw(path.port(), bytes)), 403);
  path.stop();
  const negated = await guarded(
    deny("not_rule: { header: { name: x-role, string_match: { safe_regex: { regex: '[a-z]+' } } } }"),
  );
  assert.equal(statusOf(await sendRaw(negated.port(), Buffer.from(get("/", "X-Role: user\xff\r\n"), "latin1"))), 403);
  assert.equal(statusOf(await sendRaw(negated.port(), get("/", "X-Role: user\r\n"))), 200);
  negated.stop();
});

test("CVE-2023-27487 an edge believes no client about its path, its address or its retries", async () => {
  const path = await guarded(denyAdmin, { client: clientAddress({ useRemoteAddress: true }) });
  const forged = [
    "X-Envoy-Original-Path: /public",
    "X-Envoy-Internal: true",
    "X-Envoy-External-Address: 6.6.6.6",
    "X-Envoy-Retry-On: 5xx",
    "X-Envoy-Upstream-Rq-Timeout-Ms: 1",
    "X-Envoy-Max-Retries: 100",
    "X-Forwarded-Client-Cert: By=forged",
  ];
  const seen = server.received().length;
  assert.equal(statusOf(await sendRaw(path.port(), get("/", `${forged.join("\r\n")}\r\n`))), 200);
  const upstream = server.received().slice(seen);
  assert.doesNotMatch(upstream, /original-path|envoy-internal|6\.6\.6\.6|retry-on|timeout-ms: 1|max-retries|forged/i);
  path.stop();
});

test("CVE-2023-35944 a scheme in mixed case is no third scheme", async () => {
  const path = await guarded(deny("header: { name: ':scheme', string_match: { exact: https } }"));
  for (const [proto, status] of [
    ["https", 403],
    ["HTTPS", 403],
    ["Https", 403],
    ["http", 200],
    ["gopher", 200],
  ] as const) {
    assert.equal(statusOf(await sendRaw(path.port(), get("/", `X-Forwarded-Proto: ${proto}\r\n`))), status, proto);
  }
  path.stop();
});

test("CVE-2026-26309 CVE-2024-45808 nothing that a client sends ends or forges a log line", async () => {
  const format =
    '%REQ(:METHOD)% "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%" "%REQ(USER-AGENT)%" "%REQ(:AUTHORITY)%" %REQUESTED_SERVER_NAME% ' +
    '"%RESP(SERVER)%" %RESPONSE_CODE%\n';
  const render = compileTextFormat(format, { omitEmptyValues: false }, assert.fail);
  const accessLog = [
    {
      path: "test",
      render: (entry: Parameters<typeof render>[0]) => JSON.stringify({ line: render(entry) }),
      accepts: null,
    },
  ];
  const path = await guarded(denyAdmin, { accessLog });
  const agent = 'evil" 200\t"x\\y\x85\xff';
  await sendRaw(path.port(), Buffer.from(get('/"%20500%20"', `User-Agent: ${agent}\r\n`), "latin1"));
  await sendRaw(path.port(), 'GET / HTTP/1.1\r\nHost: a"b\r\n\r\n');
  await sendRaw(path.port(), "G\x1b[2JET / HTTP/1.1\r\n\r\n");
  await until(() => path.logs.length === 3);
  const lines = path.logs.map((entry) => String(entry["line"]));
  for (const line of lines) {
    // One line, without control characters, and every quote of the format stays a quote of the format.
    assert.match(line, /^\P{Cc}*\n$/u);
    assert.equal(line.replaceAll(/\\./g, "").split('"').length, 9, line);
  }
  assert.ok(lines[0]?.includes('"evil\\" 200\\u0009\\"x\\\\y\\u0085ÿ"'), String(lines[0]));
  path.stop();
});

test("CVE-2026-21710 headers named like properties of objects are matched as headers", async () => {
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    const present = await guarded(deny(`header: { name: ${name}, present_match: true }`));
    assert.equal(statusOf(await sendRaw(present.port(), get("/", `${name}: x\r\n`))), 403, name);
    assert.equal(statusOf(await sendRaw(present.port(), get("/"))), 200, name);
    present.stop();
  }
});

test("CVE-2026-73547 CONNECT has no path, and conditions on one are false", async () => {
  const connect = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
  const denied = await guarded(denyAdmin, { upgradeTypes: ["connect"] });
  const seen = server.received().length;
  const tunnel = sendRaw(denied.port(), connect, { end: true });
  await until(() => server.received().length > seen);
  assert.match(await tunnel, /^HTTP\/1\.1 200 /);
  denied.stop();
  const allow = denyAdmin.replace("DENY", "ALLOW");
  for (const rules of [
    allow,
    allow.replace("url_path: { path: { prefix: /admin } }", "header: { name: ':path', string_match: { prefix: / } }"),
    allow.replace("prefix: /admin", "safe_regex: { regex: '/.*' }"),
  ]) {
    const allowed = await guarded(rules, { upgradeTypes: ["connect"] });
    assert.equal(statusOf(await sendRaw(allowed.port(), connect)), 403, rules);
    allowed.stop();
  }
});

test("CVE-2019-15226 regular expressions take linear time, and those that could not are refused", async () => {
  const path = await guarded(deny("url_path: { path: { safe_regex: { regex: '/(a+)+b' } } }"));
  const begun = process.hrtime.bigint();
  assert.equal(statusOf(await sendRaw(path.port(), get(`/${"a".repeat(8000)}c`))), 200);
  // A backtracking engine would not end in the life of the universe.
  assert.ok(Number(process.hrtime.bigint() - begun) < 2e9);
  path.stop();
  assert.throws(() => rbacRules(deny("url_path: { path: { safe_regex: { regex: '(a)\\1' } } }")), /not a regular/);
  assert.throws(() => rbacRules(deny("url_path: { path: { safe_regex: { regex: '(?=a)b' } } }")), /not a regular/);
});

test("CVE-2026-21717 names and values that collide as strings cost no more than others", async () => {
  const path = await guarded(denyAdmin);
  const lines = Array.from({ length: 98 }, (_, i) => `${4_294_967_296 + i * 65_536}: ${i}\r\n`).join("");
  const begun = process.hrtime.bigint();
  for (let i = 0; i < 50; i++)
    assert.equal(statusOf(await sendRaw(path.port(), get(`/?${"1&".repeat(2000)}`, lines))), 200);
  assert.ok(Number(process.hrtime.bigint() - begun) < 5e9);
  path.stop();
});
