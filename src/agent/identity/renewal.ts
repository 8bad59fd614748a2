// When a certificate is renewed: at half of what was left of its life when it arrived, with 1 % jitter so that pods
// that started together do not ask together. Counted from arrival and not from notBefore, which certificate services
// date back to forgive clock differences.

const renewalRatio = 0.5;
const jitterRatio = 0.01;

/** Milliseconds since the epoch. `random` is in [0, 1). */
export function renewalTime(receivedAtMs: number, notAfterMs: number, random: number): number {
  const lifetime = Math.max(0, notAfterMs - receivedAtMs);
  return receivedAtMs + lifetime * (renewalRatio + jitterRatio * (2 * random - 1));
}

/** Retries come quickly where certificates live for seconds, and at most every half minute. */
export function retryLimits(lifetimeMs: number): { initialMs: number; maxMs: number } {
  const maxMs = Math.min(30_000, Math.max(1_000, lifetimeMs / 10));
  return { initialMs: Math.min(500, maxMs), maxMs };
}
