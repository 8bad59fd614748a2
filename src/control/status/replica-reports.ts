// What the other replicas tell of their proxies. Of a replica that ended nothing is left; one that only fell silent (the
// API server is out of its reach, its node is gone) may still hold proxies, and is named as one of which nobody knows.
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { catalogKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { objectKey } from "#mesh/objects/mesh-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import { reportLabel } from "../sources/kubernetes/kubernetes-source.ts";
import { Reflector } from "../sources/kubernetes/reflector.ts";
import { type DistributionReport, readReport } from "./distribution-report.ts";
import { joinObservations, type Observation, type Observations } from "./observation.ts";

export interface SeenByReplicas {
  readonly observations: Observations;
  /** Replicas that may hold proxies and have not reported for long, by name, in order. */
  readonly silent: readonly string[];
}

export interface ReplicaReportsOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  readonly revision: string;
  /** This replica; its own report is not read. */
  readonly replica: string;
  /** A pod of the namespace as it was seen last. */
  readonly pod: (name: string) => KubernetesObject | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something that statuses tell has changed. */
  onChange(): void;
}

/** Three renewals. */
export const silentAfterMs = 30_000;
/** Of a replica without a pod, of which nothing else tells that it ended. */
const forgottenAfterMs = 600_000;
const checkMs = 5_000;
const configMaps = catalogKind("v1", "ConfigMap");

interface Entry {
  readonly object: KubernetesObject;
  readonly report: DistributionReport;
  readonly seenAtMs: number;
}

const ReplicaState = { Reporting: "reporting", Silent: "silent", Ended: "ended" } as const;
type ReplicaState = (typeof ReplicaState)[keyof typeof ReplicaState];

export class ReplicaReports implements Running {
  readonly #options: ReplicaReportsOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #reflector: Reflector;
  #states = "";
  #cancelCheck: () => void = () => {};

  constructor(options: ReplicaReportsOptions) {
    this.#options = options;
    const { client, namespace, revision, log, clock } = options;
    this.#reflector = new Reflector({
      client,
      kind: configMaps,
      selection: { namespace, labelSelector: `${reportLabel}=${revision}` },
      log,
      clock,
      handlers: {
        replace: (objects) => {
          const known = new Map(this.#entries);
          this.#entries.clear();
          for (const object of objects) this.#put(object, known.get(object.metadata.name));
          options.onChange();
        },
        apply: (object) => {
          this.#put(object, this.#entries.get(object.metadata.name));
          options.onChange();
        },
        remove: ({ metadata }) => {
          if (this.#entries.delete(metadata.name)) options.onChange();
        },
      },
    });
  }

  start(): void {
    void this.#reflector.start();
    this.#check();
  }

  async stop(): Promise<void> {
    this.#cancelCheck();
    await this.#reflector.stop();
  }

  /** False until it is known who reports at all. */
  get isSynced(): boolean {
    return this.#reflector.isSynced;
  }

  /** Whether there are others that report. */
  get hasPeers(): boolean {
    return [...this.#entries.values()].some((entry) => this.#stateOf(entry) !== ReplicaState.Ended);
  }

  /** What all replicas see, this one among them. */
  joined(snapshot: MeshSnapshot, own: Observations): SeenByReplicas {
    if (this.#entries.size === 0) return { observations: own, silent: [] };
    const generations = new Map(snapshot.resourceStates().map((state) => [objectKey(state.origin), state.generation]));
    const observations = new Map(own);
    const silent: string[] = [];
    for (const entry of this.#entries.values()) {
      const state = this.#stateOf(entry);
      if (state === ReplicaState.Silent) silent.push(entry.report.replica);
      if (state !== ReplicaState.Reporting) continue;
      for (const [key, reported] of entry.report.objects) {
        const before = observations.get(key);
        const seen = generations.get(key) === reported.generation ? reported : asOutdated(reported);
        observations.set(key, before === undefined ? seen : joinObservations(before, seen));
      }
    }
    return { observations, silent: silent.sort() };
  }

  #put(object: KubernetesObject, before: Entry | undefined): void {
    const { name, resourceVersion } = object.metadata;
    if (before !== undefined && before.object.metadata.resourceVersion === resourceVersion) {
      this.#entries.set(name, before);
      return;
    }
    const report = readReport(object);
    if (report === undefined || report.replica === this.#options.replica) this.#entries.delete(name);
    else this.#entries.set(name, { object, report, seenAtMs: this.#options.clock.now() });
  }

  /** Clocks of machines differ: what counts is how long the report has not changed here. */
  #stateOf({ report, seenAtMs }: Entry): ReplicaState {
    const { pod, clock } = this.#options;
    const isSilent = clock.now() - seenAtMs >= silentAfterMs;
    if (report.isPod && !hasProcess(pod(report.replica))) return ReplicaState.Ended;
    return isSilent ? ReplicaState.Silent : ReplicaState.Reporting;
  }

  /** Nothing tells that a replica fell silent but time. */
  #check(): void {
    const { clock, onChange } = this.#options;
    const all = [...this.#entries.values()];
    const states = all.map((entry) => `${entry.report.replica}=${this.#stateOf(entry)}`).join();
    if (states !== this.#states) onChange();
    this.#states = states;
    for (const entry of all) if (this.#isLeftBehind(entry)) void this.#remove(entry);
    this.#cancelCheck = clock.after(checkMs, () => this.#check());
  }

  /** Of a replica that ended without taking its report back, and will not come again under its name. */
  #isLeftBehind(entry: Entry): boolean {
    const { pod, clock } = this.#options;
    const { report, seenAtMs } = entry;
    if (report.isPod && pod(report.replica) !== undefined) return false;
    return clock.now() - seenAtMs >= (report.isPod ? silentAfterMs : forgottenAfterMs);
  }

  async #remove({ object, report }: Entry): Promise<void> {
    const { client, log } = this.#options;
    try {
      await client.delete(configMaps, object.metadata);
    } catch (error) {
      log.debug("the report of a replica that ended is still there", {
        replica: report.replica,
        error: describeError(error),
      });
    }
  }
}

/** Proxies that have what another version made: none is known to have this one. */
function asOutdated(seen: Observation): Observation {
  return { progress: { ...seen.progress, current: 0 }, moduleProxies: 0 };
}

interface PodStatus {
  readonly phase?: string;
  readonly containerStatuses?: readonly { readonly state?: { readonly running?: unknown } }[];
}

/** Whether any container of the pod runs. A pod that says nothing of its containers may run. */
function hasProcess(pod: KubernetesObject | undefined): boolean {
  if (pod === undefined) return false;
  const { phase, containerStatuses = [] } = (pod["status"] ?? {}) as PodStatus;
  if (phase === "Succeeded" || phase === "Failed") return false;
  return containerStatuses.length === 0 || containerStatuses.some(({ state }) => state?.running !== undefined);
}
