// What a benchmark script exports, and the figure that it gives: ours, the other's, and their ratio.

export interface Benchmark {
  /** How the figures are obtained and what is on; stands above the table in RESULTS.md. */
  readonly notes: string;
  /** `isQuick`: one short round, to see that it runs. */
  readonly run: (isQuick: boolean, options?: RunOptions) => Promise<Figure[]>;
}

/** What a command line may ask of a benchmark beside its usual run. */
export interface RunOptions {
  /** Counts of connected proxies, each measured by itself. */
  readonly proxies?: readonly number[];
  readonly churnSeconds?: number;
}

export interface Figure {
  readonly name: string;
  readonly case: string;
  readonly unit: string;
  /** What `peer` stands for: a program, or the aim that we have set ourselves. */
  readonly against: string;
  readonly ours: number;
  readonly peer: number;
  readonly ratio: number;
  /** Every run, in the order in which they ran: [ours, peer]. */
  readonly runs: readonly (readonly [number, number])[];
}

export interface FigureOf {
  readonly name: string;
  readonly case: string;
  readonly unit: string;
  readonly against: string;
}

export function figure(of: FigureOf, runs: readonly (readonly [number, number])[]): Figure {
  const ours = median(runs.map((run) => run[0]));
  const peer = median(runs.map((run) => run[1]));
  return {
    ...of,
    ours: rounded(ours),
    peer: rounded(peer),
    ratio: rounded(ours / peer),
    runs: runs.map(([own, other]) => [rounded(own), rounded(other)]),
  };
}

/** Runs both in turn, A B A B, so that a change of the machine's mood hits both. */
export async function alternate(
  rounds: number,
  ours: () => Promise<number>,
  peer: () => Promise<number>,
): Promise<[number, number][]> {
  const runs: [number, number][] = [];
  for (let round = 0; round < rounds; round++) runs.push([rounded(await ours()), rounded(await peer())]);
  return runs;
}

function rounded(value: number): number {
  return Number(value.toFixed(Math.abs(value) < 10 ? 3 : 1));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
