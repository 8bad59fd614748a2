// 64 bits as two unsigned halves, because JavaScript has no 64-bit integer that costs nothing; and the few operations
// that hashing needs on them. A `Hash64` that is handed around is never changed by who receives it.

export interface Hash64 {
  readonly high: number;
  readonly low: number;
}

/** Where a hash function puts its result, so that it can be called many times without allocating. */
export class MutableHash64 implements Hash64 {
  high = 0;
  low = 0;
}

/** The hash modulo a divisor of less than 2^26. */
export function remainder(hash: Hash64, divisor: number): number {
  return ((hash.high % divisor) * (4294967296 % divisor) + hash.low) % divisor;
}

/** Negative, zero or positive, as the first is smaller, equal or greater. */
export function compareHash(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  return aHigh === bHigh ? aLow - bLow : aHigh - bHigh;
}

/** Adds one more hash to those before, as Envoy combines hash policies: rotate left by one bit, then exclusive or. */
export function combineHash(before: Hash64 | null, next: Hash64): Hash64 {
  if (before === null) return next;
  const { high, low } = before;
  return {
    high: (((high << 1) | (low >>> 31)) ^ next.high) >>> 0,
    low: (((low << 1) | (high >>> 31)) ^ next.low) >>> 0,
  };
}
