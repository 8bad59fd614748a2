// The control plane at scale: from a change to the last ACK of a thousand proxies, with a simulated mesh and simulated
// proxies in processes of their own.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import type { MeshSize } from "./push/mesh.ts";
import type { ControlPlaneAnswer, ControlPlaneCommand, ProxiesAnswer, ProxiesCommand } from "./push/messages.ts";

class Child<Command, Answer> {
  readonly #process: ChildProcess;

  constructor(script: string, nodeArguments: readonly string[]) {
    this.#process = fork(join(import.meta.dirname, "push", script), { execArgv: [...nodeArguments], stdio: "inherit" });
  }

  async ask(command: Command): Promise<Answer> {
    const answered = once(this.#process, "message");
    const died = once(this.#process, "exit").then(() => Promise.reject(new Error("the process died")));
    this.#process.send(command as object);
    const [answer] = (await Promise.race([answered, died])) as [Answer];
    return answer;
  }

  async end(): Promise<void> {
    this.#process.disconnect();
    await once(this.#process, "exit");
  }
}

interface Round {
  readonly name: string;
  readonly command: (round: number) => ControlPlaneCommand;
  /** Proxies that must answer. */
  readonly expected: number;
  readonly rounds: number;
}

interface Measured {
  /** Milliseconds from the change to each proxy's last ACK, of all rounds, sorted. */
  readonly latencies: readonly number[];
  readonly lastMs: readonly number[];
  readonly proxies: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
}

export class PushScene {
  readonly size: MeshSize;
  readonly proxyCount: number;
  readonly control: Child<ControlPlaneCommand, ControlPlaneAnswer>;
  readonly proxies: Child<ProxiesCommand, ProxiesAnswer>;

  constructor(size: MeshSize, proxyCount: number, controlArguments: readonly string[] = []) {
    this.size = size;
    this.proxyCount = proxyCount;
    this.control = new Child("control-plane.ts", ["--expose-gc", ...controlArguments]);
    this.proxies = new Child("proxies.ts", ["--max-old-space-size=6000"]);
  }

  async start(): Promise<{ connectMs: number; empty: ControlPlaneAnswer; full: ControlPlaneAnswer }> {
    const { port } = await this.control.ask({ do: "start", size: this.size });
    const empty = await this.control.ask({ do: "usage" });
    await this.proxies.ask({ do: "connect", port, size: this.size, count: this.proxyCount });
    const connectMs = await this.settle(empty.atMs, 1000);
    return { connectMs, empty, full: await this.control.ask({ do: "usage" }) };
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
    const lastMs: number[] = [];
    let proxies = 0;
    let bytes = 0;
    const before = await this.control.ask({ do: "usage" });
    for (let round = 0; round < rounds; round++) {
      await this.proxies.ask({ do: "begin" });
      const { atMs } = await this.control.ask(command(round));
      const answer = await this.proxies.ask({ do: "settle", expected, quietMs: 300, timeoutMs: 60_000 });
      const times = answer.lastAckMs.map((at) => at - atMs);
      latencies.push(...times);
      lastMs.push(Math.max(...times));
      proxies += times.length / rounds;
      bytes += answer.bytes / rounds;
    }
    const after = await this.control.ask({ do: "usage" });
    return {
      latencies: latencies.sort((a, b) => a - b),
      lastMs,
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
    const full = await this.control.ask({ do: "usage" });
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

const aims = { lastAckMs: 500, residentMegabytes: 1536, kilobytesPerProxy: 200, affected: 1 };

export const push: Benchmark = {
  notes: "",
  run: async (isQuick) => {
    const figures: Figure[] = [];
    for (const scoped of [true, false]) figures.push(...(await measureMesh(scoped, isQuick)));
    return figures;
  },
};

async function measureMesh(scoped: boolean, isQuick: boolean): Promise<Figure[]> {
  const size = { services: isQuick ? 200 : 1000, endpoints: 10, namespaces: isQuick ? 20 : 100, scoped };
  // One of them is alone in its namespace.
  const count = (isQuick ? 200 : 1000) + 1;
  const label = `${count} proxies, ${scoped ? "a Sidecar in each namespace" : "no Sidecar"}`;
  const scene = new PushScene(size, count);
  const figures: Figure[] = [];
  const add = (name: string, unit: string, value: number, aim: number): void => {
    const of = { name: "push", case: `${name}; ${label}`, unit, against: "aim" };
    figures.push(figure(of, [[value, aim]]));
  };
  try {
    const { connectMs, empty, full } = await scene.start();
    add("all proxies connect", "ms to the last ACK", connectMs, 30_000);
    add("resident memory", "MiB", full.residentBytes / 2 ** 20, aims.residentMegabytes);
    const perProxy = (full.residentBytes - empty.residentBytes) / 1024 / count;
    add("resident memory per proxy", "KiB", perProxy, scoped ? aims.kilobytesPerProxy : 1300);
    const rounds = isQuick ? 3 : 20;
    const seen = scoped ? (count - 1) / size.namespaces : count;
    const changes: Round[] = [
      {
        name: "an endpoint is replaced",
        command: (round) => ({ do: "replace-endpoint", service: round * 7 }),
        expected: seen,
        rounds,
      },
      {
        name: "a VirtualService is edited",
        command: (round) => ({ do: "edit-route", service: round * 10, timeout: `${round + 6}s` }),
        expected: seen,
        rounds,
      },
      {
        name: "a VirtualService for one proxy is edited",
        command: (round) => ({ do: "edit-lonely-route", timeout: `${round + 6}s` }),
        expected: 1,
        rounds,
      },
      {
        name: "a service comes",
        command: (round) => ({ do: "add-service", service: size.services + round }),
        expected: seen,
        rounds: Math.min(rounds, 10),
      },
    ];
    for (const change of changes) {
      const measured = await scene.measure(change);
      add(change.name, "ms to an ACK, p50", quantile(measured.latencies, 0.5), aims.lastAckMs);
      add(change.name, "ms to an ACK, p99", quantile(measured.latencies, 0.99), aims.lastAckMs);
      add(change.name, "proxies that get a push", measured.proxies, change.expected);
      add(change.name, "KiB sent", measured.bytes / 1024, (change.expected * 4 * 1024) / 1024);
      add(change.name, "CPU ms of the control plane", measured.cpuSeconds * 1000, aims.lastAckMs);
    }
    const churn = await scene.churn(40, isQuick ? 5 : 300);
    add("40 endpoints a second are replaced", "of a core", churn.cpuShare, 1);
    add(
      "40 endpoints a second are replaced, afterwards",
      "MiB resident",
      churn.full.residentBytes / 2 ** 20,
      aims.residentMegabytes,
    );
    add("all proxies reconnect with what they have", "ms to the last ACK", await scene.reconnect(), 30_000);
  } finally {
    await scene.end();
  }
  return figures;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
