// What a sidecar pair adds to the latency of a request at 1000 requests a second, against asking the backend directly.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import { backend, startNginx } from "./harness/nginx.ts";
import { startPairs } from "./harness/pairs.ts";
import { freePort, onScene, type Scene } from "./harness/scene.ts";

const connections = 10;
const requestsPerSecond = 1000;
const aims: Readonly<Record<string, number>> = { p50: 0.2, p99: 1 };

export const latency: Benchmark = {
  notes: `\`h2load --h1 --rps\`: ${requestsPerSecond} requests a second, spread evenly over ${connections} connections, sent on time whatever
the answers do; 1 KiB answers of nginx. The pairs are those of \`sidecar-pair\`. A figure is the percentile through the pair less the percentile of
the backend asked directly in the same round; the aim is 0.2 ms at p50 and 1 ms at p99 for ours.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const upstreamPort = await freePort();
      await startNginx(scene, "backend", upstreamPort, backend(upstreamPort));
      const { ours, peer } = await startPairs(scene, upstreamPort);
      const seconds = isQuick ? 2 : 10;
      await measure(scene, ours.port, isQuick ? 2 : 10); // the compiler has to have seen the path
      const figures: Figure[] = [];
      const added: Record<string, { ours: [number, number][]; both: [number, number][] }> = {};
      for (let round = 0; round < (isQuick ? 1 : 3); round++) {
        const direct = await measure(scene, upstreamPort, seconds);
        const first = await measure(scene, ours.port, seconds);
        const second = await measure(scene, peer.port, seconds);
        for (const [name, aim] of Object.entries(aims)) {
          const entry = (added[name] ??= { ours: [], both: [] });
          const own = first[name]! - direct[name]!;
          entry.ours.push([own, aim]);
          entry.both.push([own, second[name]! - direct[name]!]);
        }
      }
      for (const [name, entry] of Object.entries(added)) {
        const of = { name: "latency", case: `${name} added by the pair`, unit: "ms" };
        figures.push(
          figure({ ...of, against: "aim" }, entry.ours),
          figure({ ...of, against: "nginx pair" }, entry.both),
        );
      }
      return figures;
    }),
};

/** Milliseconds by percentile. */
async function measure(scene: Scene, port: number, seconds: number): Promise<Readonly<Record<string, number>>> {
  const log = join(scene.folder, "latency.log");
  await promisify(execFile)("h2load", [
    "--h1",
    "-c",
    String(connections),
    "--rps",
    String(requestsPerSecond / connections),
    "-D",
    String(seconds),
    `--log-file=${log}`,
    `http://127.0.0.1:${port}/`,
  ]);
  const times = readFileSync(log, "latin1")
    .split("\n")
    .map((line) => line.split("\t"))
    .filter(([, status]) => status === "200")
    .map(([, , microseconds]) => Number(microseconds))
    .sort((a, b) => a - b);
  if (times.length < requestsPerSecond * seconds * 0.9) throw new Error(`only ${times.length} requests were answered`);
  const at = (share: number): number => times[Math.floor(times.length * share)]! / 1000;
  return { p50: at(0.5), p99: at(0.99) };
}
