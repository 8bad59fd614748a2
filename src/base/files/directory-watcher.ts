// Calls back when something changed in one of some directories and nothing has happened for a moment: an editor writes
// in several steps. Directories are watched, not files, because a replaced file is seen only there; which directories
// those are may change with every call back, so the owner names them again each time.
import { type FSWatcher, watch } from "node:fs";
import type { Running } from "../lifecycle.ts";
import { type Clock, systemClock } from "../time/clock.ts";

export interface DirectoryWatcherOptions {
  readonly onChange: () => void;
  /** A directory cannot be watched; the others are. */
  readonly onProblem: (directory: string, error: unknown) => void;
  readonly clock?: Clock;
  /** How long it must be quiet. */
  readonly settleMs?: number;
}

const defaultSettleMs = 30;

export class DirectoryWatcher implements Running {
  readonly #options: DirectoryWatcherOptions;
  readonly #clock: Clock;
  readonly #watchers = new Map<string, FSWatcher>();
  #cancelSettle: (() => void) | undefined;
  #stopped = false;

  constructor(options: DirectoryWatcherOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Watches these and no others. A directory that is new here counts as a change: it may have been written meanwhile. */
  follow(directories: ReadonlySet<string>): void {
    if (this.#stopped) return;
    for (const directory of this.#watchers.keys()) if (!directories.has(directory)) this.#forget(directory);
    for (const directory of directories) if (!this.#watchers.has(directory)) this.#watch(directory);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSettle?.();
    for (const directory of this.#watchers.keys()) this.#forget(directory);
  }

  #watch(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#settle());
      watcher.on("error", () => {
        this.#forget(directory);
        this.#settle();
      });
      this.#watchers.set(directory, watcher);
      this.#settle();
    } catch (error) {
      this.#options.onProblem(directory, error);
    }
  }

  #forget(directory: string): void {
    this.#watchers.get(directory)?.close();
    this.#watchers.delete(directory);
  }

  #settle(): void {
    if (this.#stopped) return;
    this.#cancelSettle?.();
    this.#cancelSettle = this.#clock.after(this.#options.settleMs ?? defaultSettleMs, this.#options.onChange);
  }
}
