import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { objectOf, problemsOf } from "../../objects/testing/objects.ts";
import { requestAuthentication } from "./kind.ts";
import { applicableJwtRules, keySourceOf } from "./resolve.ts";
import type { RequestAuthenticationSpec } from "./spec.ts";

const policy = (name: string, spec: unknown): MeshObject<RequestAuthenticationSpec> =>
  objectOf(requestAuthentication, { name, spec });

test("the rules of all policies for a workload add up, by issuer", () => {
  const policies = [
    policy("mesh", { jwtRules: [{ issuer: "https://m" }] }),
    policy("web", {
      selector: { matchLabels: { app: "web" } },
      jwtRules: [{ issuer: "https://z" }, { issuer: "https://a" }],
    }),
    policy("other", { selector: { matchLabels: { app: "other" } }, jwtRules: [{ issuer: "https://o" }] }),
  ];
  const rules = applicableJwtRules(policies, {
    namespace: "default",
    labels: { app: "web" },
    rootNamespace: "istio-system",
  });
  assert.deepEqual(
    rules.map(({ policy: from, index, rule }) => `${from.name}[${index}] ${rule.issuer}`),
    ["web[1] https://a", "mesh[0] https://m", "web[0] https://z"],
  );
});

test("keys stand in the rule, or at jwksUri, or where the issuer's OpenID configuration says", () => {
  const sourceOf = (rule: object): unknown => {
    const [only] = policy("a", { jwtRules: [rule] }).spec.jwtRules;
    assert.ok(only);
    return keySourceOf(only);
  };
  assert.equal(sourceOf({ issuer: "a", jwks: '{"keys":[]}' }), undefined);
  assert.deepEqual(sourceOf({ issuer: "a", jwksUri: "https://keys/x", timeout: "2s" }), {
    url: "https://keys/x",
    kind: "keys",
    timeoutMs: 2000,
  });
  assert.deepEqual(sourceOf({ issuer: "https://issuer/" }), {
    url: "https://issuer/.well-known/openid-configuration",
    kind: "openid",
    timeoutMs: 5000,
  });
});

test("rules that cannot work are refused", () => {
  const at = "spec.jwtRules[0]";
  const cases: [object, string][] = [
    [{}, `${at}.issuer: the issuer is missing`],
    [{ issuer: "a", jwksUri: "x.example/keys" }, `${at}.jwksUri: "x.example/keys" is not an address`],
    [
      { issuer: "a", jwksUri: "https://b/c", jwks: '{"keys":[]}' },
      `${at}.jwks: only one of jwks and jwksUri can be set`,
    ],
    [{ issuer: "a", jwks: "keys" }, `${at}.jwks: the keys are not JSON`],
    [{ issuer: "a", jwks: "{}" }, `${at}.jwks: there is no list of keys in it`],
    [{ issuer: "https://a", timeout: "0s" }, `${at}.timeout: the timeout is shorter than 1 ms`],
    [{ issuer: "https://a", fromHeaders: [{ prefix: "b" }] }, `${at}.fromHeaders[0].name: the header has no name`],
    [{ issuer: "https://a", fromParams: [""] }, `${at}.fromParams[0]: a value is empty`],
    [
      { issuer: "https://a", outputClaimToHeaders: [{ header: ":path", claim: "sub" }] },
      `${at}.outputClaimToHeaders[0].header: ":path" is not the name of a header`,
    ],
    [
      { issuer: "https://a", outputClaimToHeaders: [{ header: "x-sub" }] },
      `${at}.outputClaimToHeaders[0].claim: the claim is empty`,
    ],
    [
      { issuer: "testing@secure.istio.io" },
      `warning ${at}.issuer: without jwksUri and jwks the keys come from the issuer, and "testing@secure.istio.io" is no address`,
    ],
  ];
  for (const [rule, expected] of cases) {
    assert.deepEqual(problemsOf(requestAuthentication, { jwtRules: [rule] }), [expected]);
  }
});
