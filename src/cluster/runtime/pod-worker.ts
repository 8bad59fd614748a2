// One pod on the node, from the first look at it to its removal: network, volumes, init containers in order, containers,
// and the way back. Nothing that goes wrong here reaches another pod.

import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { Images } from "../images.ts";
import type { AddressPool } from "../network/address-pool.ts";
import { checkSysctls, createPodNetwork, type PodNetwork } from "../network/pod-network.ts";
import { apiErrorCode } from "../store/errors.ts";
import { jsonEqual } from "../store/json.ts";
import { pods } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import type { TokenAuthority } from "../tokens/token-authority.ts";
import { launch } from "./container-launch.ts";
import { ContainerLog } from "./container-log.ts";
import { ContainerRunner } from "./container-runner.ts";
import type { EventRecorder, EventType } from "./event-recorder.ts";
import { type NodeFiles, nodeFolder } from "./node-files.ts";
import { writePodFiles } from "./pod-files.ts";
import {
  type ContainerSpec,
  findUnsupported,
  isSidecar,
  type PodSpec,
  podSpec,
  type RestartPolicy,
  refersTo,
  showsTrustBundles,
} from "./pod-spec.ts";
import { type ObservedPod, podStatus } from "./pod-status.ts";
import { killProcessesIn } from "./stray-processes.ts";
import { PodVolumes } from "./volumes/pod-volumes.ts";
import { WaitingError } from "./waiting-error.ts";

export interface PodWorkerOptions {
  readonly pod: KubernetesObject;
  /** Unique on the node: names its link and namespace. */
  readonly id: string;
  readonly store: ObjectStore;
  readonly tokens: TokenAuthority;
  readonly images: Images;
  readonly files: NodeFiles;
  readonly addresses: AddressPool;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly logFolder: string;
  /** Keeps the number of pods that are being set up at the same time bounded. */
  readonly gate: <T>(task: () => Promise<T>) => Promise<T>;
}

const setupRetryMs = 2_000;
/** What native sidecars get at the end even when the others have used up the grace period. */
const sidecarGraceMs = 2_000;

export class PodWorker {
  readonly uid: string;
  /** Resolves when nothing of the pod is left on the node and the object is gone. */
  readonly gone: Promise<void>;
  readonly #options: PodWorkerOptions;
  readonly #spec: PodSpec;
  readonly #folder: string;
  readonly #initRunners: readonly ContainerRunner[];
  readonly #runners: readonly ContainerRunner[];
  readonly #ending = Promise.withResolvers<void>();
  readonly #startTimeMs: number;
  #pod: KubernetesObject;
  #address: string | undefined;
  #network: PodNetwork | undefined;
  #volumes: PodVolumes | undefined;
  #problem: ObservedPod["problem"];
  #deadlineMs = Number.POSITIVE_INFINITY;
  #isTerminating = false;
  #isRemoved = false;
  #isPublishQueued = false;
  #wake: () => void = () => {};

  constructor(options: PodWorkerOptions) {
    this.#options = options;
    this.#pod = options.pod;
    this.#spec = podSpec(options.pod);
    this.uid = options.pod.metadata.uid ?? "";
    this.#folder = join(nodeFolder, "pods", this.uid);
    this.#startTimeMs = options.clock.now();
    this.#initRunners = (this.#spec.initContainers ?? []).map((container) => this.#runner(container, true));
    this.#runners = this.#spec.containers.map((container) => this.#runner(container, false));
    this.gone = this.#run();
  }

  get namespace(): string {
    return this.#pod.metadata.namespace ?? "";
  }

  get network(): PodNetwork | undefined {
    return this.#network;
  }

  findRunner(container: string): ContainerRunner | undefined {
    return [...this.#initRunners, ...this.#runners].find((runner) => runner.container.name === container);
  }

  /** The object has changed; what matters here is that it may be being deleted. */
  update(pod: KubernetesObject): void {
    const before = this.#pod.metadata;
    this.#pod = pod;
    const { deletionTimestamp, deletionGracePeriodSeconds, labels, annotations } = pod.metadata;
    if (deletionTimestamp === undefined) {
      // Most changes are of the status, and our own.
      if (!jsonEqual(before.labels, labels) || !jsonEqual(before.annotations, annotations)) this.#volumes?.update(pod);
      return;
    }
    const graceMs = (deletionGracePeriodSeconds ?? 30) * 1000;
    this.terminate(Math.min(this.#deadlineMs, this.#options.clock.now() + graceMs));
  }

  /** The object is gone from the store: nothing to wait for. */
  remove(): void {
    this.#isRemoved = true;
    this.terminate(this.#options.clock.now());
  }

  terminate(deadlineMs: number): void {
    const isShorter = deadlineMs < this.#deadlineMs;
    this.#deadlineMs = Math.min(this.#deadlineMs, deadlineMs);
    if (this.#isTerminating) {
      if (isShorter && deadlineMs <= this.#options.clock.now()) this.#killAll();
      return;
    }
    this.#isTerminating = true;
    this.#ending.resolve();
    this.#wake();
  }

  /** A ConfigMap or Secret has changed. */
  onConfigChange(kind: "configMap" | "secret", name: string): void {
    if (refersTo(this.#pod, kind, name)) this.#volumes?.refresh();
    this.#wake();
    for (const runner of [...this.#initRunners, ...this.#runners]) runner.poke();
  }

  /** A ClusterTrustBundle has changed, or there is another one. */
  onTrustBundleChange(): void {
    if (!showsTrustBundles(this.#pod)) return;
    this.#volumes?.refresh();
    this.#wake();
  }

  async #run(): Promise<void> {
    try {
      if (await this.#setUp()) await this.#runContainers();
      await this.#stopContainers();
    } catch (error) {
      this.#options.log.error(`${this.#name()}: ${describeError(error)}`);
      this.#event("Warning", "Failed", describeError(error));
      this.#killAll();
    }
    await this.#tearDown().catch((error: unknown) => {
      this.#options.log.warn(`${this.#name()}: not everything was removed: ${describeError(error)}`);
    });
    // A pod that has ended by itself stays in the store until somebody deletes it.
    if (!this.#isTerminating) await this.#ending.promise;
    this.#removeObject();
  }

  /** Network and volumes. False when the pod ended or cannot run here. */
  async #setUp(): Promise<boolean> {
    const sysctls = Object.fromEntries(
      (this.#spec.securityContext?.sysctls ?? []).map(({ name, value }) => [name, value]),
    );
    const refusal = findUnsupported(this.#pod) ?? checkSysctls(sysctls);
    if (refusal !== undefined) {
      this.#problem = { reason: "NotSupported", message: refusal, isFinal: true };
      this.#event("Warning", "NotSupported", refusal);
      this.#publish();
      return false;
    }
    while (!this.#isTerminating) {
      try {
        await this.#options.gate(() => this.#prepare(sysctls));
        this.#problem = undefined;
        this.#publish();
        return true;
      } catch (error) {
        const reason = error instanceof WaitingError ? error.reason : "FailedCreatePodSandBox";
        const message = describeError(error);
        if (this.#problem?.message !== message) this.#event("Warning", reason, message);
        this.#problem = { reason, message, isFinal: false };
        this.#publish();
        await this.#sleep(setupRetryMs);
      }
    }
    return false;
  }

  async #prepare(sysctls: Readonly<Record<string, string>>): Promise<void> {
    if (this.#isTerminating) return;
    const { store, tokens, addresses, clock, log, id } = this.#options;
    this.#address ??= addresses.take();
    const address = this.#address;
    mkdirSync(this.#folder, { recursive: true, mode: 0o755 });
    const folder = join(this.#folder, "volumes");
    this.#volumes ??= new PodVolumes({ folder, pod: this.#pod, podAddress: address, store, tokens, clock, log });
    // Files first: without a ConfigMap that is missing there is no use for a network.
    this.#volumes.create();
    writePodFiles(join(this.#folder, "etc"), this.#pod, address);
    this.#network ??= await createPodNetwork({ id, address, sysctls });
  }

  async #runContainers(): Promise<void> {
    for (const runner of this.#initRunners) {
      if (this.#isTerminating) return;
      runner.start();
      if (isSidecar(runner.container)) {
        await Promise.race([Promise.all([runner.launched, runner.started]), this.#ending.promise]);
        continue;
      }
      const code = await Promise.race([runner.ended, this.#ending.promise]);
      if (code === undefined) return;
      if (code !== 0) {
        this.#publish();
        return;
      }
    }
    for (const runner of this.#runners) {
      if (this.#isTerminating) return;
      runner.start();
      await Promise.race([runner.launched, this.#ending.promise]);
    }
    await Promise.race([Promise.all(this.#runners.map((runner) => runner.ended)), this.#ending.promise]);
  }

  /** The containers together, then the sidecars, the last one started first. */
  async #stopContainers(): Promise<void> {
    const { clock } = this.#options;
    const graceMs = (this.#spec.terminationGracePeriodSeconds ?? 30) * 1000;
    const deadlineMs = (): number => Math.min(this.#deadlineMs, clock.now() + graceMs);
    const isOrdinary = (runner: ContainerRunner): boolean => !isSidecar(runner.container);
    await Promise.all(
      [...this.#runners, ...this.#initRunners.filter(isOrdinary)].map((runner) => runner.stop(deadlineMs())),
    );
    for (const runner of this.#initRunners.filter((one) => isSidecar(one.container)).reverse()) {
      const isForced = this.#deadlineMs <= clock.now() && this.#isRemoved;
      await runner.stop(isForced ? clock.now() : Math.max(deadlineMs(), clock.now() + sidecarGraceMs));
    }
  }

  #killAll(): void {
    for (const runner of [...this.#initRunners, ...this.#runners]) runner.kill();
  }

  async #tearDown(): Promise<void> {
    this.#publish();
    const network = this.#network;
    if (network !== undefined) {
      killProcessesIn(network.namespaceFile);
      await network.remove();
    }
    this.#volumes?.remove();
    rmSync(this.#folder, { recursive: true, force: true });
    if (this.#address !== undefined) this.#options.addresses.release(this.#address);
  }

  #removeObject(): void {
    if (this.#isRemoved) return;
    const { name, namespace = "", uid } = this.#pod.metadata;
    try {
      this.#writeStatus();
      this.#options.store.delete(pods, namespace, name, {
        gracePeriodSeconds: 0,
        ...(uid === undefined ? {} : { uid }),
      });
    } catch (error) {
      const code = apiErrorCode(error);
      if (code === "NOT_FOUND" || code === "CONFLICT" || code === "UNAVAILABLE") return; // gone already, or the store is closed
      this.#options.log.error(`${this.#name()}: the object was not removed: ${describeError(error)}`);
    }
  }

  #runner(container: ContainerSpec, isInit: boolean): ContainerRunner {
    const { clock, logFolder, store, images, files } = this.#options;
    return new ContainerRunner({
      container,
      restartPolicy: restartPolicyOf(container, this.#spec, isInit),
      isInit,
      clock,
      podAddress: () => this.#address ?? "",
      openLog: (restarts) => new ContainerLog(clock, join(logFolder, container.name, `${restarts}.log`)),
      launch: (log) => {
        const network = this.#network;
        const volumes = this.#volumes;
        if (network === undefined || volumes === undefined) {
          throw new WaitingError("ContainerCreating", "the pod has no network yet");
        }
        return launch({ store, images, files, pod: this.#pod, folder: this.#folder, network, volumes }, container, log);
      },
      onChange: () => this.#publish(),
      onEvent: (type, reason, message) => this.#event(type, reason, message),
    });
  }

  /** Writes the status, once for all changes of one turn. */
  #publish(): void {
    if (this.#isPublishQueued) return;
    this.#isPublishQueued = true;
    queueMicrotask(() => {
      this.#isPublishQueued = false;
      this.#writeStatus();
    });
  }

  #writeStatus(): void {
    if (this.#isRemoved) return;
    const { store, clock } = this.#options;
    const { name, namespace = "", uid } = this.#pod.metadata;
    const stored = store.get(pods, namespace, name);
    if (stored === undefined || stored.metadata.uid !== uid) return;
    const observe = (runner: ContainerRunner) => ({ container: runner.container, state: runner.state });
    const status = podStatus(
      {
        initContainers: this.#initRunners.map(observe),
        containers: this.#runners.map(observe),
        restartPolicy: this.#spec.restartPolicy ?? "Always",
        podAddress: this.#network?.address,
        startTimeMs: this.#startTimeMs,
        isTerminating: this.#isTerminating,
        generation: stored.metadata.generation,
        ...(this.#problem === undefined ? {} : { problem: this.#problem }),
      },
      stored["status"],
      clock.now(),
    );
    try {
      // The store is in this process and was read in this turn: there is nothing to be in conflict with.
      store.updateStatus(pods, { ...stored, status });
    } catch (error) {
      this.#options.log.debug(`${this.#name()}: status not written: ${describeError(error)}`);
    }
  }

  async #sleep(delayMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(delayMs, resolve);
    this.#wake = resolve;
    await promise;
    cancel();
    this.#wake = () => {};
  }

  #event(type: EventType, reason: string, message: string): void {
    this.#options.events.record(this.#pod, type, reason, message);
    if (type === "Warning") this.#options.log.debug(`${this.#name()}: ${reason}: ${message}`);
  }

  #name(): string {
    return `pod ${this.#pod.metadata.namespace ?? ""}/${this.#pod.metadata.name}`;
  }
}

function restartPolicyOf(container: ContainerSpec, spec: PodSpec, isInit: boolean): RestartPolicy {
  const policy = spec.restartPolicy ?? "Always";
  if (!isInit) return policy;
  if (isSidecar(container)) return "Always";
  return policy === "Never" ? "Never" : "OnFailure";
}
