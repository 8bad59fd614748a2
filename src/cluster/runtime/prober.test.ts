import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import type { Probe } from "./pod-spec.ts";
import { startProber } from "./prober.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function prober(probe: Probe, eager: boolean, answers: () => string | undefined) {
  const clock = new ManualClock();
  const verdicts: [number, boolean][] = [];
  let attempts = 0;
  const end = startProber({
    probe,
    eager,
    clock,
    attempt: async () => {
      attempts++;
      return answers();
    },
    onVerdict: (success) => verdicts.push([clock.now(), success]),
  });
  const pass = async (milliseconds: number, step = 20): Promise<void> => {
    for (let passed = 0; passed < milliseconds; passed += step) {
      clock.advance(step);
      await turn();
    }
  };
  return { verdicts, pass, end, attempts: () => attempts };
}

describe("a probe", () => {
  it("asks often before the first success, and then once per period", async () => {
    let ready = false;
    const run = prober({ periodSeconds: 10 }, true, () => (ready ? undefined : "no"));
    await run.pass(1_000);
    ready = true;
    await run.pass(300);
    assert.equal(run.verdicts.length, 1);
    assert.ok((run.verdicts[0]?.[0] ?? 0) <= 1_220, `ready was seen at ${run.verdicts[0]?.[0]} ms`);
    const before = run.attempts();
    await run.pass(20_000, 500);
    assert.equal(run.attempts() - before, 2);
    run.end();
  });

  it("fails a start only when threshold times period have passed", async () => {
    const run = prober({ periodSeconds: 1, failureThreshold: 5 }, true, () => "no");
    await run.pass(3_900, 100);
    assert.equal(run.verdicts.length, 0);
    await run.pass(700, 100);
    assert.equal(run.verdicts[0]?.[1], false);
    run.end();
  });

  it("changes its mind after as many failures and successes as it was told", async () => {
    let answer: string | undefined;
    const run = prober({ periodSeconds: 1, failureThreshold: 3, successThreshold: 2 }, true, () => answer);
    await run.pass(3_000, 50);
    answer = "no";
    await run.pass(2_000, 50);
    assert.deepEqual(
      run.verdicts.map(([, success]) => success),
      [true],
    );
    await run.pass(1_500, 50);
    assert.deepEqual(
      run.verdicts.map(([, success]) => success),
      [true, false],
    );
    answer = undefined;
    await run.pass(2_500, 50);
    assert.deepEqual(
      run.verdicts.map(([, success]) => success),
      [true, false, true],
    );
    run.end();
  });

  it("for liveness waits a period first and counts from there", async () => {
    const run = prober({ periodSeconds: 1, failureThreshold: 2, initialDelaySeconds: 1 }, false, () => "no");
    await run.pass(2_900, 100);
    assert.equal(run.verdicts.length, 0);
    await run.pass(200, 100);
    assert.deepEqual(
      run.verdicts.map(([, success]) => success),
      [false],
    );
    run.end();
  });

  it("stays silent once it was ended", async () => {
    const run = prober({ periodSeconds: 1 }, true, () => undefined);
    run.end();
    await run.pass(2_000, 100);
    assert.deepEqual(run.verdicts, []);
    assert.equal(run.attempts(), 0);
  });
});
