// The control plane at scale: from a change to the last ACK of a thousand proxies, with a simulated mesh and simulated
// proxies in processes of their own.
import { type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import type { MeshSize } from "./push/mesh.ts";
import { quantile } from "./push/messages.ts";
import { PushScene, type Round } from "./push/scene.ts";

const aims = {
  lastAckMs: 500,
  residentMegabytes: 1536,
  scopedKilobytes: 200,
  wholeKilobytes: 1300,
  startMs: 30_000,
  unchangedKilobytes: 4,
};

/** Where every proxy sees the whole mesh there are at most so many: each is sent megabytes. */
const maxProxiesUnscoped = 1000;

export const push: Benchmark = {
  notes: `A control plane in one process; 1000 services with 10 endpoints each, a VirtualService for every tenth; 1000 proxies
(\`--proxies 1000,5000\` for more rows) and one that is alone in its namespace in another process, each with its own connection and
delta stream over gRPC, which subscribe as a sidecar does and accept everything. They take compressed messages, as our proxies do,
and read equal ones once for all of them: on machines of their own each proxy reads its own, which costs it some 2 ms for 700 KiB of
routes. KiB are counted as they are on the wire. With a Sidecar in each of 100 namespaces a proxy
sees its own namespace, without it the whole mesh. Debouncing is on, as in production (100 ms; 10 ms for endpoints). Times are from
the change to each proxy's last ACK, over all rounds. An endpoint is replaced as a watch brings it: the new pod, the slice, the end
of the old pod. Endpoints are replaced 40 times a second for a minute (\`--churn 300\` for five); its times are of every tenth proxy,
from each change to its ACK for that service, and "of a core" is the CPU time of the control plane meanwhile. When all reconnect, or
the control plane is started again, proxies name the versions that they have and are sent nothing twice. 1300 KiB per proxy is what
istiod needs at least.`,
  run: async (isQuick, options = {}) => {
    const size = { services: isQuick ? 200 : 1000, endpoints: 10, namespaces: isQuick ? 20 : 100 };
    const counts = options.proxies ?? [isQuick ? 200 : 1000];
    const churnSeconds = options.churnSeconds ?? (isQuick ? 5 : 60);
    const figures: Figure[] = [];
    for (const proxies of counts) {
      for (const scoped of proxies <= maxProxiesUnscoped ? [true, false] : [true]) {
        figures.push(...(await measureMesh({ ...size, scoped }, proxies + 1, { isQuick, churnSeconds })));
      }
    }
    return figures;
  },
};

async function measureMesh(
  size: MeshSize,
  count: number,
  { isQuick, churnSeconds }: { readonly isQuick: boolean; readonly churnSeconds: number },
): Promise<Figure[]> {
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
    // Before anything changes, so that another control plane knows the same mesh.
    const restarted = await scene.restart();
    add("the control plane is started again", "ms to the last ACK", restarted.lastMs, aims.startMs);
    add("the control plane is started again", "KiB sent to each", restarted.bytesEach / 1024, aims.unchangedKilobytes);
    for (const change of changesOf(size, count, isQuick)) {
      const { latencies, proxies, bytes, cpuSeconds, proxiesCpuSeconds } = await scene.measure(change);
      add(change.name, "ms to an ACK, p50", quantile(latencies, 0.5), aims.lastAckMs);
      add(change.name, "ms to an ACK, p99", quantile(latencies, 0.99), aims.lastAckMs);
      add(change.name, "proxies that get a push", proxies, change.expected);
      add(change.name, "KiB sent to each", bytes / 1024 / proxies, change.kilobytes);
      add(change.name, "CPU ms of the control plane", cpuSeconds * 1000, aims.lastAckMs);
      add(change.name, "CPU ms of all proxies", proxiesCpuSeconds * 1000, aims.lastAckMs);
    }
    const churn = await scene.churn(40, churnSeconds);
    const what = `40 endpoints a second are replaced, for ${churnSeconds} s`;
    add(what, "ms to an ACK, p50", churn.p50Ms, aims.lastAckMs);
    add(what, "ms to an ACK, p99", churn.p99Ms, aims.lastAckMs);
    add(what, "of a core", churn.cpuShare, 1);
    add(what, "MiB resident", churn.residentBytes / 2 ** 20, aims.residentMegabytes);
    const again = await scene.reconnect();
    add("all proxies reconnect with what they have", "ms to the last ACK", again.lastMs, aims.startMs);
    add(
      "all proxies reconnect with what they have",
      "KiB sent to each",
      again.bytesEach / 1024,
      aims.unchangedKilobytes,
    );
  } finally {
    await scene.end();
  }
  return figures;
}

function changesOf(size: MeshSize, count: number, isQuick: boolean): Round[] {
  // Without Sidecars an edit of a route is compiled for every namespace.
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
