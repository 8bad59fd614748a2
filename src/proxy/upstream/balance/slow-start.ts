// Slow start: a host that just came gets a part of its weight that grows over a window. Envoy's formula:
// weight × max(minimum, (age / window) ^ (1 / aggression)).
import type { SlowStart } from "../../config/load-balancing.ts";
import type { BalancedHost } from "./host.ts";

/** The part of its weight that a host has by now. */
export function slowStartFactor(host: BalancedHost, slowStart: SlowStart, now: number): number {
  const age = now - host.usableSince;
  if (age >= slowStart.windowMs) return 1;
  // The first second counts as one, so that no weight is 0.
  const part = Math.max(age, 1) / slowStart.windowMs;
  const factor = slowStart.aggression === 1 ? part : part ** (1 / slowStart.aggression);
  return Math.max(factor, slowStart.minimumFactor, smallest);
}

/** No weight may be 0: its turn would never come. */
const smallest = 1e-6;

/** When the last of the hosts will have its whole weight; 0 when all have it. */
export function slowStartEnd(slowStart: SlowStart | null, hosts: readonly BalancedHost[], now: number): number {
  if (slowStart === null) return 0;
  let newest = 0;
  for (const host of hosts) if (host.usableSince > newest) newest = host.usableSince;
  const end = newest + slowStart.windowMs;
  return end > now ? end : 0;
}
