// Istio's validation of RequestAuthentications, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { requestAuthentication } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{}": "",
  '{jwtRules: [{issuer: foo.com, jwksUri: "https://foo.com/cert"}]}': "",
  '{jwtRules: [{issuer: ""}]}': "E jwtRules[0].issuer",
  '{jwtRules: [{issuer: foo, jwksUri: "foo.com"}]}': "E jwtRules[0].jwksUri",
  '{jwtRules: [{issuer: foo, jwksUri: "https://foo.com:foo/"}]}': "E jwtRules[0].jwksUri",
  '{jwtRules: [{issuer: foo, jwksUri: "tcp://foo.com"}]}': "E jwtRules[0].jwksUri",
  '{jwtRules: [{issuer: foo, jwks: "foo"}]}': "E jwtRules[0].jwks",
  '{jwtRules: [{issuer: foo, jwks: \'{"keys":[{"kty":"RSA","e":"AQAB","kid":"a","n":"xAE7eB6qugXyCAG3yhh7pkDkT65pHymX-P7KfIupjf59vsdo91bSP9C8H07pSAGQO1MV"}]}\'}]}':
    "",
  '{jwtRules: [{issuer: foo, jwksUri: "https://a.com", jwks: \'{"keys":[]}\'}]}': "E jwtRules[0].jwks",
  '{jwtRules: [{issuer: foo, jwksUri: "https://a.com", audiences: [""]}]}': "E jwtRules[0].audiences[0]",
  '{jwtRules: [{issuer: foo, jwksUri: "https://a.com", fromHeaders: [{name: ""}]}]}':
    "E jwtRules[0].fromHeaders[0].name",
  '{jwtRules: [{issuer: foo, jwksUri: "https://a.com", fromParams: [""]}]}': "E jwtRules[0].fromParams[0]",
  '{jwtRules: [{issuer: foo, jwksUri: "https://a.com", fromCookies: [""]}]}': "E jwtRules[0].fromCookies[0]",
  '{jwtRules: [{issuer: foo, jwksUri: "https://a.com", outputClaimToHeaders: [{header: a}]}]}':
    "E jwtRules[0].outputClaimToHeaders[0].claim",
  '{jwtRules: [{issuer: foo, jwksUri: "https://a.com", outputClaimToHeaders: [{header: "a@", claim: b}]}]}':
    "E jwtRules[0].outputClaimToHeaders[0].header",
  '{jwtRules: [{issuer: foo, jwksUri: "https://a.com", timeout: 0s}]}': "E jwtRules[0].timeout",
  '{jwtRules: [{issuer: foo, jwksUri: "https://a.com", timeout: 5s, forwardOriginalToken: true, fromHeaders: [{name: a, prefix: "Bearer "}]}]}':
    "",
  '{jwtRules: [{issuer: foo, jwksUri: "http://a.com:8080/x"}]}': "",
  "{selector: {matchLabels: {}}}": "W selector",
  "{targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: a}]}": "",
  "{jwtRules: [null]}": "E jwtRules[0]",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(requestAuthentication, rows);
});
