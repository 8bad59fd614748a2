// What balancers know of a host. The live endpoint is one; explain makes others from configuration alone, so that both
// are judged by the same code.
import type { EndpointConfig } from "../../config/cluster.ts";
import type { EndpointHealth } from "../../config/load-balancing.ts";

export interface BalancedHost {
  readonly config: EndpointConfig;
  readonly activeRequests: number;
  /** Bits of the constants below; 0 is healthy. */
  readonly healthFlags: number;
  /** When it came or became healthy, in milliseconds: slow start runs from here. */
  readonly usableSince: number;
}

// Envoy's health flags, with Envoy's numbers.
export const FAILED_ACTIVE_HC = 0x1;
export const FAILED_OUTLIER_CHECK = 0x2;
export const FAILED_EDS_HEALTH = 0x4;
export const DEGRADED_ACTIVE_HC = 0x8;
const DEGRADED_EDS_HEALTH = 0x10;
/** Discovery took it out; it stays until health checks fail too. */
export const PENDING_DYNAMIC_REMOVAL = 0x20;
/** Was not checked yet. */
export const PENDING_ACTIVE_HC = 0x40;
/** Asked to be taken out of rotation: does not count for panic and spillover. */
export const EXCLUDED_VIA_IMMEDIATE_HC_FAIL = 0x80;
export const ACTIVE_HC_TIMEOUT = 0x100;
const EDS_STATUS_DRAINING = 0x200;

const unhealthy = FAILED_ACTIVE_HC | FAILED_OUTLIER_CHECK | FAILED_EDS_HEALTH;
const degraded = DEGRADED_ACTIVE_HC | DEGRADED_EDS_HEALTH;
const fromDiscovery = FAILED_EDS_HEALTH | DEGRADED_EDS_HEALTH | EDS_STATUS_DRAINING;

export function isUnhealthy(flags: number): boolean {
  return (flags & unhealthy) !== 0;
}

export function isDegraded(flags: number): boolean {
  return (flags & unhealthy) === 0 && (flags & degraded) !== 0;
}

/** The flags that follow from what discovery says; the others are kept. */
export function withDiscoveredHealth(flags: number, health: EndpointHealth): number {
  return (flags & ~fromDiscovery) | discoveredFlags[health];
}

const discoveredFlags: Readonly<Record<EndpointHealth, number>> = {
  unknown: 0,
  healthy: 0,
  unhealthy: FAILED_EDS_HEALTH,
  timeout: FAILED_EDS_HEALTH,
  draining: FAILED_EDS_HEALTH | EDS_STATUS_DRAINING,
  degraded: DEGRADED_EDS_HEALTH,
};

/** The state that a host override is checked against. */
export function healthStatus(flags: number, discovered: EndpointHealth): EndpointHealth {
  if ((flags & EDS_STATUS_DRAINING) !== 0) return "draining";
  if ((flags & ACTIVE_HC_TIMEOUT) !== 0 || (discovered === "timeout" && isUnhealthy(flags))) return "timeout";
  if (isUnhealthy(flags)) return "unhealthy";
  return isDegraded(flags) ? "degraded" : discovered === "unknown" ? "unknown" : "healthy";
}

/** As Envoy's admin API shows flags: `/failed_eds_health/pending_active_hc`, or `healthy`. */
export function describeFlags(flags: number): string {
  if (flags === 0) return "healthy";
  return flagNames.map((name, bit) => ((flags & (1 << bit)) === 0 ? "" : `/${name}`)).join("");
}

const flagNames: readonly string[] = [
  "failed_active_hc",
  "failed_outlier_check",
  "failed_eds_health",
  "degraded_active_hc",
  "degraded_eds_health",
  "pending_dynamic_removal",
  "pending_active_hc",
  "excluded_via_immediate_hc_fail",
  "active_hc_timeout",
  "eds_status_draining",
];
