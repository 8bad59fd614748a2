import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { parse } from "yaml";
import { JwtAuthenticationSchema } from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import { nackText, Problems } from "../../../config/problems.ts";
import type { RbacSubject } from "../../../config/rbac.ts";
import { newTrace } from "../../../config/trace.ts";
import { explainJwt } from "./explain.ts";
import { parseJwtAuthn } from "./settings.ts";

const secret = Buffer.alloc(32, 5);
const keys = `'{"keys":[{"kty":"oct","k":"${secret.toString("base64url")}"}]}'`;

function token(claims: unknown): string {
  const url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${url({ alg: "HS256" })}.${url(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

function explain(
  yaml: string,
  change: Partial<RbacSubject> = {},
): { refusal: unknown; metadata: unknown; step: string } {
  const problems = new Problems("listener", "l");
  const message = fromJson(JwtAuthenticationSchema, parse(yaml) as JsonValue);
  const settings = parseJwtAuthn(message, {
    name: "jwt",
    path: "jwt",
    problems,
    policyOrigins: new Map(),
  });
  assert.equal(nackText(problems.done(null).issues), "");
  const headers: Record<string, string> = { ":path": "/x", ":method": "GET", ":authority": "shop" };
  const subject: RbacSubject = {
    peer: null,
    directRemoteIp: "",
    remoteIp: "",
    sourceIp: "",
    sourcePort: 0,
    destinationIp: "",
    destinationPort: 80,
    requestedServerName: "",
    path: "/x",
    header: (name) => headers[name],
    headerValues: (name) => headers[name],
    metadata: undefined,
    nowSeconds: 1_800_000_000,
    ...change,
  };
  const trace = newTrace();
  const outcome = explainJwt(settings)(subject, [], trace);
  return {
    refusal: outcome?.refusal ?? null,
    metadata: outcome?.metadata?.[0]?.values,
    step: trace.steps.map(({ what, decision }) => `${what}: ${decision}`).join("\n"),
  };
}

const configured = (source: string): string =>
  `{ providers: { p: { issuer: me, payload_in_metadata: payload, ${source} } }, rules: [{ match: { prefix: / }, requires: { provider_name: p } }] }`;
const local = configured(`local_jwks: { inline_string: ${keys} }`);
const remote = configured(`remote_jwks: { http_uri: { uri: "https://me/keys", cluster: c, timeout: 1s } }`);
const carrying = (claims: unknown): Partial<RbacSubject> => {
  const values = (name: string): string | undefined =>
    name === "authorization" ? `Bearer ${token(claims)}` : name === ":path" ? "/x" : undefined;
  return { header: values, headerValues: values };
};

test("explain verifies the token of the question with keys that the configuration holds", () => {
  const good = explain(local, carrying({ iss: "me", exp: 1_900_000_000 }));
  assert.equal(good.refusal, null);
  assert.deepEqual(good.metadata, { payload: { iss: "me", exp: 1_900_000_000 } });
  assert.equal(good.step, "authentication: accepts the token of me (provider p)");
  const expired = explain(local, carrying({ iss: "me", exp: 1_000_000_000 }));
  assert.deepEqual(expired.refusal, {
    status: 401,
    reason: "the token in header authorization expired at 2001-09-09T01:46:40.000Z",
  });
  assert.match(expired.step, /^authentication: Jwt is expired: /);
});

test("explain says which keys it would need, and does not guess", () => {
  const unknown = explain(remote, carrying({ iss: "me" }));
  assert.equal(unknown.refusal, null);
  assert.equal(unknown.metadata, undefined);
  assert.match(
    unknown.step,
    /verifies the token with keys from https:\/\/me\/keys \(provider p\), which are not known here/,
  );
});

test("explain takes claims of the question for those of a good token, and judges them", () => {
  const good = explain(remote, { claims: { iss: "me", groups: ["a"] } });
  assert.equal(good.refusal, null);
  assert.deepEqual(good.metadata, { payload: { iss: "me", groups: ["a"] } });
  const foreign = explain(remote, { claims: { iss: "other" } });
  assert.deepEqual(foreign.refusal, {
    status: 401,
    reason: 'the token is of issuer "other", and provider p takes "me"',
  });
  assert.match(explain(remote).step, /Jwt is missing: there is no token of provider p/);
});
