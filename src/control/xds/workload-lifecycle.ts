// What becomes of the entries of workloads outside of the cluster while their proxies come, tell their health, and go.
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { ConnectionInfo } from "./connection.ts";

export interface WorkloadHealth {
  readonly isHealthy: boolean;
  /** Why not, in the agent's words. */
  readonly message: string;
}

export interface WorkloadLifecycle {
  /** Whether the proxy stands for a WorkloadEntry. */
  concerns(node: ProxyNode): boolean;
  /** Resolves before the proxy gets anything: with why it is refused, if it is. */
  connected(info: ConnectionInfo): Promise<string | undefined>;
  /** Of a proxy that `connected` was called for. */
  disconnected(info: ConnectionInfo): void;
  health(info: ConnectionInfo, health: WorkloadHealth): void;
}
