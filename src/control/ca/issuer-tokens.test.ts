import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Lifecycle } from "#base/lifecycle.ts";
import { LogRegistry } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { systemClock } from "#base/time/clock.ts";
import { createTokenVerifier } from "../token-verifier.ts";
import { IssuerTokenVerifier } from "./issuer-tokens.ts";
import type { TokenVerifier } from "./token-review.ts";

const issuer = "https://issuer.example";
const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwks = JSON.stringify({
  keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one", alg: "RS256", use: "sig" }],
});
const nowSeconds = Math.floor(Date.UTC(2026, 5, 1) / 1000);
const good = {
  iss: issuer,
  sub: "system:serviceaccount:default:reviews",
  aud: ["istio-ca"],
  exp: nowSeconds + 600,
};

function token(claims: object, header: object = { alg: "RS256", kid: "one" }): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`;
}

function verifier(options: { keys?: string; audiences?: string[]; others?: TokenVerifier } = {}): IssuerTokenVerifier {
  return new IssuerTokenVerifier({
    rule: { issuer, audiences: options.audiences ?? [] },
    keys: () => ("keys" in options ? options.keys : jwks),
    now: () => nowSeconds * 1000,
    others: options.others,
  });
}

test("a token of the issuer is its subject's, when it is good in every respect", async () => {
  const { exp: _, ...endless } = good;
  const tampered = token(good).replace(
    /\.[^.]+\./,
    `.${Buffer.from(JSON.stringify({ ...good, sub: "system:serviceaccount:kube-system:admin" })).toString("base64url")}.`,
  );
  const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify(good)).toString("base64url")}.`;
  const cases: [string, RegExp | undefined][] = [
    [token(good), undefined],
    [token({ ...good, exp: nowSeconds - 61 }), /has expired/],
    [token({ ...good, nbf: nowSeconds + 120 }), /not valid yet/],
    [token(endless), /has no end/],
    [token({ ...good, aud: "elsewhere" }), /not meant for istio-ca/],
    [token({ ...good, sub: "somebody" }), /subject is not system:serviceaccount/],
    [token({ ...good, sub: "system:serviceaccount:a:b:c" }), /subject is not system:serviceaccount/],
    [token({ ...good, iss: "https://evil.example" }), /issuer is not https:\/\/issuer\.example/],
    [tampered, /verification fails/i],
    [none, /./],
    [token(good, { alg: "HS256", kid: "one" }), /./],
    [token(good, { alg: "RS256", kid: "two" }), /./],
    ["garbage", /./],
  ];
  for (const [text, reason] of cases) {
    const verdict = await verifier().verify(text, ["istio-ca"]);
    if (reason === undefined) {
      assert.deepEqual(verdict, { identity: { namespace: "default", serviceAccount: "reviews", podName: "" } });
    } else {
      assert.ok("refused" in verdict, text);
      assert.match(verdict.refused, reason);
    }
  }
  const vm = { ...good, aud: "vm" };
  assert.ok("identity" in (await verifier({ audiences: ["vm"] }).verify(token(vm), ["istio-ca"])));
  assert.ok("refused" in (await verifier({ audiences: ["vm"] }).verify(token(good), ["istio-ca"])));
});

test("without keys every token of the issuer is refused; others are the API server's", async () => {
  const others: TokenVerifier = { verify: async () => ({ refused: "asked the API server" }) };
  const without = verifier({ keys: undefined as unknown as string, others });
  assert.deepEqual(await without.verify(token(good), ["istio-ca"]), {
    refused: `the keys of ${issuer} have not been fetched`,
  });
  for (const text of [token({ ...good, iss: "kubernetes" }), "opaque"]) {
    assert.deepEqual(await without.verify(text, ["istio-ca"]), { refused: "asked the API server" });
  }
});

test("the issuer's keys are found by its OpenID configuration", async (t) => {
  const lifecycle = new Lifecycle();
  let base = "";
  const server = createServer((request, response) => {
    const isKeys = request.url === "/keys";
    response.end(isKeys ? jwks : JSON.stringify({ issuer: base, jwks_uri: `${base}/keys` }));
  }).listen(0, "127.0.0.1");
  t.after(async () => {
    await lifecycle.stop();
    server.close();
  });
  await once(server, "listening");
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const tokens = createTokenVerifier(
    { sources: [], ports: {}, tokenIssuer: { issuer: base, audiences: [] }, isKeyAddressAllowed: () => true },
    { lifecycle, clock: systemClock, log: new LogRegistry({ level: "none" }), metrics: new MetricRegistry() },
  );
  const text = token({ ...good, iss: base, exp: Math.floor(Date.now() / 1000) + 600 });
  for (const deadline = Date.now() + 5000; ; ) {
    const verdict = await tokens?.verify(text, ["istio-ca"]);
    if (verdict !== undefined && "identity" in verdict) break;
    assert.ok(Date.now() < deadline, JSON.stringify(verdict));
    await new Promise(setImmediate);
  }
});
