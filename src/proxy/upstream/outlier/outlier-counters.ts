// What outlier detection of one cluster counts: how often it found an endpoint out and how often it acted on that.
import type { EjectionType } from "./ejection.ts";

export interface OutlierCounters {
  /** Gauge. */
  ejectionsActive: number;
  /** Ejections that the highest allowed part of the cluster prevented. */
  ejectionsOverflow: number;
  readonly detected: Record<EjectionType, number>;
  readonly enforced: Record<EjectionType, number>;
}

export function outlierCounters(): OutlierCounters {
  return { ejectionsActive: 0, ejectionsOverflow: 0, detected: none(), enforced: none() };
}

function none(): Record<EjectionType, number> {
  return {
    CONSECUTIVE_5XX: 0,
    CONSECUTIVE_GATEWAY_FAILURE: 0,
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE: 0,
    SUCCESS_RATE: 0,
    SUCCESS_RATE_LOCAL_ORIGIN: 0,
    FAILURE_PERCENTAGE: 0,
    FAILURE_PERCENTAGE_LOCAL_ORIGIN: 0,
  };
}
