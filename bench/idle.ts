// Memory of idle client connections, each of which has carried one request, against nginx.

import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import { clientId, plainHop, serverId, serverSidecar } from "./harness/bootstrap.ts";
import { BenchAuthority, type CertificateFiles } from "./harness/certificates.ts";
import { residentBytes } from "./harness/memory.ts";
import * as nginx from "./harness/nginx.ts";
import { startOutrigger } from "./harness/outrigger.ts";
import type { BenchProcess } from "./harness/process.ts";
import { freePort, onScene } from "./harness/scene.ts";

/** Bytes that we allow for a plain connection. */
const aimKilobytes = 12;

export const idle: Benchmark = {
  notes: `10,000 connections (plain) and 2,000 (mutual TLS), opened 200 at a time, one request over each, then silence; the growth of
the proxy's resident memory per connection, after ten seconds. nginx: one worker. Upstream connections are kept alive by
both and are part of the figure.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const authority = new BenchAuthority(scene.folder);
      const client = authority.issue("client", clientId);
      const files = authority.issue("server", serverId);
      const upstreamPort = await freePort();
      await nginx.startNginx(scene, "backend", upstreamPort, nginx.backend(upstreamPort));
      const figures: Figure[] = [];
      const cases = [
        { name: "plain", count: isQuick ? 1000 : 10_000, client: null },
        { name: "mutual-TLS", count: isQuick ? 200 : 2000, client },
      ];
      for (const one of cases) {
        const isPlain = one.client === null;
        const ours = { listenPort: await freePort(), upstreamPort, files };
        const peer = { listenPort: await freePort(), upstreamPort, files };
        const ourProxy = await startOutrigger(
          scene,
          `ours-${one.name}`,
          isPlain ? plainHop(ours) : serverSidecar(ours),
          ours.listenPort,
        );
        const peerConfig = isPlain ? nginx.plainHop(peer) : nginx.serverHop(peer);
        const peerProxy = await nginx.startNginx(scene, `nginx-${one.name}`, peer.listenPort, peerConfig);
        const own = await kilobytesEach(ourProxy, ours.listenPort, one.count, one.client);
        const others = await kilobytesEach(peerProxy, peer.listenPort, one.count, one.client);
        const of = { name: "idle", case: `${one.count} connections, ${one.name}`, unit: "KiB each" };
        if (isPlain) figures.push(figure({ ...of, against: "aim" }, [[own, aimKilobytes]]));
        figures.push(figure({ ...of, against: "nginx" }, [[own, others]]));
      }
      return figures;
    }),
};

async function kilobytesEach(
  proxy: BenchProcess,
  port: number,
  count: number,
  client: CertificateFiles | null,
): Promise<number> {
  // The path is compiled, and what starting needed is given back.
  const first = await openMany(port, 50, client);
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const before = residentBytes(proxy);
  const sockets = await openMany(port, count, client);
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const grown = residentBytes(proxy) - before;
  for (const socket of [...first, ...sockets]) socket.destroy();
  return grown / 1024 / count;
}

async function openMany(port: number, count: number, client: CertificateFiles | null): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(200, count - sockets.length) }, () => openOne(port, client));
    sockets.push(...(await Promise.all(some)));
  }
  return sockets;
}

function openOne(port: number, client: CertificateFiles | null): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket =
      client === null
        ? connect(port, "127.0.0.1")
        : connectTls({
            port,
            host: "127.0.0.1",
            cert: readFileSync(client.certificate),
            key: readFileSync(client.key),
            rejectUnauthorized: false,
          });
    socket.once("error", reject);
    socket.write("GET / HTTP/1.1\r\nhost: bench\r\n\r\n");
    let bytes = 0;
    socket.on("data", (data: Buffer) => {
      bytes += data.length;
      if (bytes > 1024) resolve(socket);
    });
  });
}
