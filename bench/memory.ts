// Resident memory of a sidecar without traffic: with a small configuration, with 100 and with 5000 clusters.
import { type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import { clientId, clientSidecar, type Hop, manyClusters } from "./harness/bootstrap.ts";
import { BenchAuthority } from "./harness/certificates.ts";
import { memoryOf } from "./harness/memory.ts";
import { startOutrigger } from "./harness/outrigger.ts";
import { freePort, onScene } from "./harness/scene.ts";

export const memory: Benchmark = {
  notes: `One \`outrigger proxy\` from a static bootstrap, ten seconds after its start and without traffic, so after it gave back what the start
needed. Idle: the caller's sidecar of \`sidecar-pair\`. 100 and 5000: as many clusters with mutual TLS and two endpoints each,
and a virtual host with a route for each. Resident memory counts the pages of the node binary, which all processes of a machine share;
anonymous memory is what one sidecar more costs. The peer's column is our aim.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const files = new BenchAuthority(scene.folder).issue("client", clientId);
      const figures: Figure[] = [];
      const cases: readonly [string, number, (hop: Hop) => object][] = [
        ["idle", 80, (hop) => clientSidecar({ ...hop, files })],
        ["100 clusters", 90, (hop) => manyClusters({ ...hop, files }, 100)],
        ["5000 clusters", 120, (hop) => manyClusters({ ...hop, files }, 5000)],
      ];
      for (const [name, aim, bootstrap] of isQuick ? cases.slice(0, 2) : cases) {
        const hop = { listenPort: await freePort(), upstreamPort: await freePort() };
        const proxy = await startOutrigger(scene, name, bootstrap(hop), hop.listenPort);
        await new Promise((resolve) => setTimeout(resolve, 10_000));
        const { residentBytes, anonymousBytes } = memoryOf(proxy.pid);
        const of = { name: "memory", case: name, against: "aim" };
        figures.push(figure({ ...of, unit: "MiB resident" }, [[residentBytes / 2 ** 20, aim]]));
        if (name === "idle") figures.push(figure({ ...of, unit: "MiB anonymous" }, [[anonymousBytes / 2 ** 20, 30]]));
        await proxy.stop();
      }
      return figures;
    }),
};
