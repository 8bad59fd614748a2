// CPU per request and hop of a sidecar pair with mutual TLS, authorization and metrics on, against an nginx pair with
// mutual TLS and nothing else. Both answer from the same nginx backend with 1 KiB.
import { alternate, type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import { cpuPerRequest } from "./harness/load.ts";
import { backend, startNginx } from "./harness/nginx.ts";
import { startPairs } from "./harness/pairs.ts";
import { freePort, onScene } from "./harness/scene.ts";

export const sidecarPair: Benchmark = {
  notes: `HTTP/1.1, 1 KiB answers of nginx, \`wrk -t1\`, keep-alive, all on loopback. Ours: two \`outrigger proxy\` processes from
static Envoy bootstraps, TLS 1.3 between them with P-256 certificates verified both ways and SPIFFE ids checked, an RBAC
filter that allows by principal, Istio's metrics with their full label set, x-request-id and x-forwarded-client-cert; access
log off, as in Istio's default. Peer: two nginx processes (one worker each) with TLS 1.3 and the client's certificate
verified (the server's is not), without any policy or metric, access log off. CPU is user and system time of both hops
from /proc, divided by requests and by two.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const upstreamPort = await freePort();
      await startNginx(scene, "backend", upstreamPort, backend(upstreamPort));
      const { ours, peer } = await startPairs(scene, upstreamPort);
      const seconds = isQuick ? 2 : 5;
      const figures: Figure[] = [];
      for (const connections of isQuick ? [32] : [1, 8, 32, 128]) {
        // Warm: the compiler has seen the path, pools are filled.
        await cpuPerRequest(ours.hops, { port: ours.port, connections, seconds: 2 });
        await cpuPerRequest(peer.hops, { port: peer.port, connections, seconds: 1 });
        const runs = await alternate(
          isQuick ? 1 : 3,
          () => cpuPerRequest(ours.hops, { port: ours.port, connections, seconds }),
          () => cpuPerRequest(peer.hops, { port: peer.port, connections, seconds }),
        );
        figures.push(
          figure(
            {
              name: "sidecar-pair",
              case: `c=${connections}`,
              unit: "µs CPU per request and hop",
              against: "nginx pair",
            },
            runs,
          ),
        );
      }
      return figures;
    }),
};
