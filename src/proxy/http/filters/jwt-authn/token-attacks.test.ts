// Tokens that try to be more than they are, each sent to a real proxy: made with the library `jose` or by hand. What the
// table calls refused never reaches the application, wherever in the request it stands.
import assert from "node:assert/strict";
import { createHmac, createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import { after, before, test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { CompactEncrypt, exportJWK, FlattenedSign, GeneralSign, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { JwtAuthenticationSchema } from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import { Problems } from "../../../config/problems.ts";
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
import { parseJwtAuthn } from "./settings.ts";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const otherRsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
/** Of whom the issuer knows nothing. */
const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const secret = Buffer.alloc(32, 5);
const publicPem = rsa.publicKey.export({ format: "pem", type: "spki" }).toString();

let path: TestDataPath;
let app: Awaited<ReturnType<typeof httpServer>>;
let arrived = 0;

before(async () => {
  app = await httpServer((_request, response) => {
    arrived++;
    response.end("app");
  });
  const keys = [
    { ...(await exportJWK(rsa.publicKey)), kid: "rsa" },
    { ...(await exportJWK(ec.publicKey)), kid: "ec", alg: "ES256" },
    { kty: "oct", k: secret.toString("base64url"), kid: "hmac" },
    // Two keys of one name: an issuer that rotates may do that.
    { ...(await exportJWK(otherRsa.publicKey)), kid: "twice" },
    { ...(await exportJWK(rsa.publicKey)), kid: "twice" },
  ];
  const settings = {
    providers: {
      good: {
        issuer: "https://issuer.example",
        audiences: ["web"],
        localJwks: { inlineString: JSON.stringify({ keys }) },
        fromHeaders: [{ name: "Authorization", valuePrefix: "Bearer " }],
        fromParams: ["token"],
        fromCookies: ["token"],
      },
    },
    rules: [{ match: { prefix: "/" }, requires: { providerName: "good" } }],
  };
  const problems = new Problems("listener", "test");
  const message = fromJson(JwtAuthenticationSchema, settings as unknown as JsonValue);
  const parsed = parseJwtAuthn(message, { name: "jwt", path: "jwt", problems, policyOrigins: new Map() });
  path = dataPath();
  path.clusters.update(clusterOn("app", [app.port]));
  const manager = managerConfig([routeEntry("/", forward("app"))], {
    httpFilters: [filterConfig("jwt_authn", parsed), filterConfig("router", {})],
  });
  await path.listeners.update(listenerConfig([chain([httpFilter(manager)])]));
});
after(() => {
  path.stop();
  app.stop();
});

const now = (): number => Math.floor(Date.now() / 1000);
const claims = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  iss: "https://issuer.example",
  sub: "ann",
  aud: "web",
  exp: now() + 600,
  ...more,
});

const url = (value: unknown): string =>
  Buffer.isBuffer(value)
    ? value.toString("base64url")
    : Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** Signed with RS256 by the issuer's own key, whatever header and payload say. */
function byIssuer(header: unknown, payload: unknown = claims(), key: KeyObject = rsa.privateKey): string {
  const signed = `${url(header)}.${url(payload)}`;
  return `${signed}.${createSign("RSA-SHA256").update(signed).sign(key).toString("base64url")}`;
}

function byHmac(header: unknown, key: Buffer | string, payload: unknown = claims()): string {
  const signed = `${url(header)}.${url(payload)}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

const rs256 = { alg: "RS256", kid: "rsa" };
type Made = string | Promise<string>;

const accepted: readonly (readonly [name: string, make: () => Made])[] = [
  ["RS256 of jose", () => new SignJWT(claims()).setProtectedHeader(rs256).sign(rsa.privateKey)],
  ["PS256 of jose", () => new SignJWT(claims()).setProtectedHeader({ alg: "PS256", kid: "rsa" }).sign(rsa.privateKey)],
  ["ES256 of jose", () => new SignJWT(claims()).setProtectedHeader({ alg: "ES256", kid: "ec" }).sign(ec.privateKey)],
  ["HS256 with a shared secret", () => byHmac({ alg: "HS256", kid: "hmac" }, secret)],
  ["no kid", () => byIssuer({ alg: "RS256" })],
  [
    "typ in any case, cty and unknown names in the header",
    () => byIssuer({ ...rs256, typ: "jwt", cty: "x", zip: "?" }),
  ],
  ["the second of two keys of one kid", () => byIssuer({ ...rs256, kid: "twice" })],
  ["b64 without crit, which is one more unknown name (RFC 7515 4)", () => byIssuer({ ...rs256, b64: false })],
  ["several audiences", () => byIssuer(rs256, claims({ aud: ["api", "web"] }))],
  ["exp a minute ago, within the clock skew", () => byIssuer(rs256, claims({ exp: now() - 50 }))],
  ["nbf in half a minute, within the clock skew", () => byIssuer(rs256, claims({ nbf: now() + 50 }))],
  ["iat in the future says nothing", () => byIssuer(rs256, claims({ iat: now() + 10_000 }))],
  ["no exp", () => byIssuer(rs256, claims({ exp: undefined }))],
  ["20 kB of claims", () => byIssuer(rs256, claims({ groups: "g".repeat(20_000) }))],
];

const attacks: readonly (readonly [name: string, make: () => Made])[] = [
  ["alg none of jose", () => new UnsecuredJWT(claims()).encode()],
  ["alg none with a signature", () => byIssuer({ alg: "none" })],
  ["alg None, in another case", () => `${url({ alg: "nOnE" })}.${url(claims())}.`],
  ["no alg", () => byIssuer({ kid: "rsa" })],
  ["alg that is no string", () => byIssuer({ alg: ["RS256"], kid: "rsa" })],
  ["alg in small letters", () => byIssuer({ alg: "rs256", kid: "rsa" })],
  ["HS256 with the PEM of the public key as its secret", () => byHmac({ alg: "HS256", kid: "rsa" }, publicPem)],
  ["the same without its last line break", () => byHmac({ alg: "HS256", kid: "rsa" }, publicPem.trimEnd())],
  [
    "HS256 with the DER of the public key",
    () => byHmac({ alg: "HS256", kid: "rsa" }, rsa.publicKey.export({ format: "der", type: "spki" })),
  ],
  [
    "HS256 without kid, over the modulus",
    () => byHmac({ alg: "HS256" }, String(rsa.publicKey.export({ format: "jwk" }).n)),
  ],
  ["HS256 with an empty secret", () => byHmac({ alg: "HS256", kid: "hmac" }, "")],
  ["ES256 said of an RSA signature", () => byIssuer({ alg: "ES256", kid: "ec" })],
  [
    "ES256 in DER instead of r and s",
    () => {
      const signed = `${url({ alg: "ES256", kid: "ec" })}.${url(claims())}`;
      return `${signed}.${createSign("SHA256").update(signed).sign(ec.privateKey).toString("base64url")}`;
    },
  ],
  [
    "ES256 with r and s of nothing",
    () => `${url({ alg: "ES256", kid: "ec" })}.${url(claims())}.${url(Buffer.alloc(64))}`,
  ],
  ["a key in the header (jwk)", async () => byIssuer(await withOwnKey(), claims(), stranger.privateKey)],
  [
    "an address of keys in the header (jku)",
    () => byIssuer({ alg: "RS256", jku: "http://127.0.0.1:1/keys" }, claims(), stranger.privateKey),
  ],
  [
    "certificates in the header (x5u, x5c)",
    () => byIssuer({ alg: "RS256", x5u: "http://127.0.0.1:1/c", x5c: ["MIIB"] }, claims(), stranger.privateKey),
  ],
  ["kid that is a path", () => byHmac({ alg: "HS256", kid: "../../../../dev/null" }, "")],
  ["kid that is a query", () => byHmac({ alg: "HS256", kid: "x' UNION SELECT 'key" }, "key")],
  ["kid of a prototype", () => byHmac({ alg: "HS256", kid: "__proto__" }, "")],
  ["kid that is a list", () => byIssuer({ alg: "RS256", kid: ["rsa"] })],
  ["kid of another key of the set", () => byIssuer({ alg: "RS256", kid: "ec" })],
  ["a key that nobody knows", () => byIssuer({ alg: "RS256", kid: "rsa" }, claims(), stranger.privateKey)],
  ["kid twice in the header", () => byIssuer('{"alg":"RS256","kid":"ec","kid":"rsa"}')],
  ["alg twice in the header", () => byIssuer('{"alg":"none","alg":"RS256","kid":"rsa"}')],
  ["crit", () => byIssuer({ ...rs256, crit: ["exp"], exp: 1 })],
  ["crit that names nothing", () => byIssuer({ ...rs256, crit: [] })],
  ["b64=false, detached from base64 (RFC 7797)", () => unencoded()],
  ["iss twice", () => byIssuer(rs256, `{"iss":"https://evil.example","iss":"https://issuer.example","aud":"web"}`)],
  [
    "aud twice, in another spelling",
    () => byIssuer(rs256, `{"iss":"https://issuer.example","aud":"api","\\u0061ud":"web"}`),
  ],
  [
    "a nested token",
    async () =>
      byIssuer({ ...rs256, cty: "JWT" }, await new SignJWT(claims()).setProtectedHeader(rs256).sign(rsa.privateKey)),
  ],
  ["a token as a string in a token", () => byIssuer(rs256, JSON.stringify(byIssuer(rs256)))],
  [
    "an encrypted token (JWE)",
    async () =>
      new CompactEncrypt(Buffer.from(JSON.stringify(claims())))
        .setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM", kid: "rsa" })
        .encrypt(rsa.publicKey),
  ],
  ["flattened JSON serialization", async () => JSON.stringify(await flattened())],
  ["general JSON serialization, two signatures", async () => JSON.stringify(await general())],
  ["a second signature behind the first", () => `${byIssuer(rs256)}.${byIssuer(rs256).split(".")[2]}`],
  ["another payload under a good signature", () => replacePart(byIssuer(rs256), 1, url(claims({ sub: "root" })))],
  ["another header under a good signature", () => replacePart(byIssuer(rs256), 0, url({ ...rs256, typ: "x" }))],
  ["no signature", () => replacePart(byIssuer(rs256), 2, "")],
  ["padding", () => `${byIssuer(rs256)}==`],
  [
    "the alphabet of base64 instead of base64url",
    () => replacePart(byIssuer(rs256), 2, Buffer.from("\xfb\xff\xfe".repeat(85) + "\xfb", "latin1").toString("base64")),
  ],
  ["another issuer", () => byIssuer(rs256, claims({ iss: "https://evil.example" }))],
  ["an issuer with a slash more", () => byIssuer(rs256, claims({ iss: "https://issuer.example/" }))],
  ["an issuer in capitals", () => byIssuer(rs256, claims({ iss: "HTTPS://ISSUER.EXAMPLE" }))],
  ["an issuer that is a list", () => byIssuer(rs256, claims({ iss: ["https://issuer.example"] }))],
  ["no issuer", () => byIssuer(rs256, claims({ iss: undefined }))],
  ["another audience", () => byIssuer(rs256, claims({ aud: "api" }))],
  ["an audience that is the beginning", () => byIssuer(rs256, claims({ aud: ["we", "web2", "WEB"] }))],
  ["an audience that is an object", () => byIssuer(rs256, claims({ aud: { web: true } }))],
  ["no audience", () => byIssuer(rs256, claims({ aud: undefined }))],
  ["exp just beyond the skew", () => byIssuer(rs256, claims({ exp: now() - 62 }))],
  ["exp of 1970", () => byIssuer(rs256, claims({ exp: 0 }))],
  ["exp that is negative", () => byIssuer(rs256, claims({ exp: -1 }))],
  ["exp that is a text", () => byIssuer(rs256, claims({ exp: String(now() + 600) }))],
  ["exp that is null", () => byIssuer(rs256, claims({ exp: null }))],
  ["exp beyond all numbers", () => byIssuer(rs256, JSON.stringify(claims({ exp: "BIG" })).replace('"BIG"', "1e400"))],
  ["nbf just beyond the skew", () => byIssuer(rs256, claims({ nbf: now() + 65 }))],
  ["nbf that is a text", () => byIssuer(rs256, claims({ nbf: "0" }))],
  ["iat that is a text", () => byIssuer(rs256, claims({ iat: "now" }))],
  ["claims that are a list", () => byIssuer(rs256, [claims()])],
  [
    "claims nested without end",
    () => byIssuer(rs256, `{"iss":"https://issuer.example","aud":"web","x":${"[".repeat(5000)}${"]".repeat(5000)}}`),
  ],
  ["claims with a NUL behind them", () => byIssuer(rs256, `${JSON.stringify(claims())}\u0000`)],
  [
    "claims that are no UTF-8",
    () => byIssuer(rs256, Buffer.from(`{"iss":"https://issuer.example","aud":"web","x":"\xff"}`, "latin1")),
  ],
  ["a byte order mark before the claims", () => byIssuer(rs256, `\ufeff${JSON.stringify(claims())}`)],
];

const withOwnKey = async (): Promise<object> => ({ alg: "RS256", jwk: await exportJWK(stranger.publicKey) });

function replacePart(token: string, index: number, part: string): string {
  const parts = token.split(".");
  parts[index] = part;
  return parts.join(".");
}

/** A payload that stands as it is, as RFC 7797 lets it, and the signature over just that. */
function unencoded(): string {
  const header = url({ ...rs256, b64: false, crit: ["b64"] });
  const payload = url(claims());
  const signature = createSign("RSA-SHA256")
    .update(`${header}.${JSON.stringify(claims())}`)
    .sign(rsa.privateKey);
  return `${header}.${payload}.${signature.toString("base64url")}`;
}

const bytes = (): Uint8Array => Buffer.from(JSON.stringify(claims()));
const flattened = (): Promise<object> => new FlattenedSign(bytes()).setProtectedHeader(rs256).sign(rsa.privateKey);

async function general(): Promise<object> {
  const { privateKey } = await generateKeyPair("ES256");
  return new GeneralSign(bytes())
    .addSignature(rsa.privateKey)
    .setProtectedHeader(rs256)
    .addSignature(privateKey)
    .setProtectedHeader({ alg: "ES256" })
    .sign();
}

const inHeader = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

for (const [name, make] of accepted) {
  test(`accepted: ${name}`, async () => {
    const answer = await ask(path, "/x", { headers: inHeader(await make()) });
    assert.deepEqual([answer.status, answer.body], [200, "app"], answer.body);
  });
}

for (const [name, make] of attacks) {
  test(`refused: ${name}`, async () => {
    const token = await make();
    const before = arrived;
    const answers = [
      await ask(path, "/x", { headers: inHeader(token) }),
      await ask(path, `/x?token=${encodeURIComponent(token)}`),
      // A good token in front does not cover for it.
      await ask(path, `/x?token=${encodeURIComponent(token)}`, { headers: inHeader(byIssuer(rs256)) }),
    ];
    for (const { status, body } of answers) assert.ok(status === 401 || status === 403, `${status} ${body}`);
    assert.equal(arrived, before, "the application has seen nothing");
  });
}

test("a token of a megabyte ends at the limit of headers, and the next request is served", async () => {
  const huge = byIssuer(rs256, claims({ x: "x".repeat(1 << 20) }));
  const answer = await sendRaw(path.port(), `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${huge}\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 431 /);
  assert.equal((await ask(path, "/x", { headers: inHeader(byIssuer(rs256)) })).status, 200);
});
