// What a fuzz target is, and how one is run for a while: the same seed gives the same inputs in the same order, and a
// failure tells how to see it again. `npm run fuzz -- target --seconds 600` runs one for longer than the tests do.
import fc from "fast-check";

export interface FuzzTarget {
  readonly name: string;
  run(limits: FuzzLimits): FuzzResult;
}

export interface FuzzLimits {
  readonly seed: number;
  readonly seconds: number;
}

export interface FuzzResult {
  readonly runs: number;
  /** How to see it again, the input made small, and what went wrong; empty when nothing did. */
  readonly failure: string;
}

/** Makes a target of one input and what must hold for it. */
export function fuzzTarget<T>(name: string, property: fc.IProperty<T>): FuzzTarget {
  return {
    name,
    run: ({ seed, seconds }) => {
      const details = fc.check(property, {
        seed,
        numRuns: Number.MAX_SAFE_INTEGER,
        interruptAfterTimeLimit: seconds * 1000,
        markInterruptAsFailure: false,
      });
      if (!details.failed) return { runs: details.numRuns, failure: "" };
      const again = `npm run fuzz -- ${name} --seed ${seed} --seconds ${Math.ceil(seconds)}`;
      const { errorInstance } = details;
      const reason = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
      return { runs: details.numRuns, failure: `${again}\n${fc.defaultReportMessage(details)}\n${reason}` };
    },
  };
}
