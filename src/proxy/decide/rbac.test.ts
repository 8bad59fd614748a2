import assert from "node:assert/strict";
import { test } from "node:test";
import type { RbacRules, RbacSubject } from "../config/rbac.ts";
import { rbacRules } from "../config/testing/resources.ts";
import { evaluateRbac, whyDenied } from "./rbac.ts";

const subject = (uriSans: readonly string[], change: Partial<RbacSubject> = {}): RbacSubject => ({
  peer: uriSans.length === 0 ? null : { uriSans, dnsSans: [], subject: "" },
  directRemoteIp: "10.0.0.1",
  remoteIp: "10.0.0.1",
  sourceIp: "10.244.0.9",
  sourcePort: 40_000,
  destinationIp: "10.0.0.2",
  destinationPort: 80,
  requestedServerName: "",
  path: undefined,
  header: undefined,
  headerValues: undefined,
  metadata: undefined,
  ...change,
});

const named = (names: readonly string[]): string =>
  `principals: [${names.map((it) => `{ authenticated: { principal_name: { exact: ${it} } } }`).join(", ")}]`;

/** Enough policies for an index: each for one name, one for any name with port 9, one by prefix. */
function manyPolicies(action: string): string {
  const own = Array.from(
    { length: 20 },
    (_, i) => `p${String(i).padStart(2, "0")}: { permissions: [{ any: true }], ${named([`n${i}`])} }`,
  );
  return `{ action: ${action}, policies: {
    ${own.join(", ")},
    p05b: { permissions: [{ any: true }], ${named(["n7", "n8"])} },
    p99: { permissions: [{ destination_port: 9 }], principals: [{ any: true }] },
    p03b: { permissions: [{ any: true }], principals: [{ authenticated: { principal_name: { prefix: x } } }] } } }`;
}

test("looking a peer's policies up finds what asking all of them in order finds", () => {
  const indexed = rbacRules(manyPolicies("ALLOW"));
  assert.ok(indexed.index !== undefined);
  const { action, policies } = indexed;
  const plain: RbacRules = { action, policies };
  const peers = [[], ["n0"], ["n7"], ["n8"], ["n19"], ["x1"], ["other"], ["x1", "n3"], ["nope", "n4"]];
  for (const peer of peers) {
    for (const destinationPort of [80, 9]) {
      const asked = subject(peer, { destinationPort });
      assert.equal(
        evaluateRbac(indexed, asked, null).policy?.name,
        evaluateRbac(plain, asked, null).policy?.name,
        `${peer} ${destinationPort}`,
      );
    }
  }
  assert.equal(evaluateRbac(indexed, subject(["n7"]), null).policy?.name, "p05b");
});

test("a peer with several names, DNS names or a subject is asked about by each of them", () => {
  const rules = rbacRules(manyPolicies("ALLOW"));
  assert.equal(evaluateRbac(rules, subject(["a", "n4"]), null).allowed, true);
  const dns = { uriSans: ["spiffe://a"], dnsSans: ["n4"], subject: "" };
  assert.equal(evaluateRbac(rules, subject([], { peer: dns }), null).allowed, true);
  const bySubject = { uriSans: [], dnsSans: [], subject: "n4" };
  assert.equal(evaluateRbac(rules, subject([], { peer: bySubject }), null).allowed, true);
});

test("few policies, or policies about anybody, need no index", () => {
  assert.equal(rbacRules(`{ policies: { p: { permissions: [{ any: true }], ${named(["a"])} } } }`).index, undefined);
});

test("LOG rules let everything pass and say whether to log it", () => {
  const rules = rbacRules(
    `{ action: LOG, policies: { p: { permissions: [{ destination_port: 9 }], ${named(["a"])} } } }`,
  );
  const verdict = (destinationPort: number): unknown => {
    const { allowed, accessLogHint } = evaluateRbac(rules, subject(["a"], { destinationPort }), null);
    return [allowed, accessLogHint];
  };
  assert.deepEqual(verdict(9), [true, true]);
  assert.deepEqual(verdict(80), [true, false]);
});

test("a denial says which policies were left out because they could not match, the first ones in full", () => {
  const leftOut = ["a", "b", "c", "d", "e"].map((name, i) => ({
    name,
    origin: {
      kind: "AuthorizationPolicy",
      namespace: "n",
      name,
      file: "f.yaml",
      line: i + 1,
      note: `asks for ${name}`,
    },
  }));
  const rules: RbacRules = { ...rbacRules("{}"), leftOut };
  const asked = subject(["x"]);
  const words = whyDenied(rules, asked, evaluateRbac(rules, asked, null));
  assert.equal(
    words,
    "no policy allows x: a (AuthorizationPolicy n/a (f.yaml:1)) asks for a; b (AuthorizationPolicy n/b (f.yaml:2)) asks for b; " +
      "c (AuthorizationPolicy n/c (f.yaml:3)) asks for c; 2 more are no different",
  );
});

test("a denial says who asked and what denied, or what was nearest", () => {
  const deny = rbacRules(`{ action: DENY, policies: { p: { permissions: [{ any: true }], ${named(["a"])} } } }`);
  const asked = subject(["a"]);
  assert.equal(whyDenied(deny, asked, evaluateRbac(deny, asked, null)), "a is denied by p");
  const allow = rbacRules(`{ policies: { p: { permissions: [{ destination_port: 9 }], ${named(["a"])} } } }`);
  assert.equal(
    whyDenied(allow, asked, evaluateRbac(allow, asked, null)),
    "no policy allows a; nearest is p, which needs port 9",
  );
  const nobody = subject([]);
  assert.match(
    whyDenied(allow, nobody, evaluateRbac(allow, nobody, null)),
    /^no policy allows an unauthenticated client/,
  );
  const none = rbacRules("{}");
  const overHttp = subject(["a"], { header: () => undefined });
  assert.match(
    whyDenied(none, overHttp, evaluateRbac(none, overHttp, null)),
    /^a is denied: an ALLOW policy without rules/,
  );
  const bytes = subject(["a"], { header: undefined });
  assert.match(
    whyDenied(none, bytes, evaluateRbac(none, bytes, null)),
    /^a is denied: no ALLOW policy has a rule for a connection without HTTP/,
  );
});
