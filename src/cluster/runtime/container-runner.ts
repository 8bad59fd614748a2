// Keeps one container of a pod in the state that its policy wants: starts it, probes it, starts it again with back-off,
// and ends it. States: waiting (to start, to be restarted, or for something that is missing) → running → terminated.

import { randomUUID } from "node:crypto";
import { describeError } from "#base/error.ts";
import type { Clock } from "#base/time/clock.ts";
import type { ContainerLog } from "./container-log.ts";
import type { ContainerExit, ContainerProcess } from "./container-process.ts";
import { type ContainerState, notStarted, type Terminated, type Waiting } from "./container-state.ts";
import type { ContainerSpec, Handler, Probe, RestartPolicy } from "./pod-spec.ts";
import { type AttemptTarget, attempt } from "./probe-attempt.ts";
import { startProber } from "./prober.ts";
import { RestartDelay } from "./restart-delay.ts";
import { runtimeExit } from "./runtime-exit.ts";
import { WaitingError } from "./waiting-error.ts";

export interface ContainerRunnerOptions {
  readonly container: ContainerSpec;
  readonly restartPolicy: RestartPolicy;
  /** Its success is its end, and then it counts as ready. */
  readonly isInit: boolean;
  /** Starts the process. Throws a WaitingError while something is missing. */
  readonly launch: (log: ContainerLog) => Promise<ContainerProcess>;
  readonly openLog: (restarts: number) => ContainerLog;
  /** Known when the first run is launched. */
  readonly podAddress: () => string;
  readonly clock: Clock;
  readonly onChange: () => void;
  readonly onEvent: (type: "Normal" | "Warning", reason: string, message: string) => void;
}

/** How long a start that waits for something is put off; changes of the pod's surroundings end the wait at once. */
const missingRetryMs = 5_000;

export class ContainerRunner {
  readonly container: ContainerSpec;
  readonly #options: ContainerRunnerOptions;
  readonly #delay = new RestartDelay();
  readonly #stopping = Promise.withResolvers<void>();
  readonly #launched = Promise.withResolvers<void>();
  readonly #started = Promise.withResolvers<boolean>();
  readonly #ended = Promise.withResolvers<number>();
  #wake: () => void = () => {};
  #state: ContainerState = notStarted;
  #process: ContainerProcess | undefined;
  #log: ContainerLog | undefined;
  #previousLog: ContainerLog | undefined;
  #endProbes: (() => void)[] = [];
  #isStopping = false;
  #hasBegun = false;
  #endReason: string | undefined;

  constructor(options: ContainerRunnerOptions) {
    this.#options = options;
    this.container = options.container;
  }

  get state(): ContainerState {
    return this.#state;
  }

  get log(): ContainerLog | undefined {
    return this.#log;
  }

  get previousLog(): ContainerLog | undefined {
    return this.#previousLog;
  }

  /** Its first run is there and its postStart hook is through, or it has ended for good. */
  get launched(): Promise<void> {
    return this.#launched.promise;
  }

  /** True when the startup probe has succeeded for the first time; false when it has ended for good before. */
  get started(): Promise<boolean> {
    return this.#started.promise;
  }

  /** The exit code, once it will not run again. */
  get ended(): Promise<number> {
    return this.#ended.promise;
  }

  start(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    void this.#loop();
  }

  /** Something that a start may be waiting for has changed. */
  poke(): void {
    this.#wake();
  }

  /** The process that runs now. */
  get process(): ContainerProcess | undefined {
    return this.#process;
  }

  /** Runs preStop, sends SIGTERM, and at the deadline SIGKILL. Resolves when the process has ended. */
  async stop(deadlineMs: number): Promise<void> {
    const { clock } = this.#options;
    const isFirst = !this.#isStopping;
    this.#isStopping = true;
    this.#stopping.resolve();
    this.#wake();
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.#finish(0);
      return;
    }
    const running = this.#process;
    if (running !== undefined && isFirst) {
      const hook = this.container.lifecycle?.preStop;
      const leftMs = deadlineMs - clock.now();
      if (hook !== undefined && leftMs > 0)
        await Promise.race([this.#hook("preStop", hook, running, leftMs), running.exited]);
      this.#endProbing();
      running.kill("SIGTERM");
    }
    const cancel = clock.after(Math.max(0, deadlineMs - clock.now()), () => this.kill());
    await this.ended;
    cancel();
  }

  /** SIGKILL, now. */
  kill(): void {
    this.#isStopping = true;
    this.#stopping.resolve();
    this.#wake();
    this.#process?.kill("SIGKILL");
  }

  async #loop(): Promise<void> {
    try {
      while (!this.#isStopping) {
        const exit = await this.#runOnce();
        if (exit === undefined) continue;
        if (this.#isStopping || !this.#restarts(exit)) {
          this.#finish(exit.code);
          return;
        }
        await this.#backOff();
      }
      this.#finish(this.#state.current.kind === "terminated" ? this.#state.current.exitCode : 137);
    } catch (error) {
      // A defect of ours must not leave the pod waiting for a container that nobody runs.
      this.#options.onEvent("Warning", "Failed", describeError(error));
      this.#process?.kill("SIGKILL");
      this.#finish(runtimeExit);
    }
  }

  #restarts(exit: ContainerExit): boolean {
    const { restartPolicy } = this.#options;
    return restartPolicy === "Always" || (restartPolicy === "OnFailure" && exit.code !== 0);
  }

  /** One run from launch to exit; undefined when it could not be launched and waits. */
  async #runOnce(): Promise<ContainerExit | undefined> {
    const { clock, onEvent } = this.#options;
    this.#previousLog = this.#log ?? this.#previousLog;
    const log = this.#options.openLog(this.#state.restarts);
    const id = `outrigger://${randomUUID().replaceAll("-", "")}`;
    let running: ContainerProcess;
    try {
      running = await this.#options.launch(log);
    } catch (error) {
      log.end();
      this.#log = this.#previousLog;
      await this.#waitFor(error);
      return undefined;
    }
    this.#log = log;
    this.#process = running;
    this.#endReason = undefined;
    const startedAtMs = clock.now();
    const { startupProbe, readinessProbe } = this.container;
    const started = startupProbe === undefined;
    this.#set({
      current: { kind: "running", startedAtMs },
      id,
      started,
      ready: started && readinessProbe === undefined,
    });
    onEvent("Normal", "Started", `Started container ${this.container.name}`);
    if (this.#isStopping) running.kill("SIGKILL");
    void this.#afterStart(running);
    const exit = await running.exited;
    this.#process = undefined;
    this.#endProbing();
    log.end();
    this.#delay.ended(clock.now() - startedAtMs);
    const current = this.#terminated(exit, { startedAtMs, id, log });
    this.#set({ current, ready: this.#isInitSuccess(exit), started: false });
    return exit;
  }

  #isInitSuccess(exit: ContainerExit): boolean {
    return exit.code === 0 && this.#options.isInit && this.#options.restartPolicy !== "Always";
  }

  #terminated(exit: ContainerExit, run: { startedAtMs: number; id: string; log: ContainerLog }): Terminated {
    const finishedAtMs = this.#options.clock.now();
    const isSetupFailure = exit.code === runtimeExit && finishedAtMs - run.startedAtMs < 5_000;
    const reason = this.#endReason ?? (exit.code === 0 ? "Completed" : isSetupFailure ? "StartError" : "Error");
    const message = isSetupFailure || exit.code === 126 || exit.code === 127 ? run.log.tail(5) : "";
    return {
      kind: "terminated",
      reason,
      message,
      exitCode: exit.code,
      startedAtMs: run.startedAtMs,
      finishedAtMs,
      id: run.id,
    };
  }

  async #afterStart(running: ContainerProcess): Promise<void> {
    const postStart = this.container.lifecycle?.postStart;
    if (postStart !== undefined) {
      const failure = await Promise.race([
        this.#hook("postStart", postStart, running, 60_000),
        running.exited.then(() => "exited"),
      ]);
      if (failure !== undefined && this.#process === running) {
        this.#end(running, "PostStartHookError");
        return;
      }
    }
    if (this.#process !== running) return;
    this.#launched.resolve();
    const { startupProbe } = this.container;
    if (startupProbe === undefined) this.#becomesStarted(running);
    else this.#probe(running, "Startup", startupProbe, (success) => success && this.#becomesStarted(running));
  }

  #becomesStarted(running: ContainerProcess): void {
    this.#endProbing();
    const { readinessProbe, livenessProbe } = this.container;
    this.#set({ started: true, ready: readinessProbe === undefined });
    this.#started.resolve(true);
    if (readinessProbe !== undefined)
      this.#probe(running, "Readiness", readinessProbe, (ready) => this.#set({ ready }));
    if (livenessProbe !== undefined) this.#probe(running, "Liveness", livenessProbe, () => {});
  }

  #probe(
    running: ContainerProcess,
    kind: "Startup" | "Readiness" | "Liveness",
    probe: Probe,
    onVerdict: (success: boolean) => void,
  ): void {
    const { clock, onEvent } = this.#options;
    const { container } = this;
    const end = startProber({
      probe,
      eager: kind !== "Liveness",
      clock,
      attempt: (timeoutMs) => attempt(probe, this.#target(running), timeoutMs),
      onVerdict: (success, message) => {
        if (this.#process !== running) return;
        if (!success) onEvent("Warning", "Unhealthy", `${kind} probe failed: ${message}`);
        onVerdict(success);
        if (!success && kind !== "Readiness" && !this.#isStopping) {
          onEvent(
            "Normal",
            "Killing",
            `Container ${container.name} failed ${kind.toLowerCase()} probe, will be restarted`,
          );
          this.#end(running, "Error");
        }
      },
    });
    this.#endProbes.push(end);
  }

  /** Ends a run that the policy may begin anew: in order, but not for ever. */
  #end(running: ContainerProcess, reason: string): void {
    this.#endReason = reason;
    this.#endProbing();
    this.#set({ ready: false });
    running.kill("SIGTERM");
    const cancel = this.#options.clock.after(5_000, () => running.kill("SIGKILL"));
    void running.exited.then(cancel);
  }

  #endProbing(): void {
    for (const end of this.#endProbes.splice(0)) end();
  }

  #target(process: ContainerProcess): AttemptTarget {
    return { container: this.container, podAddress: this.#options.podAddress(), process };
  }

  async #hook(name: string, hook: Handler, running: ContainerProcess, timeoutMs: number): Promise<string | undefined> {
    const failure = await attempt(hook, this.#target(running), timeoutMs);
    if (failure !== undefined) {
      this.#options.onEvent("Warning", name === "preStop" ? "FailedPreStopHook" : "FailedPostStartHook", failure);
    }
    return failure;
  }

  async #waitFor(error: unknown): Promise<void> {
    const reason = error instanceof WaitingError ? error.reason : "RunContainerError";
    const waiting: Waiting = { kind: "waiting", reason, message: describeError(error) };
    const { current } = this.#state;
    if (current.kind !== "waiting" || current.message !== waiting.message) {
      this.#options.onEvent("Warning", "Failed", waiting.message);
    }
    this.#set({ current: waiting, ready: false, started: false });
    await this.#sleep(missingRetryMs);
  }

  async #backOff(): Promise<void> {
    const { container } = this;
    const delayMs = this.#delay.next();
    const last = this.#state.current.kind === "terminated" ? this.#state.current : this.#state.last;
    this.#set({ last, restarts: this.#state.restarts + 1, ready: false });
    if (delayMs > 0) {
      const message = `back-off ${Math.round(delayMs / 100) / 10}s restarting failed container=${container.name}`;
      this.#set({ current: { kind: "waiting", reason: "CrashLoopBackOff", message } });
      this.#options.onEvent("Warning", "BackOff", message);
      await this.#sleep(delayMs, false);
    }
  }

  /** Waits; the end of the container, and with `wakes` a poke, cut it short. */
  async #sleep(delayMs: number, wakes = true): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(delayMs, resolve);
    this.#wake = wakes ? resolve : () => this.#isStopping && resolve();
    if (this.#isStopping) resolve();
    await promise;
    cancel();
    this.#wake = () => {};
  }

  #finish(code: number): void {
    this.#launched.resolve();
    this.#started.resolve(this.#isInitSuccess({ code, signal: undefined }));
    this.#ended.resolve(code);
    this.#options.onChange();
  }

  #set(change: Partial<ContainerState>): void {
    this.#state = { ...this.#state, ...change };
    this.#options.onChange();
  }
}
