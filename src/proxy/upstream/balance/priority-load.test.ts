// The tables of Envoy's documentation on priorities, degraded hosts and panic.
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadsWithout, priorityLoads } from "./priority-load.ts";

/** Percent healthy and degraded of a priority with 100 hosts. */
function level(healthy: number, degraded = 0, hosts = 100): Parameters<typeof priorityLoads>[0][number] {
  return { eligible: hosts, healthy: (healthy * hosts) / 100, degraded: (degraded * hosts) / 100, hosts };
}

test("traffic spills over to the next priority as Envoy's table says", () => {
  const rows: [number, number, number, number][] = [
    // P0 healthy, P1 healthy, traffic to P0, to P1
    [100, 100, 100, 0],
    [72, 72, 100, 0],
    [71, 71, 99, 1],
    [50, 50, 70, 30],
    [25, 100, 35, 65],
    [25, 25, 50, 50],
  ];
  for (const [first, second, toFirst, toSecond] of rows) {
    const loads = priorityLoads([level(first), level(second)], 140, 0);
    assert.deepEqual(loads.healthy, [toFirst, toSecond], `${first} % and ${second} % healthy`);
  }
});

test("three priorities fill up one after the other", () => {
  const cases: [number[], number[]][] = [
    [
      [100, 100, 100],
      [100, 0, 0],
    ],
    [
      [71, 71, 100],
      [99, 1, 0],
    ],
    [
      [50, 60, 100],
      [70, 30, 0],
    ],
    [
      [0, 25, 100],
      [0, 35, 65],
    ],
    [
      [20, 20, 20],
      [34, 33, 33],
    ],
  ];
  for (const [healthy, expected] of cases) {
    assert.deepEqual(
      priorityLoads(
        healthy.map((it) => level(it)),
        140,
        0,
      ).healthy,
      expected,
      `${healthy}`,
    );
  }
});

test("degraded hosts of any priority come after the healthy ones of all", () => {
  const loads = priorityLoads([level(20, 80), level(25, 75)], 140, 0);
  assert.deepEqual(
    [loads.healthy, loads.degraded],
    [
      [28, 35],
      [37, 0],
    ],
  );
  const spare = priorityLoads([level(0, 100), level(100)], 140, 0);
  assert.deepEqual(
    [spare.healthy, spare.degraded],
    [
      [0, 100],
      [0, 0],
    ],
  );
});

test("the overprovisioning factor is the assignment's", () => {
  assert.deepEqual(priorityLoads([level(90), level(100)], 100, 0).healthy, [90, 10]);
  assert.deepEqual(priorityLoads([level(40), level(100)], 200, 0).healthy, [80, 20]);
});

test("a priority panics below the threshold, unless the others can take everything", () => {
  const enough = priorityLoads([level(30), level(100)], 140, 50);
  assert.deepEqual(enough.isPanicking, [false, false]);
  const few = priorityLoads([level(30), level(20)], 140, 25);
  assert.deepEqual(few.isPanicking, [false, true]);
  assert.deepEqual(few.healthy, [60, 40]);
});

test("when every priority panics, traffic goes by the number of hosts", () => {
  const loads = priorityLoads([level(10, 0, 10), level(0, 0, 30)], 140, 50);
  assert.deepEqual(loads.isPanicking, [true, true]);
  assert.deepEqual(loads.healthy, [25, 75]);
});

test("without any usable host and without panic everything goes to the first priority, which has none", () => {
  const loads = priorityLoads([level(0), level(0)], 140, 0);
  assert.deepEqual(
    [loads.healthy, loads.isPanicking],
    [
      [100, 0],
      [false, false],
    ],
  );
});

test("loads add up to 100 whatever the health", () => {
  for (let a = 0; a <= 100; a += 7) {
    for (let b = 0; b <= 100; b += 9) {
      for (let c = 0; c <= 100 - b; c += 11) {
        const { healthy, degraded } = priorityLoads([level(a), level(b, c), level(3)], 140, 50);
        assert.equal(
          [...healthy, ...degraded].reduce((x, y) => x + y, 0),
          100,
          `${a} ${b} ${c}`,
        );
      }
    }
  }
});

test("without priorities that were tried the others take the traffic, by their health, until nothing is left", () => {
  const cases: [healthy: number[], left: number[], expected: number[] | undefined][] = [
    [[100, 100, 100], [0], [0, 100, 0]],
    [
      [100, 100, 100],
      [0, 1, 0],
      [0, 0, 100],
    ],
    [[100, 50, 100], [0], [0, 70, 30]],
    [[100, 0, 100], [0], [0, 0, 100]],
    // Together they have less than all of it, and get all of it.
    [[100, 25, 25], [0], [0, 50, 50]],
    [[100, 0, 0], [0], undefined],
    [[100, 100], [0, 1], undefined],
    [[100, 100], [], [100, 0]],
  ];
  for (const [healthy, left, expected] of cases) {
    const levels = healthy.map((percent) => level(percent));
    assert.deepEqual(loadsWithout(levels, 140, left)?.healthy, expected, `${healthy.join()} without ${left.join()}`);
  }
});
