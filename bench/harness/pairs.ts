// Two sidecars of ours and two nginx hops, both with mutual TLS between them, in front of the same backend.
import { clientId, clientSidecar, serverId, serverSidecar } from "./bootstrap.ts";
import { BenchAuthority } from "./certificates.ts";
import { clientHop, serverHop, startNginx } from "./nginx.ts";
import { startOutrigger } from "./outrigger.ts";
import type { BenchProcess } from "./process.ts";
import { freePort, type Scene } from "./scene.ts";

export interface Pair {
  /** Where the client connects. */
  readonly port: number;
  readonly hops: readonly BenchProcess[];
}

export async function startPairs(scene: Scene, backendPort: number): Promise<{ ours: Pair; peer: Pair }> {
  const authority = new BenchAuthority(scene.folder);
  const client = authority.issue("client", clientId);
  const server = authority.issue("server", serverId);
  const toServer = { listenPort: await freePort(), upstreamPort: backendPort, files: server };
  const toClient = { listenPort: await freePort(), upstreamPort: toServer.listenPort, files: client };
  const ours = [
    await startOutrigger(scene, "server", serverSidecar(toServer), toServer.listenPort),
    await startOutrigger(scene, "client", clientSidecar(toClient), toClient.listenPort),
  ];
  const peerServer = { ...toServer, listenPort: await freePort() };
  const peerClient = { ...toClient, listenPort: await freePort(), upstreamPort: peerServer.listenPort };
  const peer = [
    await startNginx(scene, "peer-server", peerServer.listenPort, serverHop(peerServer)),
    await startNginx(scene, "peer-client", peerClient.listenPort, clientHop(peerClient)),
  ];
  return { ours: { port: toClient.listenPort, hops: ours }, peer: { port: peerClient.listenPort, hops: peer } };
}
