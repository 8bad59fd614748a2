// The HTTP RBAC filter on the wire: what it answers, counts, and tells the filters and logs behind it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { noHeaderMutations, type RouteFilterConfigs } from "../../../config/http.ts";
import { rbacRules } from "../../../config/testing/resources.ts";
import {
  chain,
  clusterOn,
  dataPath,
  filterConfig,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "../../../listener/testing/data-path.ts";
import { ask, sendRaw } from "../../../listener/testing/requests.ts";
import { compileTextFormat } from "../../../observe/access-log/format.ts";
import { Stats } from "../../../stats/stats.ts";
import type { RbacSettings } from "./settings.ts";

let server: Awaited<ReturnType<typeof httpServer>>;
before(async () => {
  server = await httpServer((_, response) => response.end("app"));
});
after(() => server.stop());

const lines: string[] = [];
const format = compileTextFormat(
  "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %DYNAMIC_METADATA(envoy.filters.http.rbac)% %DYNAMIC_METADATA(envoy.common:access_log_hint)%",
  { omitEmptyValues: false },
  assert.fail,
);

async function served(
  settings: Partial<RbacSettings>,
  filters: RouteFilterConfigs | null = null,
): Promise<{ path: TestDataPath; counter: (name: string) => number }> {
  lines.length = 0;
  const stats = new Stats();
  const path = dataPath({ stats });
  path.clusters.update(clusterOn("app", [server.port]));
  const accessLog = [
    {
      path: "test",
      accepts: null,
      render: (entry: Parameters<typeof format>[0]) => {
        lines.push(format(entry));
        return "{}";
      },
    },
  ];
  const rbac = filterConfig("rbac", { rules: null, shadowRules: null, ...settings });
  const clusters = [
    { name: "app", weight: 1, headers: noHeaderMutations, filters, clusterHeader: null, metadataMatch: null },
  ];
  const manager = managerConfig([routeEntry("/", forward("app", { clusters }))], {
    httpFilters: [rbac, filterConfig("router", {})],
    accessLog,
  });
  await path.listeners.update(listenerConfig([chain([httpFilter(manager)])]));
  const counter = (name: string): number =>
    stats.values().find((it) => it.name === `http.test.rbac.${name}`)?.value ?? -1;
  return { path, counter };
}

const rules = (action: string, path: string): RbacSettings["rules"] =>
  rbacRules(
    `{ action: ${action}, policies: { "a policy": { permissions: [{ url_path: { path: { prefix: ${path} } } }], principals: [{ any: true }] } } }`,
  );

test("shadow rules refuse nothing; what they would do is counted and in the log", async () => {
  const { path, counter } = await served({
    shadowRules: rules("DENY", "/admin"),
    shadowRulesStatPrefix: "istio_dry_run_deny_",
    trackPerRuleStats: true,
  });
  assert.equal((await ask(path, "/admin")).status, 200);
  assert.equal((await ask(path, "/other")).status, 200);
  assert.deepEqual(lines, [
    '200 via_upstream {"istio_dry_run_deny_shadow_engine_result":"denied","istio_dry_run_deny_shadow_effective_policy_id":"a policy"} -',
    '200 via_upstream {"istio_dry_run_deny_shadow_engine_result":"allowed"} -',
  ]);
  assert.equal(counter("istio_dry_run_deny_shadow_denied"), 1);
  assert.equal(counter("istio_dry_run_deny_shadow_allowed"), 1);
  assert.equal(counter("istio_dry_run_deny_policy.a policy.shadow_denied"), 1);
  path.stop();
});

test("enforced rules count what they allow and deny, by policy when asked", async () => {
  const { path, counter } = await served({
    rules: rules("DENY", "/admin"),
    rulesStatPrefix: "mine_",
    trackPerRuleStats: true,
  });
  assert.equal((await ask(path, "/admin")).status, 403);
  assert.equal((await ask(path, "/other")).status, 200);
  assert.match(lines[0] ?? "", /"mine_enforced_engine_result":"denied","mine_enforced_effective_policy_id":"a policy"/);
  assert.match(lines[1] ?? "", /"mine_enforced_engine_result":"allowed"/);
  assert.equal(counter("mine_allowed"), 1);
  assert.equal(counter("mine_denied"), 1);
  assert.equal(counter("mine_policy.a policy.denied"), 1);
  path.stop();
});

test("LOG rules leave a hint for access logs and refuse nothing", async () => {
  const { path } = await served({ rules: rules("LOG", "/admin") });
  assert.equal((await ask(path, "/admin")).status, 200);
  assert.equal((await ask(path, "/other")).status, 200);
  assert.deepEqual(
    lines.map((line) => line.split(" ").at(-1)),
    ["true", "false"],
  );
  path.stop();
});

test("a route's own rules stand in place of the filter's, and none switch it off", async () => {
  const own = (settings: Partial<RbacSettings>): RouteFilterConfigs =>
    new Map([["rbac", [{ type: "rbac", settings: { rules: null, shadowRules: null, ...settings }, disabled: false }]]]);
  const stricter = await served({ rules: rules("DENY", "/admin") }, own({ rules: rules("DENY", "/other") }));
  assert.equal((await ask(stricter.path, "/admin")).status, 200);
  assert.equal((await ask(stricter.path, "/other")).status, 403);
  stricter.path.stop();
  const off = await served({ rules: rules("DENY", "/") }, own({}));
  assert.equal((await ask(off.path, "/admin")).status, 200);
  off.path.stop();
});

test("CVE-2026-26308: repeated header lines on the wire are each looked at", async () => {
  const denied = rbacRules(
    "{ action: DENY, policies: { p: { permissions: [{ header: { name: x-role, string_match: { exact: banned } } }], principals: [{ any: true }] } } }",
  );
  const { path } = await served({ rules: denied });
  const answer = await sendRaw(
    path.port(),
    "GET / HTTP/1.1\r\nhost: a\r\nx-role: guest\r\nx-role: banned\r\nconnection: close\r\n\r\n",
  );
  assert.match(answer, /^HTTP\/1\.1 403 /);
  path.stop();
});

test("the name of a policy is one word in the details", async () => {
  const { path } = await served({ rules: rules("DENY", "/") });
  await ask(path, "/");
  assert.match(lines[0] ?? "", /^403 rbac_access_denied_matched_policy\[a_policy\] /);
  path.stop();
});
