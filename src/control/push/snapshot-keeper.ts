// Keeps the snapshot current: collects what the sources say changed, builds the next snapshot when it is quiet, and
// hands it on with what it can reach. A snapshot that cannot be built is logged, and the last one stays.
import { describeError } from "#base/error.ts";
import type { Issue } from "#base/issue.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { SourceObject } from "#mesh/snapshot/read-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { ConfigSource, SourceChange } from "../sources/config-source.ts";
import { Debounce, type DebounceSettings } from "./debounce.ts";
import { assessImpact, type Impact, isUrgent } from "./impact.ts";
import type { PushMetrics } from "./push-metrics.ts";

/** Builds the next snapshot; remembers the last one by itself. */
type SnapshotBuilder = (objects: Iterable<SourceObject>) => MeshSnapshot;

export interface SnapshotKeeperOptions {
  readonly sources: readonly ConfigSource[];
  readonly build: SnapshotBuilder;
  /** What a snapshot needs from outside, if something is missing yet: it is built again when that is there. */
  readonly prepare?: (snapshot: MeshSnapshot) => Promise<void> | undefined;
  /** Impact `none`: nothing that proxies see differs; states and issues may. */
  readonly onSnapshot: (snapshot: MeshSnapshot, impact: Impact) => void;
  /** The end of what the last snapshot is done with; undefined when that has ended. */
  readonly pushed: () => Promise<void> | undefined;
  readonly debounce: DebounceSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: PushMetrics;
}

export class SnapshotKeeper implements Running {
  readonly #options: SnapshotKeeperOptions;
  readonly #debounce: Debounce<SourceChange>;
  #current: MeshSnapshot | undefined;
  #isComplete = false;
  /** A snapshot waits for what it needs; when that is there, everything is read again. */
  #isPreparing = false;

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options;
    this.#debounce = new Debounce(options.debounce, options.clock, (_changes, waitedMs) => {
      options.metrics.debounceSeconds.observe(waitedMs / 1000);
      void this.#rebuild();
      return options.pushed();
    });
  }

  get current(): MeshSnapshot | undefined {
    return this.#current;
  }

  /** Resolves with the first snapshot: only when every source is complete, so that no proxy sees half a mesh. */
  async start(): Promise<void> {
    const { sources } = this.#options;
    await Promise.all(sources.map((source) => source.start((changes) => this.#collect(changes))));
    this.#isComplete = true;
    await this.#rebuild();
  }

  /** Builds a snapshot although no object changed. */
  rebuild(): void {
    if (this.#current !== undefined) this.#rebuild();
  }

  issues(): readonly Issue[] {
    return this.#options.sources.flatMap((source) => source.issues());
  }

  async stop(): Promise<void> {
    this.#debounce.stop();
    await Promise.all(this.#options.sources.map((source) => source.stop()));
  }

  #collect(changes: readonly SourceChange[]): void {
    if (!this.#isComplete) return;
    for (const change of changes) this.#options.metrics.inboundUpdates.labels(updateType(change)).increment();
    this.#debounce.add(changes, changes.every(isUrgent));
  }

  /** A promise when it waits. */
  #rebuild(): Promise<void> | undefined {
    if (this.#isPreparing) return undefined;
    const { build, prepare, sources, log, metrics, onSnapshot } = this.#options;
    const started = performance.now();
    let next: MeshSnapshot;
    try {
      next = build(allObjects(sources));
    } catch (error) {
      log.error("the configuration could not be read into a snapshot; the last one stays", {
        error: describeError(error),
      });
      return undefined;
    }
    const prepared = prepare?.(next);
    if (prepared !== undefined) {
      this.#isPreparing = true;
      return prepared.then(() => {
        this.#isPreparing = false;
        return this.#rebuild();
      });
    }
    metrics.snapshotSeconds.observe((performance.now() - started) / 1000);
    const impact = assessImpact(this.#current, next);
    this.#current = next;
    metrics.services.labels().set(next.services.length);
    metrics.virtualServices.labels().set(next.objects("VirtualService").length);
    if (impact.kind !== "none") this.#announce(next, impact);
    onSnapshot(next, impact);
    return undefined;
  }

  #announce(next: MeshSnapshot, impact: Exclude<Impact, { kind: "none" }>): void {
    const { log, metrics } = this.#options;
    const isEndpoints = next.changes.every(({ kind }) => kind === "EndpointSlice" || kind === "Pod");
    metrics.pushTriggers.labels(isEndpoints ? "endpoint" : "config").increment();
    log.info("push", {
      snapshot: next.version,
      scope: impact.kind,
      changes: next.changes.length,
      first: next.changes[0] && `${next.changes[0].kind} ${next.changes[0].namespace}/${next.changes[0].name}`,
    });
  }
}

function* allObjects(sources: readonly ConfigSource[]): Generator<SourceObject> {
  for (const source of sources) yield* source.objects();
}

/** As istiod tells changes apart. */
function updateType({ change, object }: SourceChange): "config" | "eds" | "svc" | "svcdelete" {
  switch (object.kind) {
    case "EndpointSlice":
      return "eds";
    case "Service":
      return change === "removed" ? "svcdelete" : "svc";
    default:
      return "config";
  }
}
