// New mutual TLS connections: how many a second, and the CPU of each, against nginx. One request goes over each.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Benchmark, figure } from "./harness/benchmark.ts";
import { clientId, serverId, serverSidecar } from "./harness/bootstrap.ts";
import { BenchAuthority, type CertificateFiles } from "./harness/certificates.ts";
import { backend, serverHop, startNginx } from "./harness/nginx.ts";
import { startOutrigger } from "./harness/outrigger.ts";
import type { BenchProcess } from "./harness/process.ts";
import { freePort, onScene } from "./harness/scene.ts";

export const connections: Benchmark = {
  notes: `\`openssl s_time -new\`: full TLS 1.3 handshakes with P-256 certificates on both sides, one after the other from two
processes, one HTTP/1.0 request over each connection, then it is closed. Ours: the callee's sidecar of \`sidecar-pair\`: it verifies the chain,
matches the SPIFFE id, runs RBAC and counts. nginx: one worker, \`ssl_verify_client on\`. Session resumption is not used.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const authority = new BenchAuthority(scene.folder);
      const client = authority.issue("client", clientId);
      const files = authority.issue("server", serverId);
      const upstreamPort = await freePort();
      await startNginx(scene, "backend", upstreamPort, backend(upstreamPort));
      const ours = { listenPort: await freePort(), upstreamPort, files };
      const peer = { listenPort: await freePort(), upstreamPort, files };
      const ourProxy = await startOutrigger(scene, "server", serverSidecar(ours), ours.listenPort);
      const peerProxy = await startNginx(scene, "peer", peer.listenPort, serverHop(peer));
      const seconds = isQuick ? 2 : 5;
      const rates: [number, number][] = [];
      const costs: [number, number][] = [];
      await handshakes(ourProxy, ours.listenPort, client, 2);
      for (let round = 0; round < (isQuick ? 1 : 3); round++) {
        const first = await handshakes(ourProxy, ours.listenPort, client, seconds);
        const second = await handshakes(peerProxy, peer.listenPort, client, seconds);
        rates.push([first.perSecond, second.perSecond]);
        costs.push([first.cpuMicroseconds, second.cpuMicroseconds]);
      }
      const of = { name: "connections", case: "mTLS, full handshake", against: "nginx" };
      return [
        figure({ ...of, unit: "connections/s (more is better)" }, rates),
        figure({ ...of, unit: "µs CPU per connection" }, costs),
      ];
    }),
};

interface Handshakes {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
}

async function handshakes(
  proxy: BenchProcess,
  port: number,
  client: CertificateFiles,
  seconds: number,
): Promise<Handshakes> {
  const before = proxy.cpuSeconds();
  const args = ["s_time", "-new", "-connect", `127.0.0.1:${port}`, "-time", String(seconds), "-www", "/"];
  const counts = await Promise.all(
    [1, 2].map(async () => {
      const { stdout } = await promisify(execFile)("openssl", [
        ...args,
        "-cert",
        client.certificate,
        "-key",
        client.key,
      ]);
      return Number(/(\d+) connections in \d+ real seconds/.exec(stdout)?.[1] ?? 0);
    }),
  );
  const count = counts[0]! + counts[1]!;
  if (count === 0) throw new Error("no connection was made");
  return { perSecond: count / seconds, cpuMicroseconds: ((proxy.cpuSeconds() - before) * 1e6) / count };
}
