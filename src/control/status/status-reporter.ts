// Keeps the statuses of objects in the API server current: when the snapshot or what proxies have changes, the replica
// that leads computes all statuses and hands them to the writer. At most once a second, and never while a push runs.
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { DesiredStatus } from "#mesh/objects/desired-status.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { StatusWriter } from "./status-writer.ts";

export interface StatusReporterOptions {
  readonly snapshot: () => MeshSnapshot | undefined;
  /** Resolves when no push is under way. */
  readonly quiet: () => Promise<void>;
  readonly compute: (snapshot: MeshSnapshot) => Iterable<DesiredStatus>;
  readonly writer: StatusWriter;
  readonly clock: Clock;
  readonly log: Logger;
}

const intervalMs = 1000;

export class StatusReporter implements Running {
  readonly #options: StatusReporterOptions;
  #isLeader = false;
  #isScheduled = false;
  #isChanged = true;
  #reportedAtMs = 0;
  #cancel: () => void = () => {};

  constructor(options: StatusReporterOptions) {
    this.#options = options;
  }

  /** Something that statuses tell has changed. */
  changed(): void {
    this.#isChanged = true;
    this.#schedule();
  }

  lead(): void {
    this.#isLeader = true;
    this.changed();
  }

  follow(): void {
    this.#isLeader = false;
    this.#options.writer.pause();
  }

  async stop(): Promise<void> {
    this.#cancel();
    this.follow();
  }

  #schedule(): void {
    if (!this.#isLeader || this.#isScheduled) return;
    this.#isScheduled = true;
    const { clock } = this.#options;
    const delayMs = Math.max(0, this.#reportedAtMs + intervalMs - clock.now());
    this.#cancel = clock.after(delayMs, () => void this.#report());
  }

  async #report(): Promise<void> {
    const { snapshot, quiet, compute, writer, clock, log } = this.#options;
    await quiet();
    this.#isScheduled = false;
    this.#reportedAtMs = clock.now();
    const current = snapshot();
    if (!this.#isLeader || current === undefined) return;
    this.#isChanged = false;
    try {
      writer.want(compute(current));
    } catch (error) {
      log.error("statuses could not be computed", { error: describeError(error) });
    }
    if (this.#isChanged) this.#schedule();
  }
}
