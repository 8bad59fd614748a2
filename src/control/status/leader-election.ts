// Leader election on a Lease (coordination.k8s.io/v1), by the rules of client-go: who holds the lease renews it; who does
// not takes it when its record has not changed for its whole duration, measured by the waiting side's own clock. A
// leader that ends gives the lease back, so that another takes over at once.
//
//   waiting ──acquired──► leading ──renewed──► leading
//      ▲                     │ not renewed within the deadline, or another holds it
//      └─────────────────────┘
import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { type CatalogEntry, findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";

export interface LeaderElectionOptions {
  readonly client: KubernetesClient;
  readonly name: string;
  readonly namespace: string;
  /** Unique among the replicas: the pod's name. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Logger;
  onElected(): void;
  onDeposed(): void;
}

/** client-go's defaults, as Istio uses them. */
const leaseDurationMs = 15_000;
const renewDeadlineMs = 10_000;
const retryMs = 2_000;

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

const leases = leaseKind();

export class LeaderElection implements Running {
  readonly #options: LeaderElectionOptions;
  #isLeader = false;
  #isStopped = false;
  #renewedAtMs = 0;
  /** The last record that was seen, and when it was first seen so. */
  #observed = { record: "", atMs: 0 };
  #working: Promise<void> = Promise.resolve();
  #cancel: () => void = () => {};

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  start(): void {
    this.#tick();
  }

  /** Gives the lease back. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    await this.#working;
    if (!this.#isLeader) return;
    this.#depose("this replica ends");
    const { client, log, identity } = this.#options;
    try {
      const lease = await this.#read();
      if (lease === undefined || specOf(lease).holderIdentity !== identity) return;
      const spec = { ...specOf(lease), holderIdentity: "", leaseDurationSeconds: 1, renewTime: this.#time() };
      await client.update(leases, { ...lease, spec });
    } catch (error) {
      log.warn("the lease was not given back; it ends by itself", { error: describeError(error) });
    }
  }

  #tick(): void {
    this.#working = this.#try().then(() => {
      if (this.#isStopped) return;
      this.#cancel = this.#options.clock.after(retryMs, () => this.#tick());
    });
  }

  async #try(): Promise<void> {
    const { clock, log } = this.#options;
    try {
      if (await this.#acquireOrRenew()) {
        this.#renewedAtMs = clock.now();
        if (!this.#isLeader && !this.#isStopped) this.#elect();
        return;
      }
      if (this.#isLeader) this.#depose("another replica holds the lease");
    } catch (error) {
      log.debug("the lease could not be read or written", { error: describeError(error) });
      if (this.#isLeader && clock.now() - this.#renewedAtMs >= renewDeadlineMs) this.#depose(describeError(error));
    }
  }

  /** False when somebody else holds the lease. */
  async #acquireOrRenew(): Promise<boolean> {
    const { client, identity, name, namespace } = this.#options;
    const lease = await this.#read();
    if (lease === undefined) {
      const spec = this.#record({ leaseTransitions: 0 });
      const made = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name, namespace }, spec };
      return this.#write(() => client.create(leases, made));
    }
    const spec = specOf(lease);
    if (spec.holderIdentity !== identity && !this.#hasExpired(spec)) return false;
    const isMine = spec.holderIdentity === identity;
    const transitions = (spec.leaseTransitions ?? 0) + (isMine ? 0 : 1);
    const next = this.#record({
      leaseTransitions: transitions,
      ...(isMine && spec.acquireTime !== undefined && { acquireTime: spec.acquireTime }),
    });
    return this.#write(() => client.update(leases, { ...lease, spec: next }));
  }

  async #read(): Promise<KubernetesObject | undefined> {
    const { client, name, namespace } = this.#options;
    return client.find(leases, { name, namespace });
  }

  /** Whoever was faster has it. */
  async #write(write: () => Promise<unknown>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch (error) {
      if (hasCode(error, "API_CONFLICT") || hasCode(error, "API_ALREADY_EXISTS")) return false;
      throw error;
    }
  }

  /** The clocks of two machines differ: what counts is how long the record has not changed here. */
  #hasExpired(spec: LeaseSpec): boolean {
    const now = this.#options.clock.now();
    const record = JSON.stringify(spec);
    if (record !== this.#observed.record) this.#observed = { record, atMs: now };
    if ((spec.holderIdentity ?? "") === "") return true;
    return now - this.#observed.atMs >= (spec.leaseDurationSeconds ?? leaseDurationMs / 1000) * 1000;
  }

  #record(kept: Pick<LeaseSpec, "acquireTime" | "leaseTransitions">): LeaseSpec {
    const time = this.#time();
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: leaseDurationMs / 1000,
      acquireTime: time,
      renewTime: time,
      ...kept,
    };
  }

  /** Kubernetes' MicroTime. */
  #time(): string {
    return new Date(this.#options.clock.now()).toISOString().replace("Z", "000Z");
  }

  #elect(): void {
    this.#isLeader = true;
    this.#options.log.info("this replica is the leader", { lease: this.#options.name });
    this.#options.onElected();
  }

  #depose(reason: string): void {
    this.#isLeader = false;
    this.#options.log.info("this replica is not the leader any more", { lease: this.#options.name, reason });
    this.#options.onDeposed();
  }
}

function specOf(lease: KubernetesObject): LeaseSpec {
  return (lease["spec"] ?? {}) as LeaseSpec;
}

function leaseKind(): CatalogEntry {
  const entry = findKind("coordination.k8s.io/v1", "Lease");
  if (entry === undefined) throw new TypeError("Lease is not in the catalog");
  return entry;
}
