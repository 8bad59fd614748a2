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

interface Round {
  readonly name: string;
  readonly command: (round: number) => ControlPlaneCommand;
  /** Proxies that must answer. */
  readonly expected: number;
  /** What each of them may be sent. */
  readonly kilobytes: number;
  readonly rounds: number;
}

interface Measured {
  /** Milliseconds from the change to each proxy's last ACK, of all rounds, sorted. */
  readonly latencies: readonly number[];
  readonly proxies: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
}

class PushScene {
  readonly size: MeshSize;
  readonly proxyCount: number;
  readonly control: Child<ControlPlaneCommand, ControlPlaneAnswer>;
  readonly proxies: Child<ProxiesCommand, ProxiesAnswer>;

  constructor(size: MeshSize, proxyCount: number) {
    this.size = size;
    this.proxyCount = proxyCount;
    this.control = new Child("control-plane-entry.ts", ["--expose-gc"]);
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

const aims = { lastAckMs: 500, residentMegabytes: 1536, scopedKilobytes: 200, wholeKilobytes: 1300, startMs: 30_000 };

export const push: Benchmark = {
  notes: `A control plane in one process; 1000 services with 10 endpoints each, a VirtualService for every tenth; 1000 (then 5000) proxies
and one that is alone in its namespace in another process, each with its own connection and delta stream over gRPC, which subscribe
as a sidecar does and accept everything. With a Sidecar in each of 100 namespaces a proxy sees its own namespace, without it the whole
mesh. Debouncing is on, as in production (100 ms; 10 ms for endpoints). Times are from the change to each proxy's last ACK, over all
rounds. An endpoint is replaced as a watch brings it: the new pod, the slice, the end of the old pod. 1300 KiB per proxy is what
istiod needs at least. "Of a core" is the CPU time of the control plane over five minutes.`,
  run: async (isQuick) => {
    const size = { services: isQuick ? 200 : 1000, endpoints: 10, namespaces: isQuick ? 20 : 100 };
    const proxies = isQuick ? 200 : 1000;
    const meshes = [
      { scoped: true, proxies },
      { scoped: false, proxies },
      ...(isQuick ? [] : [{ scoped: true, proxies: 5000 }]),
    ];
    const figures: Figure[] = [];
    for (const mesh of meshes) {
      figures.push(...(await measureMesh({ ...size, scoped: mesh.scoped }, mesh.proxies + 1, isQuick)));
    }
    return figures;
  },
};

async function measureMesh(size: MeshSize, count: number, isQuick: boolean): Promise<Figure[]> {
  const label = `${count} proxies, ${size.scoped ? "a Sidecar in each namespace" : "no Sidecar"}`;
  const scene = new PushScene(size, count);
  const figures: Figure[] = [];
  const add = (name: string, unit: string, value: number, aim: number): void => {
    figures.push(figure({ name: "push", case: `${name}; ${label}`, unit, against: "aim" }, [[value, aim]]));
  };
  try {
    const { connectMs, empty, full } = await scene.start();
    add("all proxies connect", "ms to the last ACK", connectMs, aims.startMs);
    add("resident memory", "MiB", full.residentBytes / 2 ** 20, aims.residentMegabytes);
    const perProxy = (full.residentBytes - empty.residentBytes) / 1024 / count;
    add("memory per proxy", "KiB resident", perProxy, size.scoped ? aims.scopedKilobytes : aims.wholeKilobytes);
    for (const change of changesOf(size, count, isQuick)) {
      const { latencies, proxies, bytes, cpuSeconds } = await scene.measure(change);
      add(change.name, "ms to an ACK, p50", quantile(latencies, 0.5), aims.lastAckMs);
      add(change.name, "ms to an ACK, p99", quantile(latencies, 0.99), aims.lastAckMs);
      add(change.name, "proxies that get a push", proxies, change.expected);
      add(change.name, "KiB sent to each", bytes / 1024 / proxies, change.kilobytes);
      add(change.name, "CPU ms of the control plane", cpuSeconds * 1000, aims.lastAckMs);
    }
    const churn = await scene.churn(40, isQuick ? 5 : 300);
    add("40 endpoints a second are replaced", "of a core", churn.cpuShare, 1);
    const resident = churn.full.residentBytes / 2 ** 20;
    add("40 endpoints a second are replaced, afterwards", "MiB resident", resident, aims.residentMegabytes);
    add("all proxies reconnect with what they have", "ms to the last ACK", await scene.reconnect(), aims.startMs);
  } finally {
    await scene.end();
  }
  return figures;
}

function changesOf(size: MeshSize, count: number, isQuick: boolean): Round[] {
  // Without Sidecars a gigabyte is sent for each edit of a route.
  const rounds = isQuick ? 3 : size.scoped ? 20 : 5;
  const expected = size.scoped ? (count - 1) / size.namespaces : count;
  // A route configuration is sent as a whole: with all hosts of the port that the proxy sees.
  const hosts = size.scoped ? size.services / size.namespaces : size.services;
  return [
    {
      name: "an endpoint is replaced",
      command: (round) => ({ do: "replace-endpoint", service: round * 7 }),
      expected,
      kilobytes: 4,
      rounds,
    },
    {
      name: "a VirtualService is edited",
      command: (round) => ({ do: "edit-route", service: round * 10, timeout: `${round + 6}s` }),
      expected,
      kilobytes: hosts,
      rounds,
    },
    {
      name: "a VirtualService for one proxy is edited",
      command: (round) => ({ do: "edit-lonely-route", timeout: `${round + 6}s` }),
      expected: 1,
      kilobytes: hosts,
      rounds,
    },
    {
      name: "a service comes",
      command: (round) => ({ do: "add-service", service: size.services + round }),
      expected,
      kilobytes: hosts + 20,
      rounds: Math.min(rounds, 10),
    },
  ];
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
