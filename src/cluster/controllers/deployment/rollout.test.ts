import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ReplicaCounts, recreateStep, rollingStep, rolloutLimits } from "./rollout.ts";

test("percentages round up for surge and down for unavailability, and are never both nothing", () => {
  assert.deepEqual(rolloutLimits(10, "25%", "25%"), { replicas: 10, maxSurge: 3, maxUnavailable: 2 });
  assert.deepEqual(rolloutLimits(1, "25%", "25%"), { replicas: 1, maxSurge: 1, maxUnavailable: 0 });
  assert.deepEqual(rolloutLimits(4, 0, "10%"), { replicas: 4, maxSurge: 0, maxUnavailable: 1 });
});

test("a step makes the new ones first, then takes as many old ones as are too many", () => {
  const limits = rolloutLimits(3, 1, 0);
  assert.deepEqual(rollingStep(limits, counts(0, 0), [counts(3, 3)]), { current: 1, old: [3] });
  assert.deepEqual(rollingStep(limits, counts(1, 0), [counts(3, 3)]), { current: 1, old: [3] });
  assert.deepEqual(rollingStep(limits, counts(1, 1), [counts(3, 3)]), { current: 1, old: [2] });
});

test("old ones that do not work go at once", () => {
  assert.deepEqual(rollingStep(rolloutLimits(3, 0, 1), counts(0, 0), [counts(3, 1)]).old, [2]);
});

test("Recreate begins with the new ones when the last old pod is gone", () => {
  assert.deepEqual(recreateStep(3, counts(0, 0), [counts(3, 3)], 3), { current: 0, old: [0] });
  assert.deepEqual(recreateStep(3, counts(0, 0), [counts(0, 0)], 1), { current: 0, old: [0] });
  assert.deepEqual(recreateStep(3, counts(0, 0), [counts(0, 0)], 0), { current: 3, old: [0] });
});

test("whatever becomes ready when, a rollout keeps its limits and comes to its end", () => {
  const amounts = fc.oneof(fc.nat(5), fc.constantFrom("0%", "25%", "50%", "100%"));
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      amounts,
      amounts,
      fc.infiniteStream(fc.nat(3)),
      (replicas, surge, unavailable, luck) => {
        const limits = rolloutLimits(replicas, surge, unavailable);
        let current = counts(0, 0);
        let old = [counts(replicas, replicas)];
        for (let turn = 0; turn < 200; turn++) {
          const step = rollingStep(limits, current, old);
          // Pods that are not available are the first to be removed.
          current = { desired: step.current, available: Math.min(current.available, step.current) };
          old = old.map((before, index) =>
            counts(step.old[index] ?? 0, Math.min(before.available, step.old[index] ?? 0)),
          );
          const all = [current, ...old];
          const available = all.reduce((sum, item) => sum + item.available, 0);
          const desired = all.reduce((sum, item) => sum + item.desired, 0);
          assert.ok(available >= replicas - limits.maxUnavailable, `${available} available`);
          assert.ok(desired <= replicas + limits.maxSurge, `${desired} pods`);
          if (current.available === replicas && old.every((item) => item.desired === 0)) return;
          const started = turn > 100 ? 1 : (luck.next().value ?? 0);
          current = { ...current, available: Math.min(current.desired, current.available + started) };
        }
        assert.fail("it did not come to its end");
      },
    ),
  );
});

function counts(desired: number, available: number): ReplicaCounts {
  return { desired, available };
}
