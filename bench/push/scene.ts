// The processes of the benchmark together: a control plane with a simulated mesh, and many simulated proxies.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { MeshSize } from "./mesh.ts";
import type {
  ControlPlaneAnswer,
  ControlPlaneCommand,
  EndpointChange,
  ProxiesAnswer,
  ProxiesCommand,
} from "./messages.ts";

class Child<Command, Answer> {
  readonly #process: ChildProcess;

  constructor(script: string, nodeArguments: readonly string[]) {
    this.#process = fork(join(import.meta.dirname, script), { execArgv: [...nodeArguments], stdio: "inherit" });
  }

  async ask(command: Command): Promise<Answer> {
    this.#process.send(command as object);
    return new Promise((resolve, reject) => {
      const died = (): void => reject(new Error("the process died"));
      this.#process.once("exit", died);
      this.#process.once("message", (answer) => {
        this.#process.off("exit", died);
        resolve(answer as Answer);
      });
    });
  }

  async end(): Promise<void> {
    this.#process.disconnect();
    await once(this.#process, "exit");
  }
}

export interface Round {
  readonly name: string;
  readonly command: (round: number) => ControlPlaneCommand;
  /** Proxies that must answer. */
  readonly expected: number;
  /** What each of them may be sent. */
  readonly kilobytes: number;
  readonly rounds: number;
}

export interface Measured {
  /** Milliseconds from the change to each proxy's last ACK, of all rounds, sorted. */
  readonly latencies: readonly number[];
  readonly proxies: number;
  readonly bytes: number;
  /** Of the control plane, for each round. */
  readonly cpuSeconds: number;
  /** Of all proxies together. */
  readonly proxiesCpuSeconds: number;
}

interface AllAnswered {
  readonly lastMs: number;
  readonly bytesEach: number;
}

interface Churn {
  /** Of one core. */
  readonly cpuShare: number;
  /** From a change to the ACK of a proxy that sees it, of every tenth proxy. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly residentBytes: number;
}

function startControl(): Child<ControlPlaneCommand, ControlPlaneAnswer> {
  return new Child("control-plane-entry.ts", ["--expose-gc"]);
}

export class PushScene {
  readonly size: MeshSize;
  readonly proxyCount: number;
  readonly proxies: Child<ProxiesCommand, ProxiesAnswer>;
  control: Child<ControlPlaneCommand, ControlPlaneAnswer>;
  #port = 0;

  constructor(size: MeshSize, proxyCount: number) {
    this.size = size;
    this.proxyCount = proxyCount;
    this.control = startControl();
    this.proxies = new Child("proxies-entry.ts", ["--max-old-space-size=6000"]);
  }

  async start(): Promise<{ connectMs: number; empty: ControlPlaneAnswer; full: ControlPlaneAnswer }> {
    const { port } = await this.control.ask({ do: "start", size: this.size, port: 0 });
    this.#port = port;
    const empty = await this.control.ask({ do: "memory" });
    await this.proxies.ask({ do: "connect", port, size: this.size, count: this.proxyCount });
    const { lastMs } = await this.#settle(empty.atMs);
    return { connectMs: lastMs, empty, full: await this.control.ask({ do: "memory" }) };
  }

  /** Until all have answered and it is quiet. */
  async #settle(sinceMs: number): Promise<AllAnswered> {
    const answer = await this.proxies.ask({
      do: "settle",
      expected: this.proxyCount,
      quietMs: 1000,
      timeoutMs: 300_000,
    });
    if (answer.lastAckMs.length < this.proxyCount) {
      throw new Error(`${answer.lastAckMs.length} of ${this.proxyCount} proxies answered within 300 s`);
    }
    const lastMs = answer.lastAckMs.reduce((last, at) => Math.max(last, at), 0) - sinceMs;
    return { lastMs, bytesEach: answer.bytes / this.proxyCount };
  }

  async measure({ command, expected, rounds }: Round): Promise<Measured> {
    const latencies: number[] = [];
    let proxies = 0;
    let bytes = 0;
    let proxiesCpu = 0;
    const before = await this.control.ask({ do: "usage" });
    for (let round = 0; round < rounds; round++) {
      const begun = await this.proxies.ask({ do: "begin" });
      const { atMs } = await this.control.ask(command(round));
      const answer = await this.proxies.ask({ do: "settle", expected, quietMs: 300, timeoutMs: 60_000 });
      const times = answer.lastAckMs.map((at) => at - atMs);
      latencies.push(...times);
      proxies += times.length / rounds;
      bytes += answer.bytes / rounds;
      proxiesCpu += (answer.cpuSeconds - begun.cpuSeconds) / rounds;
    }
    const after = await this.control.ask({ do: "usage" });
    return {
      latencies: latencies.sort((a, b) => a - b),
      proxies,
      bytes,
      cpuSeconds: (after.cpuSeconds - before.cpuSeconds) / rounds,
      proxiesCpuSeconds: proxiesCpu,
    };
  }

  /** So many endpoints a second are replaced, for so long. */
  async churn(perSecond: number, seconds: number): Promise<Churn> {
    const before = await this.control.ask({ do: "usage" });
    await this.proxies.ask({ do: "record" });
    const changes: EndpointChange[] = [];
    const started = performance.now();
    for (let count = 0; count < perSecond * seconds; count++) {
      const due = started + (count * 1000) / perSecond;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      const service = count % this.size.services;
      const { atMs } = await this.control.ask({ do: "replace-endpoint", service });
      changes.push({ service, atMs });
    }
    const elapsed = performance.now() - started;
    const full = await this.control.ask({ do: "usage" });
    await this.proxies.ask({ do: "settle", expected: 0, quietMs: 1000, timeoutMs: 60_000 });
    const { p50Ms, p99Ms } = await this.proxies.ask({ do: "latencies", changes });
    const cpuShare = (full.cpuSeconds - before.cpuSeconds) / (elapsed / 1000);
    return { cpuShare, p50Ms, p99Ms, residentBytes: full.residentBytes };
  }

  /** All proxies come again at once, with what they have. */
  async reconnect(): Promise<AllAnswered> {
    const { atMs } = await this.control.ask({ do: "usage" });
    await this.proxies.ask({ do: "reconnect" });
    return this.#settle(atMs);
  }

  /** The control plane ends, and another one starts in its place. From its end to the last ACK. */
  async restart(): Promise<AllAnswered> {
    const { atMs } = await this.control.ask({ do: "usage" });
    await this.proxies.ask({ do: "begin" });
    await this.control.end();
    this.control = startControl();
    await this.control.ask({ do: "start", size: this.size, port: this.#port });
    return this.#settle(atMs);
  }

  async end(): Promise<void> {
    await Promise.all([this.control.end(), this.proxies.end()]);
  }
}
