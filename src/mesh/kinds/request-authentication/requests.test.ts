// What RequestAuthentication means for requests, with signed tokens: configuration → request → outcome.
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { requestCases } from "#cli/testing/request-cases.ts";

const { publicKey, privateKey } = await generateKeyPair("ES256");
const foreign = await generateKeyPair("ES256");
const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] });

interface TokenWish {
  readonly issuer?: string;
  readonly audience?: string;
  readonly expires?: string;
  readonly key?: typeof privateKey;
  readonly groups?: readonly string[];
}

function sign({
  issuer = "iss.example",
  audience = "shop",
  expires = "1h",
  key = privateKey,
  groups = [],
}: TokenWish): Promise<string> {
  return new SignJWT({ groups: [...groups] })
    .setProtectedHeader({ alg: "ES256", kid: "k" })
    .setIssuer(issuer)
    .setSubject("ann")
    .setAudience(audience)
    .setExpirationTime(expires)
    .sign(key);
}

const tokens = {
  good: await sign({}),
  staff: await sign({ groups: ["staff"] }),
  expired: await sign({ expires: "-1h" }),
  otherIssuer: await sign({ issuer: "other.example" }),
  otherAudience: await sign({ audience: "else" }),
  forged: await sign({ key: foreign.privateKey }),
};
const bearer = (token: string): string => `-H 'authorization: Bearer ${token}'`;

const authentication = (rule = "", selector = "selector: {matchLabels: {app: api}}, "): string => `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt}
spec: {${selector}jwtRules: [{issuer: iss.example, audiences: [shop], jwks: '${jwks}'${rule}}]}
---`;
const policy = (rules: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec: {selector: {matchLabels: {app: api}}, rules: [${rules}]}
---`;
const me = "> api-v1 --port 8080 --identity default/shop GET http://api/";

requestCases("a token has to be good; none is good too", authentication(), {
  [me]: "arrives:8080",
  [`${me} ${bearer(tokens.good)}`]: "arrives:8080",
  [`${me} ${bearer(tokens.expired)}`]: "401",
  [`${me} ${bearer(tokens.otherIssuer)}`]: "401",
  [`${me} ${bearer(tokens.otherAudience)}`]: "403",
  [`${me} ${bearer(tokens.forged)}`]: "401",
  [`${me} ${bearer("nonsense")}`]: "401",
  [`shop GET http://api/ ${bearer(tokens.good)}`]: "api:80 mtls",
  [`shop GET http://api/ ${bearer(tokens.expired)}`]: "401",
  [`shop GET http://old/ ${bearer(tokens.expired)}`]: "old:80",
});

requestCases(
  "policies ask for who the token says",
  authentication() +
    policy(
      "{from: [{source: {requestPrincipals: [iss.example/ann]}}], when: [{key: 'request.auth.claims[groups]', values: [staff]}]}",
    ),
  {
    [`${me} ${bearer(tokens.staff)}`]: "arrives:8080",
    [`${me} ${bearer(tokens.good)}`]: "403 not p[0]",
    [me]: "403 not p[0]",
  },
);

requestCases(
  "a policy may want any token",
  authentication() + policy('{from: [{source: {requestPrincipals: ["*"]}}]}'),
  {
    [`${me} ${bearer(tokens.good)}`]: "arrives:8080",
    [me]: "403 not p[0]",
  },
);

requestCases(
  "tokens in other places",
  authentication(", fromHeaders: [{name: x-token, prefix: 'T '}], fromParams: [t]"),
  {
    [`${me} -H 'x-token: T ${tokens.expired}'`]: "401",
    [`${me}?t=${tokens.expired}`]: "401",
    [`${me} -H 'x-token: T ${tokens.good}'`]: "arrives:8080",
    [`${me} ${bearer(tokens.expired)}`]: "arrives:8080",
  },
);
