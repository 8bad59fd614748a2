// Bulk bytes through tcp_proxy, plain through one proxy and with mutual TLS through a pair, against HAProxy in TCP mode.
import { type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import { clientId, serverId, tcpClientSidecar, tcpHop, tcpServerSidecar } from "./harness/bootstrap.ts";
import { BenchAuthority } from "./harness/certificates.ts";
import * as haproxy from "./harness/haproxy.ts";
import { bulk } from "./harness/load.ts";
import { bulkBackend, startNginx } from "./harness/nginx.ts";
import { startOutrigger } from "./harness/outrigger.ts";
import type { Pair } from "./harness/pairs.ts";
import { freePort, onScene, type Scene } from "./harness/scene.ts";

export const tcp: Benchmark = {
  notes: `16 MiB answers of nginx (sendfile), \`wrk -t1\`, loopback, through tcp_proxy. Plain: one \`outrigger proxy\` against one HAProxy
(one thread) in TCP mode. mTLS: two proxies with TLS 1.3 between them, both ends verified; ours with SPIFFE ids checked, a
network RBAC filter and Istio's TCP metrics. Throughput is shared with the load generator and the backend on the same two
cores; CPU is of the proxies alone, per GiB and for both hops.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const upstreamPort = await freePort();
      await startNginx(scene, "backend", upstreamPort, bulkBackend(scene, upstreamPort));
      const plain = await startPlain(scene, upstreamPort);
      const secure = await startSecure(scene, upstreamPort);
      const figures: Figure[] = [];
      for (const connections of isQuick ? [4] : [1, 8]) {
        figures.push(...(await compare(`plain, c=${connections}`, plain, connections, isQuick)));
        figures.push(...(await compare(`mTLS pair, c=${connections}`, secure, connections, isQuick)));
      }
      return figures;
    }),
};

interface Sides {
  readonly ours: Pair;
  readonly peer: Pair;
}

async function startPlain(scene: Scene, upstreamPort: number): Promise<Sides> {
  const ours = { listenPort: await freePort(), upstreamPort };
  const peer = { listenPort: await freePort(), upstreamPort };
  return {
    ours: { port: ours.listenPort, hops: [await startOutrigger(scene, "tcp", tcpHop(ours), ours.listenPort)] },
    peer: {
      port: peer.listenPort,
      hops: [await haproxy.startHaproxy(scene, "haproxy", peer.listenPort, haproxy.tcpHop(peer))],
    },
  };
}

async function startSecure(scene: Scene, upstreamPort: number): Promise<Sides> {
  const authority = new BenchAuthority(scene.folder);
  const client = authority.issue("client", clientId);
  const server = authority.issue("server", serverId);
  const side = async (): Promise<[typeof inner, typeof outer]> => {
    const inner = { listenPort: await freePort(), upstreamPort, files: server };
    const outer = { listenPort: await freePort(), upstreamPort: inner.listenPort, files: client };
    return [inner, outer];
  };
  const [ourInner, ourOuter] = await side();
  const ours = [
    await startOutrigger(scene, "tcp-server", tcpServerSidecar(ourInner), ourInner.listenPort),
    await startOutrigger(scene, "tcp-client", tcpClientSidecar(ourOuter), ourOuter.listenPort),
  ];
  const [peerInner, peerOuter] = await side();
  const peer = [
    await haproxy.startHaproxy(scene, "haproxy-server", peerInner.listenPort, haproxy.tcpServerHop(peerInner)),
    await haproxy.startHaproxy(scene, "haproxy-client", peerOuter.listenPort, haproxy.tcpClientHop(peerOuter)),
  ];
  return { ours: { port: ourOuter.listenPort, hops: ours }, peer: { port: peerOuter.listenPort, hops: peer } };
}

async function compare(name: string, { ours, peer }: Sides, connections: number, isQuick: boolean): Promise<Figure[]> {
  const seconds = isQuick ? 1 : 4;
  const throughput: [number, number][] = [];
  const cpu: [number, number][] = [];
  await bulk(ours.hops, { port: ours.port, connections, seconds: 1 });
  for (let round = 0; round < (isQuick ? 1 : 3); round++) {
    const first = await bulk(ours.hops, { port: ours.port, connections, seconds });
    const second = await bulk(peer.hops, { port: peer.port, connections, seconds });
    throughput.push([first.megabytesPerSecond, second.megabytesPerSecond]);
    cpu.push([first.cpuSecondsPerGigabyte, second.cpuSecondsPerGigabyte]);
  }
  const against = "HAProxy";
  return [
    figure({ name: "tcp", case: name, unit: "MiB/s (more is better)", against }, throughput),
    figure({ name: "tcp", case: name, unit: "CPU s per GiB", against }, cpu),
  ];
}
