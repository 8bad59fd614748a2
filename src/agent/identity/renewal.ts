// When a certificate is renewed: at half of what was left of its life when it arrived, with 1 % jitter so that pods
// that started together do not ask together. Counted from arrival and not from notBefore, which certificate services
// date back to forgive clock differences.

/** Parts of the life, from 0 to 1. */
export interface RenewalSettings {
  /** What is left of it at renewal. */
  readonly graceRatio: number;
  /** By how much more or less, at random. */
  readonly jitterRatio: number;
}

export const defaultRenewal: RenewalSettings = { graceRatio: 0.5, jitterRatio: 0.01 };

/** Milliseconds since the epoch. `random` is in [0, 1). */
export function renewalTime(
  receivedAtMs: number,
  notAfterMs: number,
  random: number,
  { graceRatio, jitterRatio }: RenewalSettings = defaultRenewal,
): number {
  const lifetime = Math.max(0, notAfterMs - receivedAtMs);
  const graceWithJitter = graceRatio + jitterRatio * (1 - 2 * random);
  return receivedAtMs + lifetime * (1 - Math.min(1, Math.max(0, graceWithJitter)));
}

/** Retries come quickly where certificates live for seconds, and at most every half minute. */
export function retryLimits(lifetimeMs: number): { initialMs: number; maxMs: number } {
  const maxMs = Math.min(30_000, Math.max(1_000, lifetimeMs / 10));
  return { initialMs: Math.min(500, maxMs), maxMs };
}
