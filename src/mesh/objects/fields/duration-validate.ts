// Durations that Envoy counts in whole milliseconds.
import type { Report } from "../report.ts";
import type { Milliseconds } from "./units.ts";

/** Reports a duration that is shorter than 1ms, or that is not whole milliseconds. */
export function validateDuration(value: Milliseconds | undefined, path: string, report: Report): void {
  if (value === undefined) return;
  if (value < 1) report({ path, message: "the duration is shorter than 1ms", fix: "leave it out to have the default" });
  else if (!isWhole(value)) report({ path, message: "the duration is not a whole number of milliseconds" });
}

/** Sums of decimal fractions (`1h2.3s`) are off by a little. */
function isWhole(value: Milliseconds): boolean {
  return Math.abs(value - Math.round(value)) < 1e-6;
}
