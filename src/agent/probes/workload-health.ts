// The health of a workload outside of the cluster, which no kubelet probes: the agent does, as `readinessProbe` of
// ProxyConfig says (it comes from the WorkloadGroup), and tells the control plane each time it becomes another one.
import { execFile } from "node:child_process";
import type { Running } from "#base/lifecycle.ts";
import type { Clock } from "#base/time/clock.ts";
import { type AppProber, type ProbeResult, probe } from "./prober.ts";

/** Istio's ReadinessProbe, as JSON. */
export interface ReadinessProbe extends AppProber {
  readonly exec?: { readonly command: readonly string[] };
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly successThreshold?: number;
  readonly failureThreshold?: number;
}

export interface HealthReport {
  readonly isHealthy: boolean;
  /** Why not. */
  readonly message: string;
}

export interface WorkloadHealthOptions {
  readonly probe: ReadinessProbe;
  /** Where the application answers. */
  readonly host: string;
  readonly clock: Clock;
  readonly onHealth: (report: HealthReport) => void;
}

/** Kubernetes' defaults. */
const defaults = { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 };

export class WorkloadHealth implements Running {
  readonly #options: WorkloadHealthOptions;
  #inARow = 0;
  #lastSucceeded: boolean | null = null;
  #reported: boolean | null = null;
  #cancel: () => void = () => {};
  #isStopped = false;

  constructor(options: WorkloadHealthOptions) {
    this.#options = options;
  }

  start(): void {
    this.#after(this.#options.probe.initialDelaySeconds ?? 0);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
  }

  #after(seconds: number): void {
    this.#cancel = this.#options.clock.after(seconds * 1000, () => {
      void ask(this.#options.probe, this.#options.host).then((result) => this.#answered(result));
    });
  }

  #answered({ status, reason = "the probe failed" }: ProbeResult): void {
    if (this.#isStopped) return;
    const { probe: asked, onHealth } = this.#options;
    const isSuccess = status < 400;
    this.#inARow = this.#lastSucceeded === isSuccess ? this.#inARow + 1 : 1;
    this.#lastSucceeded = isSuccess;
    const needed = isSuccess
      ? asked.successThreshold || defaults.successThreshold
      : asked.failureThreshold || defaults.failureThreshold;
    if (this.#inARow >= needed && this.#reported !== isSuccess) {
      this.#reported = isSuccess;
      onHealth({ isHealthy: isSuccess, message: isSuccess ? "" : reason });
    }
    this.#after(asked.periodSeconds || defaults.periodSeconds);
  }
}

function ask(asked: ReadinessProbe, host: string): Promise<ProbeResult> {
  const timeoutSeconds = asked.timeoutSeconds || defaults.timeoutSeconds;
  if (asked.exec === undefined) return probe({ ...asked, timeoutSeconds }, { host });
  const [file = "", ...args] = asked.exec.command;
  return new Promise((resolve) => {
    execFile(file, args, { timeout: timeoutSeconds * 1000, maxBuffer: mostOutput }, (error, _stdout, stderr) => {
      if (error === null) resolve({ status: 200 });
      else resolve({ status: 500, reason: reasonOf(error, stderr) });
    });
  });
}

const mostOutput = 64 * 1024;
const longestReason = 200;

function reasonOf(error: Error & { readonly killed?: boolean }, stderr: string): string {
  if (error.killed === true) return "the command was not done in time";
  const said = stderr.trim().slice(0, longestReason);
  return said === "" ? (error.message.split("\n")[0] ?? "the command failed") : said;
}

/** Reads `readinessProbe` of ProxyConfig: the probe, undefined for none, or what is wrong with it. */
export function readReadinessProbe(value: unknown): ReadinessProbe | undefined | string {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object" || Array.isArray(value)) return "is no object";
  const asked = value as ReadinessProbe;
  const actions = [asked.httpGet, asked.tcpSocket, asked.exec, asked.grpc].filter((action) => action !== undefined);
  if (actions.length !== 1) return "needs exactly one of httpGet, tcpSocket, exec and grpc";
  for (const name of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ] as const) {
    const number = asked[name];
    if (number !== undefined && !(Number.isInteger(number) && number >= 0 && number <= longestSeconds)) {
      return `${name}: ${String(number)} is not a whole number from 0 to ${longestSeconds}`;
    }
  }
  for (const name of ["httpGet", "tcpSocket", "grpc"] as const) {
    const port = asked[name]?.port;
    if (asked[name] !== undefined && !(Number.isInteger(port) && port! >= 1 && port! <= 65_535)) {
      return `${name}.port: ${String(port)} is not a port`;
    }
  }
  const { exec } = asked;
  if (exec !== undefined && !(Array.isArray(exec.command) && exec.command.length > 0))
    return "exec.command: is missing";
  return asked;
}

const longestSeconds = 86_400;
