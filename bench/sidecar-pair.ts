// CPU per request and hop of a sidecar pair with mutual TLS, authorization and metrics on, against an nginx pair with
// mutual TLS and nothing else. Both answer from the same nginx backend with 1 KiB; runs alternate A B A B.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clientBootstrap, serverBootstrap } from "./harness/bootstrap.ts";
import { BenchAuthority } from "./harness/certificates.ts";
import { load } from "./harness/load.ts";
import { backend, clientHop, serverHop, startNginx } from "./harness/nginx.ts";
import { type BenchProcess, startProcess, waitForPort } from "./harness/process.ts";
import { type BenchResult, summarize } from "./harness/result.ts";

const clientId = "spiffe://cluster.local/ns/default/sa/client";
const serverId = "spiffe://cluster.local/ns/default/sa/server";
const ports = {
  backend: 18080,
  ours: 18081,
  oursServer: 18082,
  peer: 18083,
  peerServer: 18084,
  adminClient: 18085,
  adminServer: 18086,
};

export interface PairOptions {
  readonly connections: readonly number[];
  readonly seconds: number;
  readonly rounds: number;
}

export async function sidecarPair(options: PairOptions): Promise<BenchResult[]> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-bench-"));
  const running: BenchProcess[] = [];
  const add = (process: BenchProcess): BenchProcess => {
    running.push(process);
    return process;
  };
  try {
    const authority = new BenchAuthority(folder);
    const client = authority.issue("client", clientId);
    const server = authority.issue("server", serverId);
    add(await startNginx(folder, "backend", ports.backend, backend(ports.backend)));

    const peer = [
      add(
        await startNginx(folder, "peer-server", ports.peerServer, serverHop(ports.peerServer, ports.backend, server)),
      ),
      add(await startNginx(folder, "peer-client", ports.peer, clientHop(ports.peer, ports.peerServer, client))),
    ];
    const ours = [
      add(
        await startOutrigger(
          folder,
          "server",
          serverBootstrap({
            listenPort: ports.oursServer,
            upstreamPort: ports.backend,
            adminPort: ports.adminServer,
            files: server,
            peer: clientId,
          }),
          ports.oursServer,
        ),
      ),
      add(
        await startOutrigger(
          folder,
          "client",
          clientBootstrap({
            listenPort: ports.ours,
            upstreamPort: ports.oursServer,
            adminPort: ports.adminClient,
            files: client,
            peer: serverId,
          }),
          ports.ours,
        ),
      ),
    ];

    const results: BenchResult[] = [];
    for (const connections of options.connections) {
      await cpuPerHop(ours, ports.ours, connections, 2); // warm: the compiler has seen the path
      await cpuPerHop(peer, ports.peer, connections, 1);
      const runs: [number, number][] = [];
      for (let round = 0; round < options.rounds; round++) {
        const first = await cpuPerHop(ours, ports.ours, connections, options.seconds);
        const second = await cpuPerHop(peer, ports.peer, connections, options.seconds);
        runs.push([first, second]);
      }
      results.push(summarize("sidecar-pair", `c=${connections}`, "µs CPU per request and hop", runs));
    }
    return results;
  } finally {
    await Promise.all(running.map((process) => process.stop()));
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startOutrigger(folder: string, name: string, bootstrap: object, port: number): Promise<BenchProcess> {
  const path = join(folder, `${name}-bootstrap.json`);
  writeFileSync(path, JSON.stringify(bootstrap));
  const process = startProcess(globalThis.process.execPath, [
    join(import.meta.dirname, "../bin/outrigger.ts"),
    "proxy",
    "--config-path",
    path,
  ]);
  await waitForPort(port);
  return process;
}

async function cpuPerHop(
  hops: readonly BenchProcess[],
  port: number,
  connections: number,
  seconds: number,
): Promise<number> {
  const before = hops.reduce((sum, hop) => sum + hop.cpuSeconds(), 0);
  const result = await load(`http://127.0.0.1:${port}/`, connections, seconds);
  const used = hops.reduce((sum, hop) => sum + hop.cpuSeconds(), 0) - before;
  if (result.errors > 0) throw new Error(`${result.errors} of ${result.requests} requests failed at c=${connections}`);
  return Number(((used * 1e6) / result.requests / hops.length).toFixed(2));
}
