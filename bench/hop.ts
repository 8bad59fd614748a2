// CPU per request of one hop without TLS, against nginx and against HAProxy. The floor of everything else.
import { alternate, type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import { plainHop } from "./harness/bootstrap.ts";
import * as haproxy from "./harness/haproxy.ts";
import { cpuPerRequest } from "./harness/load.ts";
import * as nginx from "./harness/nginx.ts";
import { startOutrigger } from "./harness/outrigger.ts";
import { freePort, onScene } from "./harness/scene.ts";

export const hop: Benchmark = {
  notes: `One proxy, HTTP/1.1, no TLS, 1 KiB answers of nginx, \`wrk -t1\`, keep-alive, loopback. Ours: one \`outrigger proxy\`
with the router filter, x-request-id and x-forwarded-proto set as Envoy does. Peers: nginx (one worker) and HAProxy (one thread),
upstream connections kept, access log off everywhere. CPU is user and system time of the proxy from /proc per request.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const upstreamPort = await freePort();
      await nginx.startNginx(scene, "backend", upstreamPort, nginx.backend(upstreamPort));
      const ports = { ours: await freePort(), nginx: await freePort(), haproxy: await freePort() };
      const target = (listenPort: number): { listenPort: number; upstreamPort: number } => ({
        listenPort,
        upstreamPort,
      });
      const ours = await startOutrigger(scene, "ours", plainHop(target(ports.ours)), ports.ours);
      const peers = {
        nginx: await nginx.startNginx(scene, "nginx", ports.nginx, nginx.plainHop(target(ports.nginx))),
        HAProxy: await haproxy.startHaproxy(scene, "haproxy", ports.haproxy, haproxy.plainHop(target(ports.haproxy))),
      };
      const seconds = isQuick ? 1 : 4;
      const figures: Figure[] = [];
      for (const connections of isQuick ? [32] : [1, 8, 32, 128]) {
        // Warm: the compiler has seen the path, pools are filled.
        await cpuPerRequest([ours], { port: ports.ours, connections, seconds: isQuick ? 1 : 2 });
        for (const [against, port] of [["nginx", ports.nginx] as const, ["HAProxy", ports.haproxy] as const]) {
          const runs = await alternate(
            isQuick ? 1 : 3,
            () => cpuPerRequest([ours], { port: ports.ours, connections, seconds }),
            () => cpuPerRequest([peers[against]], { port, connections, seconds }),
          );
          figures.push(figure({ name: "hop", case: `c=${connections}`, unit: "µs CPU per request", against }, runs));
        }
      }
      return figures;
    }),
};
