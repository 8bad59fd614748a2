// Gives memory back to the system when a burst of work is over. V8 keeps the young space that starting or a large
// configuration needed (15 MB in a sidecar), and its old space in holes, until the next pressure, which an idle process
// never has. One full collection that shrinks everything takes 40 ms in a sidecar, so it waits for a quiet moment.
import { performance } from "node:perf_hooks";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock } from "../time/clock.ts";

export interface CompactionOptions {
  readonly clock: Clock;
  /** Replaced by tests. */
  readonly collect?: () => void;
  /** Bytes that the heap holds and does not use. */
  readonly unusedBytes?: () => number;
  /** Share of the time since the last question in which the event loop was busy, 0 to 1. */
  readonly busyShare?: () => number;
}

/** How long it has to be quiet, and how often that is looked at. */
const quietMs = 3000;
/** A request that comes in the meantime waits; at this share there is hardly one. */
const quietShare = 0.005;
/** At most so often, and for no less. */
const pauseMs = 60_000;
const worthBytes = 4e6;

export class Compaction {
  readonly #clock: Clock;
  readonly #collect: () => void;
  readonly #unusedBytes: () => number;
  readonly #busyShare: () => number;
  #notBefore = 0;
  #cancel: (() => void) | null = null;

  constructor(options: CompactionOptions) {
    this.#clock = options.clock;
    this.#collect = options.collect ?? shrinkHeap;
    this.#unusedBytes = options.unusedBytes ?? unusedHeap;
    this.#busyShare = options.busyShare ?? eventLoopShare();
  }

  /** Much memory has been used that is not needed any more. */
  soon(): void {
    if (this.#cancel === null) this.#look();
  }

  #look(): void {
    this.#busyShare();
    const wait = Math.max(quietMs, this.#notBefore - this.#clock.now());
    this.#cancel = this.#clock.after(wait, () => {
      this.#cancel = null;
      if (this.#busyShare() > quietShare) {
        this.#look();
        return;
      }
      if (this.#unusedBytes() < worthBytes) return;
      this.#notBefore = this.#clock.now() + pauseMs;
      this.#collect();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}

function unusedHeap(): number {
  const { total_heap_size: total, used_heap_size: used } = getHeapStatistics();
  return total - used;
}

function eventLoopShare(): () => number {
  let before = performance.eventLoopUtilization();
  return () => {
    const { utilization } = performance.eventLoopUtilization(before);
    before = performance.eventLoopUtilization();
    return utilization;
  };
}

type Collector = (options: {
  readonly type: "major";
  readonly execution: "sync";
  readonly flavor: "last-resort";
}) => void;

/** V8's collector is there for programs only behind a flag, which a new context looks at. */
export function shrinkHeap(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  if (typeof collect === "function")
    (collect as Collector)({ type: "major", execution: "sync", flavor: "last-resort" });
}
