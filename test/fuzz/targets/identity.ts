// What peers show of who they are: certificates, requests for one, tokens and the keys to verify them with. What is wrong
// is refused with the one error or status that there is for it, and what is read is what an independent reader reads.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { hasCode } from "#base/error.ts";
import { isJwt, parseJwt } from "#wire/jose/jwt.ts";
import { parseKeySet } from "#wire/jose/key-set.ts";
import { type Certificate, parseCertificate } from "#wire/x509/certificate.ts";
import { parseCertificateRequest } from "#wire/x509/certificate-request.ts";
import { damaged, noise } from "../bytes.ts";
import { type FuzzTarget, fuzzTarget } from "../fuzz-target.ts";

// An authority, a workload and a request of one key. Written down, because a signature is another one in every run, and a
// seed has to give the same inputs.
const authority = Buffer.from(
  "MIIBXzCCAQSgAwIBAgIQZxq9UivkhkclETtknXRR0zAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARyb290MB4XDTI2MDEwMTAwMDAw" +
    "MFoXDTM2MDEwMTAwMDAwMFowDzENMAsGA1UEAwwEcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDCgQkzSHClEg4otdckr" +
    "N+duog2fAIk6O07uijwKr+w+4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyOjQjBAMA4GA1UdDwEB/wQEAwIBBjAPBgNV" +
    "HRMBAf8EBTADAQH/MB0GA1UdDgQWBBRRuUTN+lRNTDJzqmvzUGJafdU7uzAKBggqhkjOPQQDAgNJADBGAiEAqrSUGX8yZMFD2bBz" +
    "S6VRD8o2Y+XQUKKqFSlFiVFoJ/cCIQDuTtoNH+Yxj0zSTT5HIjque0nXLHF0GROxyBc8HnXv3Q==",
  "base64",
);
const workload = Buffer.from(
  "MIIBwTCCAWigAwIBAgIQZUbtBPHIQ+yA+G1q5RabbDAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARyb290MB4XDTI2MDEwMTAwMDAw" +
    "MFoXDTM2MDEwMTAwMDAwMFowADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDCgQkzSHClEg4otdckrN+duog2fAIk6O07uijwK" +
    "r+w+4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyOjgbQwgbEwDgYDVR0PAQH/BAQDAgWgMB0GA1UdJQQWMBQGCCsGAQUF" +
    "BwMBBggrBgEFBQcDAjAMBgNVHRMBAf8EAjAAMB8GA1UdIwQYMBaAFFG5RM36VE1MMnOqa/NQYlp91Tu7MFEGA1UdEQEB/wRHMEWG" +
    "IHNwaWZmZTovL2NsdXN0ZXIubG9jYWwvbnMvYS9zYS9igglhLmV4YW1wbGWHBAoAAAGHEAAAAAAAAAAAAAAAAAAAAAEwCgYIKoZI" +
    "zj0EAwIDRwAwRAIgD9M6wqd4GtbqYAOaH5uV9C0pJUlp5WSqk16NS9GMhBkCIHmfsI9dClJfQnNmpAxGB7+8p+S6C6FEYlM8bSvI" +
    "P+lV",
  "base64",
);
const request = Buffer.from(
  "MIIBHDCBwwIBADAAMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D7gS2Xp" +
    "JFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXI6BhMF8GCSqGSIb3DQEJDjFSMFAwTgYDVR0RBEcwRYYgc3BpZmZlOi8vY2x1c3Rl" +
    "ci5sb2NhbC9ucy9hL3NhL2KCCWEuZXhhbXBsZYcECgAAAYcQAAAAAAAAAAAAAAAAAAAAATAKBggqhkjOPQQDAgNIADBFAiB+wQD7" +
    "OTIUUkv6beNmOl94z5cKE221ypsxQvYJSUoU1gIhAN9SoUhJBEcjJB18GyUySbIul+FgJO1yOZOCKhue9Od7",
  "base64",
);
const publicKeyInfo = Buffer.from(
  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue" +
    "6GnvHw/GW2ZZaVtszggXIw==",
  "base64",
);

/** What is read, or null for what is refused as it has to be. */
function read<T>(parse: () => T): T | null {
  try {
    return parse();
  } catch (error) {
    assert.ok(hasCode(error, "X509_INVALID"), String(error));
    return null;
  }
}

/** OpenSSL's view of it, or null where it reads nothing. */
function independent(der: Buffer): X509Certificate | null {
  try {
    return new X509Certificate(der);
  } catch {
    return null; // it is stricter in some places
  }
}

function agrees(ours: Certificate, theirs: X509Certificate): void {
  const serial = theirs.serialNumber.toLowerCase().replace(/^0+(?=.)/, "");
  if (!serial.startsWith("-")) assert.equal(ours.serialNumber, serial);
  assert.equal(ours.notAfterMs, Date.parse(theirs.validTo));
  assert.equal(ours.notBeforeMs, Date.parse(theirs.validFrom));
}

const certificateInput = fc.oneof(damaged([authority, workload]), noise);

export const certificates: FuzzTarget = fuzzTarget(
  "certificates",
  fc.property(certificateInput, (der) => {
    const ours = read(() => parseCertificate(der));
    const theirs = ours === null ? null : independent(der);
    if (ours !== null && theirs !== null) agrees(ours, theirs);
  }),
);

export const certificateRequests: FuzzTarget = fuzzTarget(
  "certificate-requests",
  fc.property(fc.oneof(damaged([request]), noise), (der) => {
    const parsed = read(() => parseCertificateRequest(der));
    // The signature covers what is read: nobody else's key, and no other name, gets through.
    if (parsed === null) return;
    assert.deepEqual(parsed.publicKeyInfo, publicKeyInfo);
    assert.deepEqual(parsed.subjectAltNames.uris, ["spiffe://cluster.local/ns/a/sa/b"]);
  }),
);

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const token = [
  base64({ alg: "RS256", kid: "1" }),
  base64({
    iss: "a",
    aud: ["b", "c"],
    exp: 2_000_000_000,
    nbf: 1,
    iat: 1,
    sub: "d",
    nested: { list: [1, { a: null }] },
  }),
  Buffer.alloc(32, 1).toString("base64url"),
].join(".");
const keySet = JSON.stringify({
  keys: [
    { kty: "oct", kid: "1", k: Buffer.alloc(64, 2).toString("base64url") },
    {
      kty: "EC",
      crv: "P-256",
      x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
      y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
      kid: "2",
      alg: "ES256",
    },
  ],
});

export const tokens: FuzzTarget = fuzzTarget(
  "tokens",
  fc.property(damaged([Buffer.from(token), Buffer.from(keySet)]), (bytes) => {
    const text = bytes.toString("latin1");
    const jwt = parseJwt(text);
    // What is read is what was signed, character by character.
    if (isJwt(jwt)) assert.equal(`${jwt.jws.signed}.${jwt.jws.signature.toString("base64url")}`, text);
    else assert.ok(jwt.text !== "");
    const keys = parseKeySet(text);
    if ("keys" in keys) assert.ok(keys.keys.length > 0);
    else assert.ok(keys.text !== "");
  }),
);
