// What `outrigger up` was asked for.
import type { GatewayAddress } from "./gateway-address.ts";

export interface UpOptions {
  readonly files: readonly string[];
  readonly watch: boolean;
  /** Host address and port of the ingress gateway, as `127.0.0.1:8080`. Port 0 picks one. */
  readonly gateway: GatewayAddress;
  /** Whether pods reach what is outside of the cluster. */
  readonly egress: boolean;
  /** Ports of this machine's loopback that pods reach as `host.outrigger.internal`. */
  readonly hostPorts: readonly number[];
  readonly stateDirectory: string;
  /** Print one JSON line when everything runs, for scripts. */
  readonly json: boolean;
  /** How the person called us, for the commands that we suggest. */
  readonly program: string;
}
