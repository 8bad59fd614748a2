// Tokens of end users and external authorization on the wire: an issuer outside of the mesh, keys that change, tokens that
// are wrong in every way, claims in authorization policies, and services that are asked over HTTP and gRPC. One mesh for
// all tests, in order; policies come and go through --watch.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { eventually, TestMesh } from "../support/mesh.ts";
import { type CurlAnswer, curl, PodShell, seen } from "../support/pod-shell.ts";

const issuer = "http://end-users.end-users.svc.cluster.local:8000";
const echo = "http://echo.default:8000";

interface Signer {
  readonly kid: string;
  readonly key: CryptoKey;
  readonly jwk: object;
}

async function signer(kid: string, alg = "RS256"): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

const now = (): number => Math.floor(Date.now() / 1000);

function token(by: Signer, claims: JWTPayload = {}): Promise<string> {
  return new SignJWT({ iss: issuer, sub: "ann", aud: "web", exp: now() + 600, ...claims })
    .setProtectedHeader({ alg: "RS256", kid: by.kid })
    .sign(by.key);
}

function policy(kind: string, name: string, spec: string): string {
  return `apiVersion: security.istio.io/v1
kind: ${kind}
metadata: { name: ${name}, namespace: default }
spec:
  selector: { matchLabels: { app: echo } }
${spec}
`;
}

let mesh: TestMesh;
let client: PodShell;
let outside: PodShell;
let first: Signer;
let second: Signer;

const ask = (jwt?: string, args = `${echo}/`): Promise<CurlAnswer> =>
  curl(client, `${jwt === undefined ? "" : `-H 'authorization: Bearer ${jwt}'`} ${args}`);
const status = async (...args: Parameters<typeof ask>): Promise<number> => (await ask(...args)).status;
/** Two pods hear of a change one after the other: a dozen answers in a row are from both. */
async function atBothPods<T>(what: string, condition: () => Promise<T | undefined>, timeoutMs?: number): Promise<T> {
  return eventually(
    what,
    async () => {
      let last: T | undefined;
      for (let i = 0; i < 12; i++) {
        last = await condition();
        if (last === undefined) return undefined;
      }
      return last;
    },
    timeoutMs,
  );
}
const untilStatus = (what: string, expected: number, ...args: Parameters<typeof ask>): Promise<true> =>
  atBothPods(what, async () => ((await status(...args)) === expected ? true : undefined));
const publish = (...signers: Signer[]): Promise<unknown> =>
  outside.run(
    `curl -sS -f -X PUT --data-binary '${signers.length === 0 ? "" : JSON.stringify({ keys: signers.map(({ jwk }) => jwk) })}' ${issuer}/keys`,
  );

async function echoLogs(): Promise<string> {
  const logs = await Promise.all(["echo-v1", "echo-v2"].map((pod) => mesh.run("logs", pod, "-c", "istio-proxy")));
  return logs.map(({ stdout }) => stdout).join("");
}

describe("end users", { timeout: 600_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/workloads", "test/fixtures/end-users"] });
    [client, outside, first, second] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "external.outside", "external"),
      signer("first"),
      signer("second"),
    ]);
  });
  after(async () => {
    await Promise.all([client?.close(), outside?.close()]);
    await mesh?.stop();
  });

  test("CVE-2026-31837 while the issuer gives no keys its tokens are refused with its address, and all else goes on", async () => {
    mesh.writeConfig(
      "jwt.yaml",
      policy("RequestAuthentication", "jwt", `  jwtRules: [{ issuer: "${issuer}", audiences: [web] }]`),
    );
    const jwt = await token(first);
    await untilStatus("the token to be refused", 401, jwt);
    assert.equal(await status(), 200);
    const answer = await ask(jwt);
    assert.match(answer.headers["x-outrigger-explain"] ?? answer.body, /openid-configuration.*answers 503/);
    const shown = await mesh.run("status");
    assert.match(shown.stdout, /RequestAuthentication +default +jwt +partly in force/);
    assert.match(shown.stdout, /no keys come from http:\/\/end-users.*answers 503; every token of http.* is refused/);
  });

  test("keys are found by the issuer's OpenID configuration as soon as it has some", async () => {
    await publish(first);
    const jwt = await token(first);
    // Who had none is asked again within a minute.
    await atBothPods("a good token to pass", async () => ((await status(jwt)) === 200 ? true : undefined), 90_000);
    const answer = seen(await ask(await token(first)));
    assert.equal(answer.headers["authorization"], undefined, "the token is taken out");
  });

  test("what is wrong with a token is told apart, with the rule and its line", async () => {
    const good = await token(first);
    const cases: readonly [jwt: string, status: number, body: string, words: RegExp][] = [
      ["not.a-token", 401, "Jwt is not in the form of Header.Payload.Signature", /the token in header authorization/],
      [
        await token(first, { iss: "http://somebody.example" }),
        401,
        "Jwt issuer is not configured",
        /of issuer "http:\/\/somebody/,
      ],
      [await token(first, { exp: now() - 3600 }), 401, "Jwt is expired", /expired at 20/],
      [await token(first, { nbf: now() + 3600 }), 401, "Jwt not yet valid", /is valid from/],
      [
        await token(second),
        401,
        "Jwks doesn't have key to match kid or alg from Jwt",
        /key "second".*its keys: "first"/,
      ],
      [await token({ ...second, kid: "first" }), 401, "Jwt verification fails", /is not signed by a key/],
      [
        await token(first, { aud: "other" }),
        403,
        "Audiences in Jwt are not allowed",
        /is for "other", and "web" is wanted/,
      ],
      [`${good.slice(0, good.lastIndexOf("."))}.`, 401, "Jwt", /./],
    ];
    for (const [jwt, expected, body, words] of cases) {
      const answer = await ask(jwt);
      assert.equal(answer.status, expected, body);
      assert.ok(answer.body.startsWith(body), answer.body);
      assert.match(answer.headers["x-outrigger-explain"] ?? "", words);
      assert.match(
        answer.headers["x-outrigger-explain"] ?? "",
        /RequestAuthentication default\/jwt \(config\/jwt\.yaml:6\)/,
      );
    }
    assert.match(
      await echoLogs(),
      /401 .*jwt_authn_access_denied\{Jwt_is_expired\}.*RequestAuthentication default\/jwt \(config\/jwt\.yaml:6\)/,
    );
  });

  test("policies decide by principal and claims, nested ones too", async () => {
    mesh.writeConfig(
      "users.yaml",
      policy(
        "AuthorizationPolicy",
        "users",
        `  rules:
  - from: [{ source: { requestPrincipals: ["${issuer}/ann"] } }]
    to: [{ operation: { paths: [/ann] } }]
  - to: [{ operation: { paths: [/admins] } }]
    when:
    - { key: "request.auth.claims[realm][roles]", values: [admin] }
    - { key: "request.auth.claims[scope]", values: [write] }`,
      ),
    );
    await untilStatus("requests without a token to be refused", 403, undefined, `${echo}/ann`);
    const admin = await token(first, { sub: "bob", realm: { roles: ["user", "admin"] }, scope: "read write" });
    const reader = await token(first, { sub: "bob", realm: { roles: ["admin"] }, scope: "read" });
    assert.equal(await status(await token(first), `${echo}/ann`), 200);
    assert.equal(await status(admin, `${echo}/ann`), 403);
    assert.equal(await status(admin, `${echo}/admins`), 200);
    assert.equal(await status(reader, `${echo}/admins`), 403);
    assert.equal(await status(await token(first), `${echo}/admins`), 403);
    mesh.removeConfig("users.yaml");
    await untilStatus("everybody to be let in", 200, undefined, `${echo}/ann`);
  });

  test("tokens stand in headers, parameters and cookies of choice, and their claims go into headers", async () => {
    mesh.writeConfig(
      "jwt.yaml",
      policy(
        "RequestAuthentication",
        "jwt",
        `  jwtRules:
  - issuer: "${issuer}"
    jwksUri: "${issuer}/keys"
    fromHeaders: [{ name: x-jwt, prefix: "JWT " }]
    fromParams: [jwt]
    fromCookies: [session]
    forwardOriginalToken: true
    outputPayloadToHeader: x-payload
    outputClaimToHeaders: [{ header: x-role, claim: realm.role }]`,
      ),
    );
    const jwt = await token(first, { realm: { role: "admin" } });
    const places = [`-H 'x-jwt: JWT ${jwt}' ${echo}/`, `'${echo}/?jwt=${jwt}'`, `-H 'cookie: session=${jwt}' ${echo}/`];
    for (const place of places) {
      const answer = await atBothPods(place.slice(0, 20), async () => {
        const { headers } = seen(await ask(undefined, place));
        return headers["x-role"] === "admin" ? headers : undefined;
      });
      assert.equal(JSON.parse(Buffer.from(answer["x-payload"] ?? "", "base64url").toString()).sub, "ann");
    }
    const forged = seen(await ask(undefined, `-H 'x-role: admin' ${echo}/`));
    assert.equal(forged.headers["x-role"], undefined, "nobody writes the header himself");
  });

  test("keys in the policy itself", async () => {
    const keys = JSON.stringify({ keys: [second.jwk] });
    mesh.writeConfig(
      "jwt.yaml",
      policy("RequestAuthentication", "jwt", `  jwtRules: [{ issuer: "${issuer}", jwks: '${keys}' }]`),
    );
    await untilStatus("the other key's token to be refused", 401, await token(first));
    assert.equal(await status(await token(second)), 200);
    mesh.removeConfig("jwt.yaml");
    await untilStatus("nobody to look at tokens", 200, await token(first));
  });

  for (const protocol of ["http", "grpc"]) {
    test(`CUSTOM asks a service over ${protocol}, and only about what its rules match`, async () => {
      mesh.writeConfig(
        "ask.yaml",
        policy(
          "AuthorizationPolicy",
          "ask",
          `  action: CUSTOM\n  provider: { name: over-${protocol} }\n  rules: [{ to: [{ operation: { paths: [/asked] } }] }]`,
        ),
      );
      const refused = await atBothPods("the service's refusal", async () => {
        const answer = await ask(undefined, `${echo}/asked`);
        return answer.status === 403 && answer.body.startsWith("ask for a pass") ? answer : undefined;
      });
      assert.equal(refused.headers["x-reason"], "no pass");
      const passed = seen(await ask(undefined, `-H 'x-pass: yes' ${echo}/asked`));
      assert.equal(passed.headers["x-decided-by"], protocol);
      assert.equal(seen(await ask(undefined, `${echo}/free`)).headers["x-decided-by"], undefined);
      assert.match(refused.headers["x-outrigger-explain"] ?? "", /\(config\/ask\.yaml:8\)/);
      const shown = await mesh.run("status");
      assert.match(shown.stdout, /AuthorizationPolicy +default +ask +in force/);
      mesh.removeConfig("ask.yaml");
      await untilStatus("nobody to be asked", 200, undefined, `${echo}/asked`);
    });
  }

  // What the sidecar itself says when it refuses, to the client and in its log.
  const lines: RegExp[] = [];
  for (const [provider, pass, expected, details, words] of [
    ["over-http", "no", 403, "ext_authz_denied", "(HTTP) denies it with 403 for RULE [PLACE]"],
    ["over-grpc", "no", 403, "ext_authz_denied", "(gRPC) denies it with 403 for RULE [PLACE]"],
    [
      "late-http",
      "later",
      403,
      "ext_authz_error",
      "(HTTP) can't be asked for RULE: .*no answer within 300 ms.* [PLACE]",
    ],
    [
      "late-grpc",
      "later",
      403,
      "ext_authz_error",
      "(gRPC) can't be asked for RULE: .*within 300 ms.*status 4.* [PLACE]",
    ],
    ["nobody-http", "yes", 503, "ext_authz_error", "(HTTP) can't be asked for RULE: .*refused.* [PLACE]"],
    ["nobody-grpc", "yes", 403, "ext_authz_error", "(gRPC) can't be asked for RULE: .*refused.*status 14.* [PLACE]"],
    [
      "nobody",
      "yes",
      403,
      "rbac_access_denied_matched_policy[RULE]",
      'is denied by RULE: mesh configuration has no external authorization provider "nobody" [PLACE]',
    ],
  ] as const) {
    test(`CUSTOM with the provider ${provider}: the refusal names what failed, the policy and its line`, async () => {
      mesh.writeConfig(
        "ask.yaml",
        policy("AuthorizationPolicy", "ask", `  action: CUSTOM\n  provider: { name: ${provider} }\n  rules: [{}]`),
      );
      const suffix = provider === "nobody" ? "-deny-due-to-bad-CUSTOM-action" : "";
      const written = (text: string): string =>
        text
          .replaceAll(/[()[\]]/g, "\\$&")
          .replaceAll('"', '\\\\?"') // which the log escapes
          .replace("RULE", RegExp.escape(`istio-ext-authz-${provider}-ns[default]-policy[ask]-rule[0]${suffix}`))
          .replace("PLACE", RegExp.escape("AuthorizationPolicy default/ask (config/ask.yaml:8)"));
      const said = new RegExp(written(words));
      const answer = await eventually(String(said), async () => {
        const refused = await ask(undefined, `-H 'x-pass: ${pass}' ${echo}/for-${provider}`);
        return said.test(refused.headers["x-outrigger-explain"] ?? "") ? refused : undefined;
      });
      assert.equal(answer.status, expected);
      lines.push(new RegExp(`GET /for-${provider} .* ${expected} .*${written(details)}.*${written(words)}`));
      if (provider === "nobody") {
        const shown = await mesh.run("status");
        assert.match(shown.stdout, /no external authorization provider "nobody"/);
      }
    });
  }

  test("CUSTOM with the provider in the log: each of these refusals has its line", async () => {
    assert.ok(lines.length > 0);
    await eventually("the refusals in the log", async () => {
      const log = await echoLogs();
      return lines.every((line) => line.test(log)) ? true : undefined;
    });
  });

  for (const protocol of ["http", "grpc"]) {
    test(`CUSTOM over ${protocol} with failOpen lets through what nobody could be asked about`, async () => {
      mesh.writeConfig(
        "ask.yaml",
        policy("AuthorizationPolicy", "ask", `  action: CUSTOM\n  provider: { name: open-${protocol} }\n  rules: [{}]`),
      );
      await untilStatus("requests to pass", 200);
    });
  }
});
