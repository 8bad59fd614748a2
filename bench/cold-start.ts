// From the start of the process to the first answer over mutual TLS.
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { type Benchmark, figure } from "./harness/benchmark.ts";
import { clientId, serverId, serverSidecar } from "./harness/bootstrap.ts";
import { BenchAuthority } from "./harness/certificates.ts";
import { backend, startNginx } from "./harness/nginx.ts";
import { bundle } from "./harness/outrigger.ts";
import { freePort, onScene } from "./harness/scene.ts";

const aimMs = 300;

export const coldStart: Benchmark = {
  notes: `Time from spawning \`outrigger proxy\` (the bundle, no compile cache) with the callee's bootstrap of \`sidecar-pair\` until a client that
tries again every millisecond has its first answer over mutual TLS. The peer's column is our aim.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const authority = new BenchAuthority(scene.folder);
      const client = authority.issue("client", clientId);
      const files = authority.issue("server", serverId);
      const upstreamPort = await freePort();
      await startNginx(scene, "backend", upstreamPort, backend(upstreamPort));
      const identity = { cert: readFileSync(client.certificate), key: readFileSync(client.key) };
      const runs: [number, number][] = [];
      for (let round = 0; round < (isQuick ? 3 : 11); round++) {
        const listenPort = await freePort();
        const path = join(scene.folder, `start-${round}.json`);
        writeFileSync(path, JSON.stringify(serverSidecar({ listenPort, upstreamPort, files })));
        const startedAt = performance.now();
        const proxy = spawn(process.execPath, [bundle, "proxy", "--config-path", path], { stdio: "ignore" });
        while (!(await answers(listenPort, identity))) await new Promise((resolve) => setTimeout(resolve, 1));
        runs.push([performance.now() - startedAt, aimMs]);
        proxy.kill();
        await new Promise((resolve) => proxy.once("exit", resolve));
      }
      const of = { name: "cold-start", case: "first mTLS request", unit: "ms", against: "aim" };
      return [
        figure(
          of,
          runs.map(([ours, aim]) => [Math.round(ours), aim]),
        ),
      ];
    }),
};

function answers(port: number, identity: { cert: Buffer; key: Buffer }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...identity });
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
    socket.once("data", (data: Buffer) => {
      resolve(data.toString("latin1").startsWith("HTTP/1.1 200"));
      socket.destroy();
    });
    socket.write("GET / HTTP/1.1\r\nhost: bench\r\n\r\n");
  });
}
