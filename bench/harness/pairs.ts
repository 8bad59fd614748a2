// Two sidecars of ours and two nginx hops, both with mutual TLS between them, in front of the same backend.
import { clientId, clientSidecar, serverId, serverSidecar } from "./bootstrap.ts";
import { BenchAuthority } from "./certificates.ts";
import { clientHop, grpcClientHop, grpcServerHop, serverHop, startNginx } from "./nginx.ts";
import { startOutrigger } from "./outrigger.ts";
import type { BenchProcess } from "./process.ts";
import { freePort, type Scene } from "./scene.ts";

export interface Pair {
  /** Where the client connects. */
  readonly port: number;
  readonly hops: readonly BenchProcess[];
}

/** How the peers' configuration is written, and what the callee speaks to its application. */
interface PairKind {
  readonly clientHop: typeof clientHop;
  readonly serverHop: typeof serverHop;
  readonly appSpeaksHttp2: boolean;
}

const http1Pair: PairKind = { clientHop, serverHop, appSpeaksHttp2: false };
export const grpcPair: PairKind = { clientHop: grpcClientHop, serverHop: grpcServerHop, appSpeaksHttp2: true };

export async function startPairs(
  scene: Scene,
  backendPort: number,
  kind: PairKind = http1Pair,
): Promise<{ ours: Pair; peer: Pair }> {
  const authority = new BenchAuthority(scene.folder);
  const client = authority.issue("client", clientId);
  const server = authority.issue("server", serverId);
  const toServer = { listenPort: await freePort(), upstreamPort: backendPort, files: server };
  const toClient = { listenPort: await freePort(), upstreamPort: toServer.listenPort, files: client };
  const ours = [
    await startOutrigger(scene, "server", serverSidecar(toServer, kind.appSpeaksHttp2), toServer.listenPort),
    await startOutrigger(scene, "client", clientSidecar(toClient), toClient.listenPort),
  ];
  const peerServer = { ...toServer, listenPort: await freePort() };
  const peerClient = { ...toClient, listenPort: await freePort(), upstreamPort: peerServer.listenPort };
  const peer = [
    await startNginx(scene, "peer-server", peerServer.listenPort, kind.serverHop(peerServer)),
    await startNginx(scene, "peer-client", peerClient.listenPort, kind.clientHop(peerClient)),
  ];
  return { ours: { port: toClient.listenPort, hops: ours }, peer: { port: peerClient.listenPort, hops: peer } };
}
