// How many replicas each ReplicaSet of a Deployment should have now. Pure: counts in, counts out.

export interface ReplicaCounts {
  /** What its spec says. */
  readonly desired: number;
  /** Pods that are available, as its status says. */
  readonly available: number;
}

export interface RolloutLimits {
  readonly replicas: number;
  /** How many more than `replicas` there may be. */
  readonly maxSurge: number;
  /** How many fewer than `replicas` may be available. */
  readonly maxUnavailable: number;
}

export interface RolloutStep {
  readonly current: number;
  /** In the order in which the old ones were given: oldest first. */
  readonly old: readonly number[];
}

/** Turns numbers and percentages into limits: surge is rounded up, unavailability down; never both 0. */
export function rolloutLimits(replicas: number, maxSurge: unknown, maxUnavailable: unknown): RolloutLimits {
  const surge = amount(maxSurge, replicas, Math.ceil);
  const unavailable = Math.min(amount(maxUnavailable, replicas, Math.floor), replicas);
  return { replicas, maxSurge: surge, maxUnavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

/** The next step of a rolling update. */
export function rollingStep(limits: RolloutLimits, current: ReplicaCounts, old: readonly ReplicaCounts[]): RolloutStep {
  const next = scaledUp(limits, current, old);
  return { current: next, old: scaledDown(limits, { ...current, desired: next }, old) };
}

/** The next step of Recreate: everything old goes first. */
export function recreateStep(
  replicas: number,
  current: ReplicaCounts,
  old: readonly ReplicaCounts[],
  oldPodsLeft: number,
): RolloutStep {
  const isFree = oldPodsLeft === 0 && old.every(({ desired }) => desired === 0);
  return { current: isFree ? replicas : Math.min(current.desired, replicas), old: old.map(() => 0) };
}

function scaledUp(limits: RolloutLimits, current: ReplicaCounts, old: readonly ReplicaCounts[]): number {
  if (current.desired >= limits.replicas) return limits.replicas;
  const total = current.desired + sum(old.map(({ desired }) => desired));
  const room = Math.max(0, limits.replicas + limits.maxSurge - total);
  return current.desired + Math.min(room, limits.replicas - current.desired);
}

function scaledDown(limits: RolloutLimits, current: ReplicaCounts, old: readonly ReplicaCounts[]): readonly number[] {
  const total = current.desired + sum(old.map(({ desired }) => desired));
  const minAvailable = limits.replicas - limits.maxUnavailable;
  const notYetAvailable = Math.max(0, current.desired - current.available);
  let removable = total - minAvailable - notYetAvailable;
  if (removable <= 0) return old.map(({ desired }) => desired);
  // Those that do not work are no loss: they go first.
  const healthy = old.map((counts) => {
    const dropped = Math.min(removable, Math.max(0, counts.desired - counts.available));
    removable -= dropped;
    return { ...counts, desired: counts.desired - dropped };
  });
  let spare =
    current.available + sum(healthy.map(({ available, desired }) => Math.min(available, desired))) - minAvailable;
  return healthy.map(({ desired }) => {
    const dropped = Math.max(0, Math.min(spare, removable, desired));
    spare -= dropped;
    removable -= dropped;
    return desired - dropped;
  });
}

function amount(value: unknown, replicas: number, round: (value: number) => number): number {
  if (typeof value === "number") return Math.max(0, Math.floor(value));
  const percent = typeof value === "string" ? /^(\d+)%$/.exec(value)?.[1] : undefined;
  return percent === undefined ? 0 : round((Number(percent) * replicas) / 100);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
