// Durations as Istio's configuration writes them: Go's syntax, `1h30m`, `1.5s`, `500ms`.

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Parses a duration to milliseconds; undefined when it is not one. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  const sign = text.startsWith("-") ? -1 : 1;
  const unsigned = text.startsWith("-") || text.startsWith("+") ? text.slice(1) : text;
  if (unsigned === "" || unsigned.length > 64) return undefined;
  const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;
  let total = 0;
  while (part.lastIndex < unsigned.length) {
    const match = part.exec(unsigned);
    if (match === null) return undefined;
    total += Number(match[1]) * (unitMs[match[2] ?? ""] ?? 0);
  }
  return sign * total;
}

/** Renders milliseconds as the shortest of `250ms`, `1.5s`, `2m`, `1h`. */
export function formatDuration(ms: number): string {
  if (ms !== 0 && ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  if (ms !== 0 && ms % 60_000 === 0) return `${ms / 60_000}m`;
  return Math.abs(ms) >= 1000 || ms === 0 ? `${ms / 1000}s` : `${ms}ms`;
}
