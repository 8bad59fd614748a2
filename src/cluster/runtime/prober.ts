// Repeats a probe and applies its thresholds. Before the first success it asks more often than its period says, so that
// a start does not wait for the next full period; failures are counted as if it had not.

import type { Clock } from "#base/time/clock.ts";
import type { Probe } from "./pod-spec.ts";

export interface ProberOptions {
  readonly probe: Probe;
  /** Readiness and startup wait for the first success; liveness starts as a success. */
  readonly eager: boolean;
  readonly attempt: (timeoutMs: number) => Promise<string | undefined>;
  /** Called when the thresholds are reached the other way than before, the first time in any case. */
  readonly onVerdict: (success: boolean, message: string) => void;
  readonly clock: Clock;
}

const firstDelayMs = 40;
/** Later, what is not ready yet is slow or broken: then each question waits for a share of the time already gone. */
const hurryMs = 20_000;
const hurryDelayMs = 200;

/** Returns the function that ends it. */
export function startProber(options: ProberOptions): () => void {
  const { probe, eager, clock } = options;
  const periodMs = (probe.periodSeconds ?? 10) * 1000;
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  const failureThreshold = probe.failureThreshold ?? 3;
  const successThreshold = probe.successThreshold ?? 1;
  const startMs = clock.now() + (probe.initialDelaySeconds ?? 0) * 1000;
  let verdict: boolean | undefined;
  let hasSucceeded = false;
  let successes = 0;
  let failures = 0;
  let isEnded = false;
  let cancel: () => void = () => {};

  const run = async (): Promise<void> => {
    const message = await options.attempt(timeoutMs);
    if (isEnded) return;
    if (message === undefined) {
      failures = 0;
      hasSucceeded = true;
      if (++successes >= successThreshold) decide(true, "");
    } else {
      successes = 0;
      failures = hasSucceeded || !eager ? failures + 1 : Math.floor((clock.now() - startMs) / periodMs) + 1;
      if (failures >= failureThreshold) decide(false, message);
    }
    if (!isEnded) cancel = clock.after(nextDelay(), () => void run());
  };
  const nextDelay = (): number => {
    if (!eager || (hasSucceeded && verdict === true)) return periodMs;
    const elapsedMs = clock.now() - startMs;
    return Math.min(
      periodMs,
      Math.max(firstDelayMs, elapsedMs < hurryMs ? Math.min(hurryDelayMs, elapsedMs / 8) : elapsedMs / 8),
    );
  };
  const decide = (success: boolean, message: string): void => {
    if (verdict === success) return;
    verdict = success;
    options.onVerdict(success, message);
  };

  const firstMs = (probe.initialDelaySeconds ?? 0) * 1000 + (eager ? firstDelayMs : periodMs);
  cancel = clock.after(firstMs, () => void run());
  return () => {
    isEnded = true;
    cancel();
  };
}
