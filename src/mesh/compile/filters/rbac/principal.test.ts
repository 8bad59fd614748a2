import assert from "node:assert/strict";
import { test } from "node:test";
import { RE2JS } from "re2js";
import { sourceNamespace, sourcePrincipal, sourceServiceAccount, sourceTrustDomain } from "./principal.ts";

/** Whether what a pattern compiles to takes the identity. */
function takes(attribute: typeof sourcePrincipal, pattern: string, identity: string): boolean {
  const principal = attribute.matchers([pattern], "")[0];
  assert.ok(principal?.identifier.case === "authenticated");
  const match = principal.identifier.value.principalName?.matchPattern;
  if (match?.case === "safeRegex") return RE2JS.compile(match.value.regex).testExact(identity);
  return match?.value === identity;
}

const spiffe = (namespace: string, account: string, domain = "td"): string =>
  `spiffe://${domain}/ns/${namespace}/sa/${account}`;

test("CVE-2026-39350 a dot in a name is a dot, and nothing else in a name is a pattern", () => {
  const account = sourceServiceAccount("default");
  assert.ok(takes(account, "my.account", spiffe("default", "my.account")));
  assert.ok(!takes(account, "my.account", spiffe("default", "my-account")));
  assert.ok(!takes(account, "my.account", spiffe("other", "my.account")));
  assert.ok(!takes(account, "a|b", spiffe("default", "b")));
  assert.ok(takes(sourceNamespace, "n.s", spiffe("n.s", "a")));
  assert.ok(!takes(sourceNamespace, "n.s", spiffe("nxs", "a")));
  assert.ok(!takes(sourceTrustDomain, "cluster.local", spiffe("a", "b", "clusterxlocal")));
  assert.ok(takes(sourcePrincipal, "*/sa/my.account", spiffe("a", "my.account")));
  assert.ok(!takes(sourcePrincipal, "*/sa/my.account", spiffe("a", "my-account")));
});
