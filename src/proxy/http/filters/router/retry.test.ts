import assert from "node:assert/strict";
import { test } from "node:test";
import type { RetryPolicy } from "../../../config/http.ts";
import type { UpstreamEndpoint } from "../../../upstream/endpoint.ts";
import { leftPriorities } from "./retry.ts";

test("priorities that were tried are left alone once there were as many tries as the policy says, and at every multiple", () => {
  const left = (priorityUpdateFrequency: number, ...priorities: number[]): readonly number[] | null =>
    leftPriorities(
      { priorityUpdateFrequency } as RetryPolicy,
      priorities.map((priority) => ({ config: { priority } }) as UpstreamEndpoint),
    );
  assert.equal(left(0, 0, 0, 0), null);
  assert.equal(left(2), null);
  assert.equal(left(2, 0), null);
  assert.deepEqual(left(2, 0, 0), [0, 0]);
  assert.deepEqual(left(2, 0, 0, 1), [0, 0]);
  assert.deepEqual(left(2, 0, 0, 1, 1), [0, 0, 1, 1]);
});
