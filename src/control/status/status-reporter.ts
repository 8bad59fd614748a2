// Keeps the statuses of objects in the API server current: when the snapshot or what proxies have changes, the replica
// that leads computes all statuses and hands them to the writer; the others tell it what they see, and so does the leader
// where there are others, for the one that leads next. At most once a second, and never while a push runs.
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { DesiredStatus } from "#mesh/objects/desired-status.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { reportContent } from "./distribution-report.ts";
import type { Observations } from "./observation.ts";
import type { ReplicaReports, SeenByReplicas } from "./replica-reports.ts";
import type { ReportPublisher } from "./report-publisher.ts";
import type { StatusWriter } from "./status-writer.ts";

export interface StatusReporterOptions {
  readonly snapshot: () => MeshSnapshot | undefined;
  /** Resolves when no push is under way. */
  readonly quiet: () => Promise<void>;
  /** What is seen at the proxies of this replica. */
  readonly observe: (snapshot: MeshSnapshot) => Observations;
  readonly compute: (snapshot: MeshSnapshot, seen: SeenByReplicas) => Iterable<DesiredStatus>;
  readonly reports: Pick<ReplicaReports, "isSynced" | "hasPeers" | "joined">;
  readonly publisher: Pick<ReportPublisher, "publish" | "withdraw">;
  readonly writer: Pick<StatusWriter, "want" | "pause">;
  readonly clock: Clock;
  readonly log: Logger;
}

const intervalMs = 1000;

export class StatusReporter implements Running {
  readonly #options: StatusReporterOptions;
  #isLeader = false;
  #isStopped = false;
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
    this.changed();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    this.#isLeader = false;
    this.#options.writer.pause();
  }

  #schedule(): void {
    // Who wrote before it knows of the others would take back what was true.
    if (this.#isStopped || this.#isScheduled || !this.#options.reports.isSynced) return;
    this.#isScheduled = true;
    const { clock } = this.#options;
    const delayMs = Math.max(0, this.#reportedAtMs + intervalMs - clock.now());
    this.#cancel = clock.after(delayMs, () => void this.#report());
  }

  async #report(): Promise<void> {
    const { snapshot, quiet, clock, log } = this.#options;
    await quiet();
    this.#isScheduled = false;
    this.#reportedAtMs = clock.now();
    const current = snapshot();
    if (this.#isStopped || current === undefined) return;
    this.#isChanged = false;
    try {
      this.#tell(current);
    } catch (error) {
      log.error("statuses could not be computed", { error: describeError(error) });
    }
    if (this.#isChanged) this.#schedule();
  }

  #tell(snapshot: MeshSnapshot): void {
    const { observe, compute, reports, publisher, writer } = this.#options;
    const own = observe(snapshot);
    if (!this.#isLeader || reports.hasPeers) publisher.publish(reportContent(snapshot, own));
    else void publisher.withdraw();
    if (this.#isLeader) writer.want(compute(snapshot, reports.joined(snapshot, own)));
  }
}
