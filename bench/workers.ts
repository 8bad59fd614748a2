// Two event loops against one: requests a second that the proxy answers by itself, and what each costs.
import { type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import { answering, pathPolicies } from "./harness/bootstrap.ts";
import { type Load, rate } from "./harness/load.ts";
import { startOutrigger } from "./harness/outrigger.ts";
import { freePort, onScene, type Scene } from "./harness/scene.ts";

export const workers: Benchmark = {
  notes: `\`outrigger proxy --concurrency 2\` against the same with 1: each worker is a thread with an event loop of its own that listens
on the same port. The route answers 1 KiB itself, so that no backend takes part of the cores; \`wrk -t1\`, 64 connections, does.
Answered alone: one loop and wrk fill two cores, and a second loop has nothing left to use. With policies: the path of each
request is also held against 500 regular expressions of an RBAC filter, so that the loops are what is short, and not wrk.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const load = { connections: 64, seconds: isQuick ? 1 : 4 };
      const rounds = isQuick ? 1 : 3;
      return [
        ...(await compare(scene, "answered alone", [], load, rounds)),
        ...(await compare(scene, "with policies", [pathPolicies(500)], load, rounds)),
      ];
    }),
};

async function compare(
  scene: Scene,
  name: string,
  filters: readonly object[],
  load: Omit<Load, "port">,
  rounds: number,
): Promise<Figure[]> {
  const ports = { two: await freePort(), one: await freePort() };
  const two = [await startOutrigger(scene, `${name} two`, answering(ports.two, filters), ports.two, 2)];
  const one = [await startOutrigger(scene, `${name} one`, answering(ports.one, filters), ports.one, 1)];
  const rates: [number, number][] = [];
  const costs: [number, number][] = [];
  await rate(two, { ...load, port: ports.two });
  await rate(one, { ...load, port: ports.one });
  for (let round = 0; round < rounds; round++) {
    const first = await rate(two, { ...load, port: ports.two });
    const second = await rate(one, { ...load, port: ports.one });
    rates.push([first.perSecond, second.perSecond]);
    costs.push([first.cpuMicroseconds, second.cpuMicroseconds]);
  }
  const of = { name: "workers", case: `2 workers, ${name}`, against: "1 worker" };
  return [
    figure({ ...of, unit: "requests/s (more is better)" }, rates),
    figure({ ...of, unit: "µs CPU per request" }, costs),
  ];
}
