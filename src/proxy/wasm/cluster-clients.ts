// Both kinds of calls of modules, carried by the proxy's clusters.
import type { EventLoop } from "../transport/event-loop.ts";
import type { ClusterManager } from "../upstream/cluster-manager.ts";
import { clusterCalls } from "./cluster-calls.ts";
import { clusterGrpc } from "./cluster-grpc.ts";
import type { GrpcCalls } from "./grpc-calls.ts";
import type { HttpCalls } from "./http-calls.ts";
import { wasmLimits } from "./limits.ts";

export function clusterClients(
  clusters: ClusterManager,
  loop: EventLoop,
): { readonly calls: HttpCalls; readonly grpc: GrpcCalls } {
  return {
    calls: clusterCalls(clusters, loop),
    grpc: clusterGrpc({ clusters, loop, maxMessageBytes: wasmLimits.maxGrpcMessageBytes }),
  };
}
