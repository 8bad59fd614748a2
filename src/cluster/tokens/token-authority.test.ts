import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalJWKSet, jwtVerify } from "jose";
import { hasCode } from "#base/error.ts";
import { ManualClock } from "#base/time/clock.ts";
import { openStore } from "../store/open-store.ts";
import { pods, serviceAccounts } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import { clusterIssuer, openTokenAuthority, type TokenAuthority } from "./token-authority.ts";

const request = { namespace: "default", serviceAccount: "app" };

function setUp(): { store: ObjectStore; clock: ManualClock; tokens: TokenAuthority; podUid: string } {
  const clock = new ManualClock(Date.parse("2026-01-01T00:00:00Z"));
  const store = openStore({ memory: true, clock });
  store.create(serviceAccounts, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "app", namespace: "default" },
  });
  const metadata = { name: "pod-1", namespace: "default" };
  const pod = store.create(pods, { apiVersion: "v1", kind: "Pod", metadata, spec: { serviceAccountName: "app" } });
  return { store, clock, tokens: openTokenAuthority({ store, clock }), podUid: pod.metadata.uid ?? "" };
}

test("a token is a JWT that anyone can verify with the published keys", async () => {
  const { tokens, podUid, clock } = setUp();
  const { token, expirationTimestamp } = tokens.issue({
    ...request,
    audiences: ["istio-ca"],
    expirationSeconds: 600,
    boundPod: { name: "pod-1", uid: podUid },
  });
  const keys = createLocalJWKSet({ keys: tokens.jwks().keys.map((key) => ({ kty: "EC", ...key })) });
  const { payload } = await jwtVerify(token, keys, {
    issuer: clusterIssuer,
    audience: "istio-ca",
    currentDate: new Date(clock.now()),
  });
  assert.equal(payload.sub, "system:serviceaccount:default:app");
  assert.deepEqual(Object(payload["kubernetes.io"]).pod, { name: "pod-1", uid: podUid });
  assert.equal(expirationTimestamp, "2026-01-01T00:10:00Z");
});

test("a review says whose token it is", () => {
  const { tokens, podUid } = setUp();
  const { token } = tokens.issue({ ...request, boundPod: { name: "pod-1", uid: podUid } });
  const verdict = tokens.review(token);
  assert.ok(verdict.authenticated);
  assert.equal(verdict.user.username, "system:serviceaccount:default:app");
  assert.ok(verdict.user.groups.includes("system:serviceaccounts:default"));
  assert.deepEqual(verdict.user.extra["authentication.kubernetes.io/pod-name"], ["pod-1"]);
});

test("a token is worth nothing for another audience, after its time, or changed", () => {
  const { tokens, clock } = setUp();
  const { token } = tokens.issue({ ...request, audiences: ["istio-ca"], expirationSeconds: 10 });
  assert.equal(tokens.review(token).authenticated, false);
  assert.equal(tokens.review(token, ["istio-ca"]).authenticated, true);
  const [head = "", body = "", signature = ""] = token.split(".");
  const forged = Buffer.from(body, "base64url").toString().replace("default:app", "default:root");
  assert.equal(
    tokens.review(`${head}.${Buffer.from(forged).toString("base64url")}.${signature}`, ["istio-ca"]).authenticated,
    false,
  );
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  assert.equal(tokens.review(`${none}.${body}.`, ["istio-ca"]).authenticated, false);
  clock.advance(10_000);
  assert.equal(tokens.review(token, ["istio-ca"]).authenticated, false);
});

test("a token dies with its pod and with its account", () => {
  const { store, tokens, podUid } = setUp();
  const bound = tokens.issue({ ...request, boundPod: { name: "pod-1", uid: podUid } }).token;
  const free = tokens.issue(request).token;
  store.delete(pods, "default", "pod-1");
  assert.equal(tokens.review(bound).authenticated, false);
  assert.equal(tokens.review(free).authenticated, true);
  store.delete(serviceAccounts, "default", "app");
  store.create(serviceAccounts, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "app", namespace: "default" },
  });
  assert.equal(tokens.review(free).authenticated, false, "an account of the same name is another account");
});

test("tokens are issued only for accounts that exist and pods that run as them", () => {
  const { store, tokens, podUid } = setUp();
  assert.throws(
    () => tokens.issue({ namespace: "default", serviceAccount: "nobody" }),
    (error) => hasCode(error, "NOT_FOUND"),
  );
  store.create(serviceAccounts, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "other", namespace: "default" },
  });
  const boundPod = { name: "pod-1", uid: podUid };
  assert.throws(
    () => tokens.issue({ namespace: "default", serviceAccount: "other", boundPod }),
    (error) => hasCode(error, "FORBIDDEN"),
  );
});

test("the key outlives the process", () => {
  const { store, tokens, clock } = setUp();
  const { token } = tokens.issue(request);
  assert.equal(openTokenAuthority({ store, clock }).review(token).authenticated, true);
});
