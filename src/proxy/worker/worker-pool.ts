// The worker threads of a proxy with `concurrency` above one. The main thread serves traffic itself and has the only xDS
// client; what it accepts, and every secret, goes to the workers, which listen on the same ports (SO_REUSEPORT: the
// kernel spreads connections). A worker that dies is started anew with everything that it has to know.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { ProcessCells } from "#base/threads/process-cells.ts";
import type { Clock } from "#base/time/clock.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import type { DeltaUpdate } from "#wire/xds/delta-state.ts";
import type { Runtime } from "../config/runtime.ts";
import type { EjectedEndpoint } from "../upstream/cluster.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./messages.ts";
import type { WorkerReport } from "./report.ts";

export interface WorkerPoolOptions {
  /** Threads beside the main one. */
  readonly count: number;
  readonly settings: Omit<WorkerSettings, "index">;
  readonly secrets: SecretStore;
  /** Of this thread; a new worker is told what it was changed to. */
  readonly runtime: Runtime;
  readonly cells: ProcessCells;
  /** A worker ejected an endpoint. */
  readonly onEjected: (ejected: EjectedEndpoint) => void;
  readonly log: Logger;
  readonly clock: Clock;
}

/** How long a report may take; a worker that is busy longer is left out of the answer. */
const reportMs = 1000;
/** Pause before a dead worker is started anew. */
const restartMs = 1000;

type Resource = DeltaUpdate["added"][number];

export class WorkerPool implements Running {
  readonly #options: WorkerPoolOptions;
  readonly #members: Member[] = [];
  readonly #cancelRestarts = new Set<() => void>();
  /** All that a new worker has to be told, by type and name. */
  readonly #resources = new Map<string, Map<string, Resource>>();
  #onReady: () => void = () => {};
  #isStopped = false;
  #reports: readonly WorkerReport[] = [];

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    options.secrets.onChange((name) => this.#tellSecret(name));
    for (let index = 1; index <= options.count; index++) this.#start(index);
  }

  /** True when every worker runs its first configuration. */
  get isReady(): boolean {
    return this.#members.length === this.#options.count && this.#members.every((member) => member.isReady);
  }

  /** Calls back whenever a worker becomes ready. */
  onReady(callback: () => void): void {
    this.#onReady = callback;
  }

  /** As of the last `refresh`. */
  get reports(): readonly WorkerReport[] {
    return this.#reports;
  }

  get connectionCount(): number {
    return this.#reports.reduce((sum, report) => sum + report.connections, 0);
  }

  #start(index: number): void {
    const member = new Member({ ...this.#options.settings, index }, this.#options.log);
    this.#members.push(member);
    member.onReady = () => this.#onReady();
    member.onEjected = (ejected) => {
      this.#options.onEjected(ejected);
      for (const other of this.#members) if (other !== member) other.send({ type: "ejection", ejected });
    };
    member.onGone = (words) => this.#gone(member, index, words);
    for (const [typeUrl, byName] of this.#resources) {
      member.send({ type: "update", update: { typeUrl, version: "", added: [...byName.values()], removed: [] } });
    }
    const { runtime, secrets } = this.#options;
    if (runtime.changes.length > 0) member.send({ type: "runtime", changes: runtime.changes });
    for (const name of new Set([
      ...secrets.certificateNames(),
      ...secrets.rootNames(),
      ...secrets.revocationListNames(),
    ]))
      member.sendSecret(secrets, name);
  }

  #gone(member: Member, index: number, words: string): void {
    const at = this.#members.indexOf(member);
    if (at >= 0) this.#members.splice(at, 1);
    this.#options.cells.forget(index);
    if (this.#isStopped) return;
    this.#options.log.error(`worker ${index} ended and is started anew: ${words}`);
    const cancel = this.#options.clock.after(restartMs, () => {
      this.#cancelRestarts.delete(cancel);
      this.#start(index);
    });
    this.#cancelRestarts.add(cancel);
  }

  /** Hands on what the main thread was told. */
  update(update: DeltaUpdate): void {
    let byName = this.#resources.get(update.typeUrl);
    if (byName === undefined) {
      byName = new Map();
      this.#resources.set(update.typeUrl, byName);
    }
    for (const resource of update.added) byName.set(resource.name, resource);
    for (const name of update.removed) byName.delete(name);
    for (const member of this.#members) member.send({ type: "update", update });
  }

  #tellSecret(name: string): void {
    for (const member of this.#members) member.sendSecret(this.#options.secrets, name);
  }

  /** Asks all workers what they have counted. */
  async refresh(): Promise<void> {
    const answers = await Promise.all(this.#members.map((member) => member.report(this.#options.clock, reportMs)));
    this.#reports = answers.flatMap((report) => report ?? []);
  }

  tell(message: ToWorker): void {
    for (const member of this.#members) member.send(message);
  }

  /** Drains all workers; the number of connections that had to be cut. */
  async drain(deadlineMs: number): Promise<number> {
    const cut = await Promise.all(this.#members.map((member) => member.drain(this.#options.clock, deadlineMs)));
    return cut.reduce((sum, count) => sum + count, 0);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const cancel of this.#cancelRestarts) cancel();
    await Promise.all(this.#members.map((member) => member.stop()));
  }
}

/** One worker thread, seen from the main one. */
class Member {
  isReady = false;
  onReady: () => void = () => {};
  onEjected: (ejected: EjectedEndpoint) => void = () => {};
  onGone: (words: string) => void = () => {};
  readonly #worker: Worker;
  readonly #answers = new Map<number, (message: FromWorker | null) => void>();
  #questions = 0;
  #failure = "";

  constructor(settings: WorkerSettings, log: Logger) {
    this.#worker = new Worker(workerProgram(), { workerData: settings, name: `worker ${settings.index}` });
    this.#worker.on("message", (message: FromWorker) => this.#received(message));
    this.#worker.on("error", (error) => {
      this.#failure = describeError(error);
    });
    this.#worker.on("messageerror", (error) => log.error(`a worker's message can't be read: ${describeError(error)}`));
    this.#worker.on("exit", (code) => {
      for (const answer of this.#answers.values()) answer(null);
      this.#answers.clear();
      this.onGone(this.#failure || `exit code ${code}`);
    });
  }

  #received(message: FromWorker): void {
    if (message.type === "ready") {
      this.isReady = true;
      this.onReady();
    } else if (message.type === "ejection") this.onEjected(message.ejected);
    else if (message.type === "report" || message.type === "drained") {
      this.#answers.get(message.id)?.(message);
    }
  }

  send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  sendSecret(secrets: SecretStore, name: string): void {
    const certificate = secrets.certificate(name);
    if (certificate !== undefined) this.send({ type: "certificate", name, certificate });
    const pem = secrets.trustedRoots(name);
    const revocationList = secrets.revocationList(name);
    if (pem !== undefined) this.send({ type: "roots", name, pem, ...(revocationList && { revocationList }) });
    else if (revocationList !== undefined) this.send({ type: "revocations", name, pem: revocationList });
    else if (certificate === undefined) this.send({ type: "noSecret", name });
  }

  async report(clock: Clock, limitMs: number): Promise<WorkerReport | null> {
    const answer = await this.#ask((id) => ({ type: "report", id }), clock, limitMs);
    return answer?.type === "report" ? answer.report : null;
  }

  async drain(clock: Clock, deadlineMs: number): Promise<number> {
    // The worker keeps the deadline itself; the moment more is for its answer.
    const answer = await this.#ask((id) => ({ type: "drain", id, deadlineMs }), clock, deadlineMs + reportMs);
    return answer?.type === "drained" ? answer.cut : 0;
  }

  #ask(question: (id: number) => ToWorker, clock: Clock, limitMs: number): Promise<FromWorker | null> {
    const id = ++this.#questions;
    return new Promise((resolve) => {
      const cancel = clock.after(limitMs, () => finish(null));
      const finish = (message: FromWorker | null): void => {
        cancel();
        this.#answers.delete(id);
        resolve(message);
      };
      this.#answers.set(id, finish);
      this.send(question(id));
    });
  }

  async stop(): Promise<void> {
    this.onGone = () => {};
    this.send({ type: "stop" });
    await this.#worker.terminate();
  }
}

/** The thread's program: in the bundle, or among the sources. */
function workerProgram(): string {
  const bundled = join(import.meta.dirname, "proxy-worker.cjs");
  return existsSync(bundled) ? bundled : join(import.meta.dirname, "../worker-entry.ts");
}
