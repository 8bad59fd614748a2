// Runtime shape of `outlier_detection`: when an endpoint is taken out for what its traffic shows, and for how long.
// Percentages are from 0 to 100; an enforcing percentage of 0 detects and counts but does not eject.
export interface OutlierDetectionConfig {
  readonly consecutive5xx: number;
  readonly consecutiveGatewayFailure: number;
  readonly consecutiveLocalOriginFailure: number;
  /** Failures to connect and timeouts are told apart from what servers answer. */
  readonly splitsLocalOrigin: boolean;
  readonly intervalMs: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly maxEjectionJitterMs: number;
  readonly maxEjectionPercent: number;
  readonly alwaysEjectsOneHost: boolean;
  readonly successRateMinimumHosts: number;
  readonly successRateRequestVolume: number;
  /** A thousandth of what the standard deviation is multiplied with. */
  readonly successRateStdevFactor: number;
  readonly failurePercentageThreshold: number;
  readonly failurePercentageMinimumHosts: number;
  readonly failurePercentageRequestVolume: number;
  /** A health check that succeeds brings an ejected endpoint back. */
  readonly healthCheckUnejects: boolean;
  readonly enforcing: {
    readonly consecutive5xx: number;
    readonly consecutiveGatewayFailure: number;
    readonly consecutiveLocalOriginFailure: number;
    readonly successRate: number;
    readonly localOriginSuccessRate: number;
    readonly failurePercentage: number;
    readonly localOriginFailurePercentage: number;
  };
}
