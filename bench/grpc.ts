// CPU per unary gRPC call and hop of a sidecar pair, against an nginx pair with `grpc_pass`.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { alternate, type Benchmark, type Figure, figure } from "./harness/benchmark.ts";
import { cpuPerCall } from "./harness/load.ts";
import { grpcBackend, startNginx } from "./harness/nginx.ts";
import { grpcPair, startPairs } from "./harness/pairs.ts";
import { freePort, onScene } from "./harness/scene.ts";

export const grpc: Benchmark = {
  notes: `\`h2load\` over HTTP/2 without TLS, 4 connections, unary calls with messages of 100 bytes; nginx answers each with a message of
1 KiB and grpc-status in the trailers. No call may fail through ours; a few in a thousand do through nginx 1.22, which takes
a late frame for a broken upstream. The pairs are those of \`sidecar-pair\`, both ends of each hop in HTTP/2; the peer's hops are nginx with
\`grpc_pass\`, mutual TLS between them and nothing else. CPU of both hops per call and by two.`,
  run: (isQuick) =>
    onScene(async (scene) => {
      const upstreamPort = await freePort();
      await startNginx(scene, "backend", upstreamPort, grpcBackend(scene, upstreamPort));
      const { ours, peer } = await startPairs(scene, upstreamPort, grpcPair);
      const message = join(scene.folder, "call");
      writeFileSync(message, Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(100, 0x79)]));
      const seconds = isQuick ? 2 : 5;
      const figures: Figure[] = [];
      for (const streams of isQuick ? [8] : [1, 8, 32]) {
        const load = { connections: 4, streams, message, mayFail: 0 };
        const peerLoad = { ...load, port: peer.port, mayFail: 0.02 };
        await cpuPerCall(ours.hops, { ...load, port: ours.port, seconds: 2 });
        await cpuPerCall(peer.hops, { ...peerLoad, seconds: 1 });
        const runs = await alternate(
          isQuick ? 1 : 3,
          () => cpuPerCall(ours.hops, { ...load, port: ours.port, seconds }),
          () => cpuPerCall(peer.hops, { ...peerLoad, seconds }),
        );
        const of = { name: "grpc", unit: "µs CPU per call and hop", against: "nginx grpc_pass pair" };
        figures.push(figure({ ...of, case: `4 connections × ${streams} calls` }, runs));
      }
      return figures;
    }),
};
