import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import { readReview, TokenReviewVerifier } from "./token-review.ts";

const audiences = ["istio-ca"];
const good = {
  status: {
    authenticated: true,
    audiences: ["istio-ca"],
    user: {
      username: "system:serviceaccount:default:reviews",
      extra: {
        "authentication.kubernetes.io/pod-name": ["reviews-v1"],
        "authentication.kubernetes.io/pod-uid": ["7c2f"],
      },
    },
  },
};

test("only a token that was authenticated for our audience and belongs to a service account counts", () => {
  assert.deepEqual(readReview(good, audiences), {
    identity: { namespace: "default", serviceAccount: "reviews", podName: "reviews-v1", podUid: "7c2f" },
  });
  const refused = (status: object): string => {
    const verdict = readReview({ status: { ...good.status, ...status } }, audiences);
    return "refused" in verdict ? verdict.refused : "accepted";
  };
  assert.equal(refused({ authenticated: false, error: "token has expired" }), "token has expired");
  assert.match(refused({ authenticated: "yes" }), /does not accept/);
  assert.match(refused({ audiences: ["https://kubernetes.default.svc"] }), /not meant for istio-ca/);
  assert.match(refused({ audiences: undefined }), /not meant for/);
  for (const username of ["admin", "system:node:a", "system:serviceaccount:a", "system:serviceaccount:a:b:c"]) {
    assert.match(refused({ user: { username } }), /not belong to a service account/, username);
  }
  assert.ok("refused" in readReview(null, audiences));
});

test("a verdict is kept for a while, one question at a time, and an unreachable server is asked again", async () => {
  const clock = new ManualClock(1_000_000);
  let asked = 0;
  let answer: () => Promise<unknown> = async () => good;
  const client = { raw: () => ((asked += 1), answer()) } as unknown as KubernetesClient;
  const verifier = new TokenReviewVerifier(client, clock);
  await Promise.all([1, 2, 3].map(() => verifier.verify("token", audiences)));
  assert.equal(asked, 1);
  clock.advance(19_000);
  await verifier.verify("token", audiences);
  assert.equal(asked, 1);
  await verifier.verify("token", ["other"]);
  assert.equal(asked, 2, "another audience is another question");
  clock.advance(2_000);
  answer = () => Promise.reject(new Error("down"));
  assert.match(JSON.stringify(await verifier.verify("token", audiences)), /could not be reviewed: down/);
  answer = async () => good;
  assert.ok("identity" in (await verifier.verify("token", audiences)));
});

test("a verdict is not kept beyond the token's own expiry", async () => {
  const clock = new ManualClock(1_000_000);
  let asked = 0;
  const client = { raw: async () => ((asked += 1), good) } as unknown as KubernetesClient;
  const verifier = new TokenReviewVerifier(client, clock);
  const token = `e30.${Buffer.from(JSON.stringify({ exp: 1005 })).toString("base64url")}.x`;
  await verifier.verify(token, audiences);
  clock.advance(6_000);
  await verifier.verify(token, audiences);
  assert.equal(asked, 2);
});
