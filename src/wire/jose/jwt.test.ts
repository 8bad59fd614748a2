import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { type Algorithm, algorithms, maxTokenLength, parseJws } from "./jws.ts";
import { isJwt, type Jwt, parseJwt } from "./jwt.ts";
import { isKeySet, type KeySet, parseKeySet, verifyJws } from "./key-set.ts";
import * as statuses from "./status.ts";

const url = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

const keySet = (...keys: readonly unknown[]): KeySet => {
  const set = parseKeySet(JSON.stringify({ keys }));
  assert.ok(isKeySet(set), isKeySet(set) ? "" : set.text);
  return set;
};

const jwtOf = (token: string): Jwt => {
  const jwt = parseJwt(token);
  assert.ok(isJwt(jwt), isJwt(jwt) ? "" : jwt.text);
  return jwt;
};

const why = (token: string): string => {
  const jwt = parseJwt(token);
  return isJwt(jwt) ? "" : jwt.text;
};

const secret = Buffer.alloc(64, 7);
const hmacKey = { kty: "oct", k: secret.toString("base64url"), kid: "h" };

/** A token of those parts, signed with the secret whatever its header says. */
function forged(header: unknown, payload: unknown, hash = "sha256", key: Buffer | KeyObject = secret): string {
  const signed = `${url(header)}.${url(payload)}`;
  return `${signed}.${createHmac(hash, key).update(signed).digest("base64url")}`;
}

for (const algorithm of algorithms) {
  test(`a token that jose signed with ${algorithm} is verified, and refused with one bit changed`, async () => {
    const { token, jwk } = await signed(algorithm);
    const keys = keySet({ ...jwk, kid: "k" });
    assert.equal(verifyJws(jwtOf(token).jws, keys), statuses.jwtOk);
    const dot = token.lastIndexOf(".");
    const signature = Buffer.from(token.slice(dot + 1), "base64url");
    for (const at of [0, signature.length >> 1, signature.length - 1]) {
      const changed = Buffer.from(signature);
      changed[at]! ^= 1;
      const other = `${token.slice(0, dot)}.${changed.toString("base64url")}`;
      assert.equal(verifyJws(jwtOf(other).jws, keys), statuses.jwtVerificationFails);
    }
    const shorter = `${token.slice(0, dot)}.${signature.subarray(1).toString("base64url")}`;
    assert.equal(verifyJws(jwtOf(shorter).jws, keys), statuses.jwtVerificationFails);
  });
}

async function signed(algorithm: Algorithm): Promise<{ token: string; jwk: JWK }> {
  const claims = new SignJWT({ group: "a" }).setProtectedHeader({ alg: algorithm, kid: "k" }).setIssuer("me");
  if (algorithm.startsWith("HS")) return { token: await claims.sign(secret), jwk: { kty: "oct", k: hmacKey.k } };
  const pair = await generateKeyPair(algorithm, { extractable: true });
  return { token: await claims.sign(pair.privateKey), jwk: await exportJWK(pair.publicKey) };
}

test("an RSA public key is no secret: HS256 over its bytes is refused (algorithm confusion)", () => {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const keys = keySet({ ...publicKey.export({ format: "jwk" }), kid: "r" });
  for (const bytes of [
    Buffer.from(publicKey.export({ format: "pem", type: "spki" })),
    publicKey.export({ format: "der", type: "spki" }),
    Buffer.from(JSON.stringify(publicKey.export({ format: "jwk" }))),
  ]) {
    const token = forged({ alg: "HS256", kid: "r" }, { iss: "me" }, "sha256", bytes);
    assert.equal(verifyJws(jwtOf(token).jws, keys), statuses.jwksNoMatch);
  }
});

test("a key serves the one algorithm that it names", () => {
  const keys = keySet({ ...hmacKey, alg: "HS512" });
  assert.equal(verifyJws(jwtOf(forged({ alg: "HS256" }, {})).jws, keys), statuses.jwksNoMatch);
  assert.equal(verifyJws(jwtOf(forged({ alg: "HS512" }, {}, "sha512")).jws, keys), statuses.jwtOk);
});

test("alg none, in any case and without, is no algorithm", () => {
  for (const alg of ["none", "None", "NONE", "nOnE", "hs256", "", "HS1", "RS1", "A128KW", "ES256K"]) {
    assert.equal(why(forged({ alg }, {})), "Jwt header [alg] is not supported", alg);
  }
  assert.equal(why(`${url({ alg: "none" })}.${url({})}.`), statuses.jwtBadFormat.text);
  for (const header of [{}, { alg: null }, { alg: ["HS256"] }, { alg: { toString: "HS256" } }]) {
    assert.equal(why(forged(header, {})), "Jwt header [alg] field is required and must be a string");
  }
});

test("kid only chooses among the configured keys", () => {
  const keys = keySet({ ...hmacKey, kid: "a" }, { kty: "oct", k: Buffer.alloc(32, 1).toString("base64url"), kid: "b" });
  const status = (header: object): string => verifyJws(jwtOf(forged({ alg: "HS256", ...header }, {})).jws, keys).text;
  assert.equal(status({ kid: "a" }), "OK");
  assert.equal(status({}), "OK");
  assert.equal(status({ kid: "b" }), "Jwt verification fails");
  for (const kid of ["../../dev/null", "c", "a' OR 1=1", "__proto__", "a\u0000"]) {
    assert.equal(status({ kid }), "Jwks doesn't have key to match kid or alg from Jwt", kid);
  }
  assert.equal(why(forged({ alg: "HS256", kid: 1 }, {})), "Jwt header [kid] field is not a string");
});

test("keys and addresses of keys in the header are not looked at", () => {
  const own = { kty: "oct", k: Buffer.alloc(32, 9).toString("base64url") };
  const token = forged(
    { alg: "HS256", jwk: own, jku: "http://attacker/keys", x5u: "http://attacker/cert", x5c: ["AAAA"] },
    {},
    "sha256",
    Buffer.alloc(32, 9),
  );
  assert.equal(verifyJws(jwtOf(token).jws, keySet(hmacKey)), statuses.jwtVerificationFails);
});

test("crit is refused: nothing that it could ask for is understood (RFC 7515 4.1.11)", () => {
  for (const crit of [["exp"], ["b64"], [], "exp", null]) {
    assert.equal(why(forged({ alg: "HS256", crit }, {})), "Jwt header [crit] is not supported");
  }
});

test("a name that stands twice is refused, at any depth and in any spelling", () => {
  assert.equal(why(forged('{"alg":"HS256","alg":"none"}', {})), statuses.jwtHeaderBadJson.text);
  for (const payload of [
    '{"iss":"a","iss":"b"}',
    '{"iss":"a","\\u0069ss":"b"}',
    '{"a":{"b":1,"b":2}}',
    '{"a":[{"b":1,"b":2}]}',
  ]) {
    assert.equal(why(forged({ alg: "HS256" }, payload)), statuses.jwtPayloadBadJson.text, payload);
  }
  const fine = '{"a":{"b":1},"b":[{"b":1},{"b":2}],"c":"\\"b\\":{","d":"\\\\"}';
  assert.equal(why(forged({ alg: "HS256" }, fine)), "");
});

test("deep nesting, other JSON than objects and broken UTF-8 are refused", () => {
  const nested = (depth: number): string => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
  assert.equal(why(forged({ alg: "HS256" }, nested(60))), "");
  for (const depth of [64, 1000, 20_000]) {
    assert.equal(why(forged({ alg: "HS256" }, nested(depth))), statuses.jwtPayloadBadJson.text);
  }
  for (const payload of ["[]", '"x"', "null", "1", "", "{", '{"a":1}x']) {
    assert.notEqual(why(forged({ alg: "HS256" }, payload)), "", payload);
  }
  const broken = Buffer.from([0x7b, 0x22, 0x61, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString("base64url");
  const signed = `${url({ alg: "HS256" })}.${broken}`;
  assert.equal(
    why(`${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`),
    statuses.jwtPayloadBadJson.text,
  );
});

test("a token has three parts of canonical base64url and a bounded length", () => {
  const token = forged({ alg: "HS256" }, { a: 1 });
  const [header = "", payload = "", signature = ""] = token.split(".");
  for (const bad of [
    "",
    ".",
    "..",
    "a",
    `${header}.${payload}`,
    `${token}.`,
    `${token}.${signature}`,
    `${header}..${signature}`,
  ]) {
    assert.equal(why(bad), statuses.jwtBadFormat.text, bad);
  }
  assert.equal(why(`${header}=.${payload}.${signature}`), statuses.jwtHeaderBadBase64.text);
  assert.equal(why(`${header}.${payload}=.${signature}`), statuses.jwtPayloadBadBase64.text);
  for (const odd of [`${signature}=`, ` ${signature}`, `${signature.slice(0, -1)}+`, `${signature}\n`]) {
    assert.equal(why(`${header}.${payload}.${odd}`), statuses.jwtSignatureBadBase64.text, odd);
  }
  assert.equal(why(forged({ alg: "HS256" }, { a: "x".repeat(maxTokenLength) })), statuses.jwtBadFormat.text);
});

test("registered claims are of their types", () => {
  const cases: readonly (readonly [object, string])[] = [
    [{ iss: 1 }, "Jwt payload [iss] field is not a string"],
    [{ sub: {} }, "Jwt payload [sub] field is not a string"],
    [{ jti: [] }, "Jwt payload [jti] field is not a string"],
    [{ aud: 1 }, "Jwt payload [aud] field is not a string or string list"],
    [{ aud: ["a", 1] }, "Jwt payload [aud] field is not a string or string list"],
    [{ exp: "1" }, "Jwt payload [exp] field is not an integer"],
    [{ exp: -1 }, "Jwt payload [exp] field is not a positive 64 bit integer"],
    [{ nbf: true }, "Jwt payload [nbf] field is not an integer"],
    [{ iat: null }, "Jwt payload [iat] field is not an integer"],
    [{ exp: 1e300 }, "Jwt payload [exp] field is not a positive 64 bit integer"],
    [{ iss: "a", sub: "b", jti: "c", aud: ["d"], exp: 1.5, nbf: 0, iat: 2 }, ""],
  ];
  for (const [claims, expected] of cases) assert.equal(why(forged({ alg: "HS256" }, claims)), expected);
});

test("a key set keeps the keys that it can use and says why it leaves out the others", () => {
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" });
  const set = keySet(
    hmacKey,
    weak,
    { kty: "oct", k: "AAAA" },
    { kty: "oct", k: "====" },
    { ...hmacKey, use: "enc" },
    { ...hmacKey, key_ops: ["sign"] },
    { ...hmacKey, alg: "RS256" },
    { kty: "EC", crv: "P-192", x: "AA", y: "AA" },
    { kty: "EC", crv: "P-256", x: "AA", y: "AA" },
    { kty: "EC", crv: "__proto__", x: "AA", y: "AA" },
    { kty: "OKP", crv: "X25519", x: "AA" },
    { kty: "dsa" },
    { kty: "RSA", n: 1, e: "AQAB" },
    { ...hmacKey, kid: 7 },
    7,
  );
  assert.equal(set.keys.length, 1);
  assert.deepEqual(set.leftOut, [
    "key 2: an RSA key of 1024 bits is too short",
    "key 3: a secret of 3 bytes is too short",
    "key 4: k is no base64url",
    "key 5: is for enc",
    "key 6: is not for verifying",
    "key 7: alg RS256 does not go with it",
    "key 8: curve P-192 is not supported",
    "key 9: the key is not valid",
    "key 10: curve __proto__ is not supported",
    "key 11: curve X25519 is not supported",
    "key 12: kty dsa is not supported",
    "key 13: a part of the key is missing",
    "key 14: kid is no string",
    "key 15: is no object",
  ]);
});

test("a text that is no key set has a status for each reason", () => {
  const text = (source: string): string => {
    const set = parseKeySet(source);
    return isKeySet(set) ? "" : set.text;
  };
  assert.equal(text("{"), "Jwks is an invalid JSON");
  assert.equal(text("[]"), "Jwks is an invalid JSON");
  assert.equal(text("{}"), "Jwks does not have [keys] field");
  assert.equal(text('{"keys":{}}'), "[keys] in Jwks is not an array");
  assert.equal(text('{"keys":[]}'), "Jwks doesn't have any valid public key");
  assert.equal(text('{"keys":[],"keys":[]}'), "Jwks is an invalid JSON");
});

test("no text throws, and no text is taken for a token that the keys made", () => {
  const keys = keySet(hmacKey);
  const token = forged({ alg: "HS256", kid: "h" }, { iss: "me" });
  const part = fc.oneof(fc.string(), fc.base64String(), fc.constantFrom(...token.split(".")));
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
      const text = parts.join(".");
      const jws = parseJws(text);
      if (!("signed" in jws)) return;
      assert.equal(verifyJws(jws, keys) === statuses.jwtOk, text === token);
    }),
    { numRuns: 2000 },
  );
});
