// One figure, as a line of JSON or of text: ours, the peer's, and their ratio.

export interface BenchResult {
  readonly name: string;
  readonly case: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer: number;
  readonly ratio: number;
  /** Every run, in the order in which they ran: [ours, peer]. */
  readonly runs: readonly (readonly [number, number])[];
}

export function summarize(
  name: string,
  benchCase: string,
  unit: string,
  runs: readonly (readonly [number, number])[],
): BenchResult {
  const ours = median(runs.map((run) => run[0]));
  const peer = median(runs.map((run) => run[1]));
  return { name, case: benchCase, unit, ours: round(ours), peer: round(peer), ratio: round(ours / peer), runs };
}

function round(value: number): number {
  return Number(value.toFixed(2));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
