// How much of the traffic each priority gets, in whole percent, by the part of its hosts that can be used; Envoy's rules:
// https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority and .../panic_threshold
export interface PriorityHealth {
  /** Hosts that count, and those of them that are healthy and degraded; or their weights. */
  readonly eligible: number;
  readonly healthy: number;
  readonly degraded: number;
  /** All hosts, counted. */
  readonly hosts: number;
}

export interface PriorityLoads {
  /** Percent by priority; both together add up to 100, unless there is no host. */
  readonly healthy: readonly number[];
  readonly degraded: readonly number[];
  /** Priorities in which health counts no more. */
  readonly isPanicking: readonly boolean[];
}

export function priorityLoads(
  priorities: readonly PriorityHealth[],
  overprovisioningPercent: number,
  panicThresholdPercent: number,
): PriorityLoads {
  const healthy = priorities.map((it) => availability(it.healthy, it.eligible, overprovisioningPercent));
  const degraded = priorities.map((it) => availability(it.degraded, it.eligible, overprovisioningPercent));
  const total = Math.min(100, sum(healthy) + sum(degraded));
  // With enough usable hosts over all priorities nothing panics, however few one of them has.
  const isPanicking = priorities.map((it) => total < 100 && isBelow(it, panicThresholdPercent));
  if (priorities.length > 0 && isPanicking.every((it) => it)) {
    return { healthy: byHosts(priorities), degraded: priorities.map(() => 0), isPanicking };
  }
  if (total === 0) {
    const load = priorities.map((_, i) => (i === 0 ? 100 : 0));
    return { healthy: load, degraded: priorities.map(() => 0), isPanicking };
  }
  return { ...distribute(healthy, degraded, total), isPanicking };
}

/**
 * The loads of what is left without some priorities, for retries that look elsewhere; null when nothing is left.
 * https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.proto
 */
export function loadsWithout(
  priorities: readonly PriorityHealth[],
  overprovisioningPercent: number,
  left: readonly number[],
): Pick<PriorityLoads, "healthy" | "degraded"> | null {
  const of = (it: PriorityHealth, priority: number, usable: number): number =>
    left.includes(priority) ? 0 : availability(usable, it.eligible, overprovisioningPercent);
  const healthy = priorities.map((it, i) => of(it, i, it.healthy));
  const degraded = priorities.map((it, i) => of(it, i, it.degraded));
  const total = Math.min(100, sum(healthy) + sum(degraded));
  return total === 0 ? null : distribute(healthy, degraded, total);
}

function availability(usable: number, eligible: number, overprovisioningPercent: number): number {
  return eligible === 0 ? 0 : Math.min(100, Math.floor((overprovisioningPercent * usable) / eligible));
}

function isBelow(it: PriorityHealth, thresholdPercent: number): boolean {
  const usable = it.eligible === 0 ? 0 : (100 * (it.healthy + it.degraded)) / it.eligible;
  return usable < thresholdPercent;
}

/** First healthy hosts by priority, then degraded ones, until there is enough. */
function distribute(
  healthy: readonly number[],
  degraded: readonly number[],
  total: number,
): Pick<PriorityLoads, "healthy" | "degraded"> {
  let left = 100;
  const take = (availability: number): number => {
    const load = Math.min(left, Math.floor((availability * 100) / total));
    left -= load;
    return load;
  };
  const loads = { healthy: healthy.map(take), degraded: degraded.map(take) };
  if (left === 0) return loads;
  // What rounding left over goes to the first priority that takes anything.
  const target = loads.healthy.some((load) => load > 0) ? loads.healthy : loads.degraded;
  const first = target.findIndex((load) => load > 0);
  target[first] = (target[first] ?? 0) + left;
  return loads;
}

/** When everything is in panic, priorities get traffic by their number of hosts. */
function byHosts(priorities: readonly PriorityHealth[]): number[] {
  const total = priorities.reduce((hosts, it) => hosts + it.hosts, 0);
  if (total === 0) return priorities.map((_, i) => (i === 0 ? 100 : 0));
  const loads = priorities.map((it) => Math.floor((100 * it.hosts) / total));
  const first = priorities.findIndex((it) => it.hosts > 0);
  loads[first] = (loads[first] ?? 0) + 100 - sum(loads);
  return loads;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
