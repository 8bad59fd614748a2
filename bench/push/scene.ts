// The processes of the benchmark together: a control plane with a simulated mesh, and many simulated proxies.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { MeshSize } from "./mesh.ts";
import type { ControlPlaneAnswer, ControlPlaneCommand, ProxiesAnswer, ProxiesCommand } from "./messages.ts";

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
  readonly cpuSeconds: number;
}

export class PushScene {
  readonly size: MeshSize;
  readonly proxyCount: number;
  readonly control: Child<ControlPlaneCommand, ControlPlaneAnswer>;
  readonly proxies: Child<ProxiesCommand, ProxiesAnswer>;

  constructor(size: MeshSize, proxyCount: number, nodeArguments: readonly string[] = []) {
    this.size = size;
    this.proxyCount = proxyCount;
    this.control = new Child("control-plane-entry.ts", ["--expose-gc", ...nodeArguments]);
    this.proxies = new Child("proxies-entry.ts", ["--max-old-space-size=6000"]);
  }

  async start(): Promise<{ connectMs: number; empty: ControlPlaneAnswer; full: ControlPlaneAnswer }> {
    const { port } = await this.control.ask({ do: "start", size: this.size });
    const empty = await this.control.ask({ do: "memory" });
    await this.proxies.ask({ do: "connect", port, size: this.size, count: this.proxyCount });
    const connectMs = await this.settle(empty.atMs, 1000);
    return { connectMs, empty, full: await this.control.ask({ do: "memory" }) };
  }

  /** From a time to the last ACK of all. */
  async settle(sinceMs: number, quietMs: number): Promise<number> {
    const answer = await this.proxies.ask({
      do: "settle",
      expected: this.proxyCount,
      quietMs,
      timeoutMs: 180_000,
    });
    if (answer.lastAckMs.length < this.proxyCount) throw new Error(`${answer.lastAckMs.length} proxies answered`);
    return Math.max(...answer.lastAckMs) - sinceMs;
  }

  async measure({ command, expected, rounds }: Round): Promise<Measured> {
    const latencies: number[] = [];
    let proxies = 0;
    let bytes = 0;
    const before = await this.control.ask({ do: "usage" });
    for (let round = 0; round < rounds; round++) {
      await this.proxies.ask({ do: "begin" });
      const { atMs } = await this.control.ask(command(round));
      const answer = await this.proxies.ask({ do: "settle", expected, quietMs: 300, timeoutMs: 60_000 });
      const times = answer.lastAckMs.map((at) => at - atMs);
      latencies.push(...times);
      proxies += times.length / rounds;
      bytes += answer.bytes / rounds;
    }
    const after = await this.control.ask({ do: "usage" });
    return {
      latencies: latencies.sort((a, b) => a - b),
      proxies,
      bytes,
      cpuSeconds: (after.cpuSeconds - before.cpuSeconds) / rounds,
    };
  }

  /** So many endpoints a second are replaced, for so long; the latency is that of one more change in the middle of it. */
  async churn(
    perSecond: number,
    seconds: number,
  ): Promise<{ cpuShare: number; bytes: number; full: ControlPlaneAnswer }> {
    const before = await this.control.ask({ do: "usage" });
    await this.proxies.ask({ do: "begin" });
    const started = performance.now();
    for (let count = 0; count < perSecond * seconds; count++) {
      const due = started + (count * 1000) / perSecond;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      await this.control.ask({ do: "replace-endpoint", service: count % this.size.services });
    }
    const elapsed = performance.now() - started;
    const answer = await this.proxies.ask({ do: "settle", expected: 0, quietMs: 300, timeoutMs: 60_000 });
    const full = await this.control.ask({ do: "memory" });
    return { cpuShare: (full.cpuSeconds - before.cpuSeconds) / (elapsed / 1000), bytes: answer.bytes / seconds, full };
  }

  async reconnect(): Promise<number> {
    const { atMs } = await this.control.ask({ do: "usage" });
    await this.proxies.ask({ do: "reconnect" });
    return this.settle(atMs, 1000);
  }

  async end(): Promise<void> {
    await Promise.all([this.control.end(), this.proxies.end()]);
  }
}
