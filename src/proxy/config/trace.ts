// What a decision looked at, step by step, with the user's resources it came from. The live data path passes null and
// pays nothing; explain and sampled debugging pass a Trace.
import type { Origin } from "#base/issue.ts";

interface TraceStep {
  /** What was decided about, as `filter chain` or `route`. */
  readonly what: string;
  /** The outcome and why, in words. */
  readonly decision: string;
  /** Where the deciding configuration was written. */
  readonly origins: readonly Origin[];
}

export interface Trace {
  readonly steps: TraceStep[];
}

export function newTrace(): Trace {
  return { steps: [] };
}

/** Adds a step; does nothing without a trace. Callers on the hot path test for null first, to build no string. */
export function addStep(trace: Trace | null, what: string, decision: string, origins: readonly Origin[] = []): void {
  trace?.steps.push({ what, decision, origins });
}
