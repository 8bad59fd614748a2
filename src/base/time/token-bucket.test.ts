import assert from "node:assert/strict";
import { test } from "node:test";
import { TokenBucket } from "./token-bucket.ts";

test("a bucket begins full, fills in steps, and never above its maximum", () => {
  const bucket = new TokenBucket({ maxTokens: 3, tokensPerFill: 2, fillIntervalMs: 100 }, 0);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => bucket.take(0)),
    [true, true, true, false],
  );
  assert.equal(bucket.take(99), false);
  assert.equal(bucket.untilFillMs(99), 1);
  assert.equal(bucket.take(100), true);
  assert.equal(bucket.remaining(100), 1);
  assert.equal(bucket.remaining(100_000), 3);
  assert.equal(bucket.untilFillMs(100_050), 50, "fills keep their rhythm");
});

test("a clock that goes back takes nothing away", () => {
  const bucket = new TokenBucket({ maxTokens: 1, tokensPerFill: 1, fillIntervalMs: 100 }, 1000);
  assert.equal(bucket.take(500), true);
  assert.equal(bucket.take(1050), false);
  assert.equal(bucket.take(1100), true);
});
