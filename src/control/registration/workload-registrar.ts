// Registers workloads outside of the cluster (WorkloadGroup): an entry is made when the proxy connects, carries the
// health that its agent reports, and goes when the proxy has been away for a while. Every replica does this for the
// proxies that it holds; the annotations of an entry say which one that is, so that a late word of an earlier one
// changes nothing.
import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Counter, MetricRegistry } from "#base/metrics/registry.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import { type CatalogEntry, findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import type { ConnectionInfo } from "../xds/connection.ts";
import type { WorkloadHealth, WorkloadLifecycle } from "../xds/workload-lifecycle.ts";
import {
  annotation,
  entryFromGroup,
  entryNameOf,
  groupOf,
  isAbandoned,
  type Patience,
  timeOf,
  withAnnotations,
} from "./workload-entry.ts";

export interface WorkloadRegistrarOptions {
  readonly client: Pick<KubernetesClient, "find" | "create" | "update" | "updateStatus" | "delete" | "list">;
  /** Of this replica. */
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricRegistry;
  /** Istio's PILOT_WORKLOAD_ENTRY_GRACE_PERIOD; default 10 s. */
  readonly graceMs?: number;
  /** How long a stream may last at most; undefined: for ever. */
  readonly maxConnectionAgeMs?: number | undefined;
}

const mostAttempts = 5;

export class WorkloadRegistrar implements WorkloadLifecycle, Running {
  readonly #options: WorkloadRegistrarOptions;
  readonly #patience: Patience;
  readonly #counters: Record<
    "success" | "updates" | "unregister" | "deletes" | "errors",
    ReturnType<Counter["labels"]>
  >;
  /** Streams of this replica by entry: a proxy may be back before its earlier stream is seen to end. */
  readonly #streams = new Map<string, number>();
  /** What is done about one entry is done in order. */
  readonly #work = new Map<string, Promise<unknown>>();
  readonly #timers = new Set<() => void>();
  #isStopped = false;

  constructor(options: WorkloadRegistrarOptions) {
    this.#options = options;
    const { graceMs = 10_000, maxConnectionAgeMs } = options;
    const connectionMs = maxConnectionAgeMs === undefined ? null : maxConnectionAgeMs * 1.5;
    this.#patience = { graceMs, connectionMs };
    const counter = (name: string, help: string) =>
      options.metrics.counter(`auto_registration_${name}_total`, help).labels();
    this.#counters = {
      success: counter("success", "WorkloadEntries that were made for workloads that registered."),
      updates: counter("updates", "Workloads that came back to their WorkloadEntries."),
      unregister: counter("unregister", "Workloads that went away."),
      deletes: counter("deletes", "WorkloadEntries that were deleted because their workloads stayed away."),
      errors: counter("errors", "Registrations that were refused or not written."),
    };
  }

  /** Looks for abandoned entries from time to time: who was to delete them may have ended. */
  start(): void {
    this.#after(this.#patience.graceMs * 10, () => {
      void this.#sweep().finally(() => this.start());
    });
  }

  async stop(): Promise<void> {
    // What is under way tells the other replicas that these proxies are free.
    await Promise.allSettled(this.#work.values());
    this.#isStopped = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  concerns(node: ProxyNode): boolean {
    return entryNameOf(node) !== "";
  }

  connected(info: ConnectionInfo): Promise<string | undefined> {
    const key = keyOf(info.node);
    this.#streams.set(key, (this.#streams.get(key) ?? 0) + 1);
    return this.#inOrder(key, () => this.#register(info)).catch((error: unknown) => {
      this.#counters.errors.increment();
      return `the WorkloadEntry ${key} cannot be written: ${describeError(error)}`;
    });
  }

  disconnected(info: ConnectionInfo): void {
    const key = keyOf(info.node);
    const left = (this.#streams.get(key) ?? 1) - 1;
    if (left > 0) {
      this.#streams.set(key, left);
      return;
    }
    this.#streams.delete(key);
    const disconnectedAtMs = this.#options.clock.now();
    const backoff = new Backoff({ initialMs: 100, maxMs: 30_000 });
    const attempt = (): void => {
      this.#inOrder(key, () => this.#unregister(info, disconnectedAtMs)).catch((error: unknown) => {
        this.#counters.errors.increment();
        this.#options.log.warn("a workload went away and its entry does not say so yet", {
          entry: key,
          error: describeError(error),
        });
        this.#after(backoff.next(), attempt);
      });
    };
    attempt();
  }

  health(info: ConnectionInfo, health: WorkloadHealth): void {
    const key = keyOf(info.node);
    const probedAtMs = this.#options.clock.now();
    this.#inOrder(key, () => this.#setHealth(info.node, health, probedAtMs)).catch((error: unknown) => {
      this.#options.log.warn("a workload's health is not in its entry", { entry: key, error: describeError(error) });
    });
  }

  async #register({ node, caller, connectedAtMs }: ConnectionInfo): Promise<string | undefined> {
    const { client, instance, log } = this.#options;
    const place = placeOf(node);
    const connected = {
      [annotation.controller]: instance,
      [annotation.connectedAt]: timeText(connectedAtMs),
      [annotation.disconnectedAt]: undefined,
    };
    const isThere = await this.#change(node, (entry) =>
      // It is with another replica already, or with this one by a newer stream.
      timeOf(entry, annotation.connectedAt) > connectedAtMs ? undefined : withAnnotations(entry, connected),
    );
    if (isThere) {
      this.#counters.updates.increment();
      return undefined;
    }
    const groupName = groupOf(node);
    if (groupName === "") return this.#refuse(`there is no WorkloadEntry ${keyOf(node)}`);
    const group = await client.find(workloadGroup, { name: groupName, namespace: node.namespace });
    if (group === undefined) return this.#refuse(`there is no WorkloadGroup ${node.namespace}/${groupName}`);
    const wanted = serviceAccountOf(group);
    if (caller !== undefined && wanted !== "" && caller.identity.serviceAccount !== wanted) {
      const is = caller.identity.serviceAccount;
      return this.#refuse(`WorkloadGroup ${node.namespace}/${groupName} is for service account ${wanted}, not ${is}`);
    }
    try {
      await client.create(workloadEntry, withAnnotations(entryFromGroup(node, group), connected));
    } catch (error) {
      // Another replica was faster.
      if (hasCode(error, "API_ALREADY_EXISTS")) return undefined;
      throw error;
    }
    this.#counters.success.increment();
    log.info("a workload is registered", { entry: `${place.namespace}/${place.name}`, group: groupName });
    return undefined;
  }

  async #unregister({ node, connectedAtMs }: ConnectionInfo, disconnectedAtMs: number): Promise<void> {
    const key = keyOf(node);
    // It came back meanwhile.
    if (this.#streams.has(key)) return;
    let isOurs = false;
    await this.#change(node, (entry) => {
      const at = timeOf(entry, annotation.connectedAt);
      isOurs =
        entry.metadata.annotations?.[annotation.controller] === this.#options.instance &&
        at <= Math.max(connectedAtMs, disconnectedAtMs);
      if (!isOurs) return undefined;
      const time = timeText(disconnectedAtMs);
      return withAnnotations(entry, { [annotation.connectedAt]: undefined, [annotation.disconnectedAt]: time });
    });
    if (!isOurs) return;
    this.#counters.unregister.increment();
    this.#after(this.#patience.graceMs, () => {
      this.#inOrder(key, () => this.#cleanUp(placeOf(node))).catch((error: unknown) => this.#notDeleted(key, error));
    });
  }

  async #setHealth(node: ProxyNode, { isHealthy, message }: WorkloadHealth, probedAtMs: number): Promise<void> {
    const { client, instance } = this.#options;
    for (let attempt = 0; attempt < mostAttempts; attempt++) {
      const entry = await client.find(workloadEntry, placeOf(node));
      if (entry === undefined || entry.metadata.annotations?.[annotation.controller] !== instance) return;
      const status = (entry["status"] ?? {}) as { conditions?: readonly { readonly type?: string }[] };
      const others = (status.conditions ?? []).filter(({ type }) => type !== "Healthy");
      const time = timeText(probedAtMs);
      const healthy = {
        type: "Healthy",
        status: isHealthy ? "True" : "False",
        lastProbeTime: time,
        lastTransitionTime: time,
        ...(!isHealthy && { message }),
      };
      try {
        await client.updateStatus(workloadEntry, { ...entry, status: { ...status, conditions: [...others, healthy] } });
        return;
      } catch (error) {
        if (!hasCode(error, "API_CONFLICT")) throw error;
      }
    }
    throw new Error("somebody else changes it all the time");
  }

  /** Replaces the entry by what is made of it, as often as somebody else was faster. False: it is not there. */
  async #change(node: ProxyNode, change: (entry: KubernetesObject) => KubernetesObject | undefined): Promise<boolean> {
    const { client } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const entry = await client.find(workloadEntry, placeOf(node));
      if (entry === undefined) return false;
      const next = change(entry);
      if (next === undefined) return true;
      try {
        await client.update(workloadEntry, next);
        return true;
      } catch (error) {
        if (hasCode(error, "API_NOT_FOUND")) return false;
        if (!hasCode(error, "API_CONFLICT") || attempt >= mostAttempts) throw error;
      }
    }
  }

  async #cleanUp(place: Place): Promise<void> {
    const { client, clock, log } = this.#options;
    const entry = await client.find(workloadEntry, place);
    if (entry === undefined || !isAbandoned(entry, clock.now(), this.#patience)) return;
    await client.delete(workloadEntry, place);
    this.#counters.deletes.increment();
    log.info("a workload stayed away and is not registered any more", { entry: `${place.namespace}/${place.name}` });
  }

  async #sweep(): Promise<void> {
    const { client, clock } = this.#options;
    try {
      const { items } = await client.list(workloadEntry);
      for (const { metadata } of items.filter((entry) => isAbandoned(entry, clock.now(), this.#patience))) {
        const place = { name: metadata.name, namespace: metadata.namespace ?? "default" };
        await this.#inOrder(`${place.namespace}/${place.name}`, () => this.#cleanUp(place));
      }
    } catch (error) {
      this.#notDeleted("all", error);
    }
  }

  #notDeleted(entry: string, error: unknown): void {
    this.#counters.errors.increment();
    this.#options.log.warn("an abandoned entry is not deleted yet", { entry, error: describeError(error) });
  }

  #refuse(why: string): string {
    this.#counters.errors.increment();
    return why;
  }

  #inOrder<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#work.get(key) ?? Promise.resolve();
    const done = before.then(work, work);
    const settled = done.then(
      () => undefined,
      () => undefined,
    );
    this.#work.set(key, settled);
    void settled.then(() => {
      if (this.#work.get(key) === settled) this.#work.delete(key);
    });
    return done;
  }

  #after(delayMs: number, work: () => void): void {
    if (this.#isStopped) return;
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#timers.delete(cancel);
      work();
    });
    this.#timers.add(cancel);
  }
}

interface Place {
  readonly name: string;
  readonly namespace: string;
}

function placeOf(node: ProxyNode): Place {
  return { name: entryNameOf(node), namespace: node.namespace };
}

function keyOf(node: ProxyNode): string {
  return `${node.namespace}/${entryNameOf(node)}`;
}

function serviceAccountOf(group: KubernetesObject): string {
  const spec = group["spec"] as { readonly template?: { readonly serviceAccount?: unknown } } | undefined;
  const account = spec?.template?.serviceAccount;
  return typeof account === "string" ? account : "";
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

const workloadEntry = kindOf("WorkloadEntry");
const workloadGroup = kindOf("WorkloadGroup");

function kindOf(kind: string): CatalogEntry {
  const entry = findKind("networking.istio.io/v1", kind);
  if (entry === undefined) throw new TypeError(`${kind} is not in the catalog`);
  return entry;
}
