// Two event loops against one: requests a second that the proxy answers by itself, and what each costs.
import { type Benchmark, figure } from "./harness/benchmark.ts";
import { answering } from "./harness/bootstrap.ts";
import { rate } from "./harness/load.ts";
import { startOutrigger } from "./harness/outrigger.ts";
import { freePort, onScene } from "./harness/scene.ts";

export const workers: Benchmark = {
  notes: `\`outrigger proxy --concurrency 2\` against the same with 1: each worker is a thread with an event loop of its own that listens
on the same port. The route answers 1 KiB itself, so that no backend takes part of the cores; \`wrk -t1\`, 64 connections, does: on
two cores the second loop gets what wrk leaves.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const ports = { two: await freePort(), one: await freePort() };
      const two = [await startOutrigger(scene, "two", answering(ports.two), ports.two, 2)];
      const one = [await startOutrigger(scene, "one", answering(ports.one), ports.one, 1)];
      const load = { connections: 64, seconds: isQuick ? 1 : 4 };
      const rates: [number, number][] = [];
      const costs: [number, number][] = [];
      await rate(two, { ...load, port: ports.two });
      await rate(one, { ...load, port: ports.one });
      for (let round = 0; round < (isQuick ? 1 : 3); round++) {
        const first = await rate(two, { ...load, port: ports.two });
        const second = await rate(one, { ...load, port: ports.one });
        rates.push([first.perSecond, second.perSecond]);
        costs.push([first.cpuMicroseconds, second.cpuMicroseconds]);
      }
      const of = { name: "workers", case: "2 workers", against: "1 worker" };
      return [
        figure({ ...of, unit: "requests/s (more is better)" }, rates),
        figure({ ...of, unit: "µs CPU per request" }, costs),
      ];
    }),
};
