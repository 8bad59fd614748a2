import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../time/clock.ts";
import { Compaction } from "./compaction.ts";

interface Scene {
  readonly clock: ManualClock;
  readonly compaction: Compaction;
  /** When it collected. */
  readonly collected: number[];
  setBusy(share: number): void;
  setUnused(bytes: number): void;
}

function scene(): Scene {
  const clock = new ManualClock();
  const collected: number[] = [];
  let busy = 0;
  let unused = 20e6;
  const compaction = new Compaction({
    clock,
    collect: () => collected.push(clock.now()),
    unusedBytes: () => unused,
    busyShare: () => busy,
  });
  return {
    clock,
    compaction,
    collected,
    setBusy: (share) => {
      busy = share;
    },
    setUnused: (bytes) => {
      unused = bytes;
    },
  };
}

test("memory is given back after a quiet moment, once for many wishes", () => {
  const { clock, compaction, collected } = scene();
  compaction.soon();
  compaction.soon();
  clock.advance(2999);
  assert.deepEqual(collected, []);
  clock.advance(100_000);
  assert.deepEqual(collected, [3000]);
});

test("a busy process is left alone until it is quiet", () => {
  const { clock, compaction, collected, setBusy } = scene();
  setBusy(0.2);
  compaction.soon();
  clock.advance(30_000);
  assert.deepEqual(collected, []);
  setBusy(0.001);
  clock.advance(3000);
  assert.deepEqual(collected, [33_000]);
});

test("a minute passes between two collections", () => {
  const { clock, compaction, collected } = scene();
  compaction.soon();
  clock.advance(3000);
  compaction.soon();
  clock.advance(59_999);
  assert.deepEqual(collected, [3000]);
  clock.advance(1);
  assert.deepEqual(collected, [3000, 63_000]);
});

test("a heap without slack is left alone", () => {
  const { clock, compaction, collected, setUnused } = scene();
  setUnused(1e6);
  compaction.soon();
  clock.advance(10_000);
  assert.deepEqual(collected, []);
  setUnused(20e6);
  compaction.soon();
  clock.advance(3000);
  assert.deepEqual(collected, [13_000]);
});

test("nothing happens after stop", () => {
  const { clock, compaction, collected } = scene();
  compaction.soon();
  compaction.stop();
  clock.advance(10_000);
  assert.deepEqual(collected, []);
});

test("the collector of this Node frees what nobody holds", () => {
  const clock = new ManualClock();
  const compaction = new Compaction({ clock, busyShare: () => 0, unusedBytes: () => 20e6 });
  const before = process.memoryUsage().heapTotal;
  const grown = ((): number => {
    const held = Array.from({ length: 400_000 }, (_, i) => ({ i, text: String(i) }));
    return held.length > 0 ? process.memoryUsage().heapTotal : 0;
  })();
  assert.ok(grown > before + 10e6, "the heap did not grow");
  compaction.soon();
  clock.advance(3000);
  assert.ok(process.memoryUsage().heapTotal < grown - 10e6, "the heap did not shrink");
});
