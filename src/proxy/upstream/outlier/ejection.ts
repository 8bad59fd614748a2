// Why an endpoint is taken out, under Envoy's names, and in words.
export type EjectionType =
  | "CONSECUTIVE_5XX"
  | "CONSECUTIVE_GATEWAY_FAILURE"
  | "CONSECUTIVE_LOCAL_ORIGIN_FAILURE"
  | "SUCCESS_RATE"
  | "SUCCESS_RATE_LOCAL_ORIGIN"
  | "FAILURE_PERCENTAGE"
  | "FAILURE_PERCENTAGE_LOCAL_ORIGIN";

export interface Ejection {
  readonly type: EjectionType;
  /** As `5 responses in a row were 5xx`. */
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** The first look at the endpoint after this time brings it back. */
  readonly until: number;
}

/** As `ejected 4 s ago because 5 responses in a row were 5xx, back in 26 s`. */
export function describeEjection(ejection: Ejection, now: number): string {
  const left = Math.max(0, Math.ceil((ejection.until - now) / 1000));
  return `ejected ${seconds(now - ejection.since)} ago because ${ejection.reason}, back in ${left} s`;
}

function seconds(ms: number): string {
  return `${Math.max(0, Math.round(ms / 1000))} s`;
}
