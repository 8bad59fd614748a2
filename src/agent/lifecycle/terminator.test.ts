import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { TerminationPolicy } from "./termination.ts";
import { Terminator } from "./terminator.ts";

function make(policy: Partial<TerminationPolicy> = {}): {
  clock: ManualClock;
  terminator: Terminator;
  log: string[];
  connections: { active: number };
} {
  const clock = new ManualClock();
  const log: string[] = [];
  const connections = { active: 3 };
  const terminator = new Terminator({
    policy: { terminationDrainMs: 5_000, exitOnZeroActiveConnections: false, minimumDrainMs: 2_000, ...policy },
    drain: () => void log.push("drain"),
    activeConnections: () => connections.active,
    logger: silentLogger,
    clock,
  });
  void terminator.finished.then(() => log.push("finished"));
  return { clock, terminator, log, connections };
}

describe("termination", () => {
  test("drains at once and ends after the drain time, whatever is still open", async () => {
    const { clock, terminator, log } = make();
    terminator.terminate();
    clock.advance(4_999);
    assert.equal(terminator.phase, "terminating");
    clock.advance(1);
    await terminator.finished;
    assert.deepEqual(log, ["drain", "finished"]);
  });

  test("with exit on zero connections it waits for the last one, but at least the minimum", async () => {
    const { clock, terminator, connections } = make({ exitOnZeroActiveConnections: true });
    connections.active = 0;
    terminator.terminate();
    clock.advance(1_999);
    assert.equal(terminator.phase, "terminating");
    connections.active = 1;
    clock.advance(60_000);
    assert.equal(terminator.phase, "terminating");
    connections.active = 0;
    clock.advance(1_000);
    await terminator.finished;
  });

  test("a drain before SIGTERM happens once, and the drain time counts from SIGTERM", async () => {
    const { clock, terminator, log } = make();
    terminator.drain();
    terminator.drain();
    clock.advance(100_000);
    assert.equal(terminator.phase, "draining");
    terminator.terminate();
    clock.advance(4_999);
    assert.equal(terminator.phase, "terminating");
    clock.advance(1);
    await terminator.finished;
    assert.deepEqual(log, ["drain", "finished"]);
  });

  test("a second signal ends it now", async () => {
    const { terminator } = make();
    terminator.terminate();
    terminator.terminate();
    await terminator.finished;
    assert.equal(terminator.phase, "stopped");
  });
});
