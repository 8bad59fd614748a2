// How far from the others a success rate may be: the mean less the standard deviation times a factor. Pure.
export interface SuccessRateLimit {
  readonly average: number;
  /** Percent; a rate below is an outlier. */
  readonly threshold: number;
}

/** There were not enough hosts with enough requests. */
export const unknownLimit: SuccessRateLimit = { average: -1, threshold: -1 };

export function successRateLimit(rates: readonly number[], stdevFactor: number): SuccessRateLimit {
  const average = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - average) ** 2, 0) / rates.length;
  return { average, threshold: average - (Math.sqrt(variance) * stdevFactor) / 1000 };
}
