// What the host process and the sandbox say to each other over the IPC channel. Both are of one version: they are the
// same program.

/** A port of the host that leads into the cluster. */
export interface ForwardTarget {
  readonly namespace: string;
  readonly service: string;
  /** The Service's port, by number. */
  readonly port: number;
}

export interface Resolver {
  readonly address: string;
  readonly port: number;
}

export type HostMessage =
  /** Comes first, with a UDP socket of the host's network as handle. */
  | { readonly kind: "resolvers"; readonly resolvers: readonly Resolver[] }
  | { readonly kind: "start"; readonly options: unknown }
  /** Comes with the listening server as handle. */
  | { readonly kind: "listener"; readonly target: ForwardTarget }
  /** Comes with one accepted socket as handle: it arrived before the listener was handed over. */
  | { readonly kind: "connection"; readonly target: ForwardTarget }
  /** Answers `dial`: with the connected socket as handle, or why there is none. */
  | { readonly kind: "dialed"; readonly id: number; readonly failure?: string }
  | { readonly kind: "stop" };

export type SandboxMessage =
  /** The entry runs and listens to the channel. */
  | { readonly kind: "up" }
  | { readonly kind: "event"; readonly event: unknown }
  /** A pod wants to connect to an address outside of the cluster. */
  | DialMessage
  /** Everything has ended in order. */
  | { readonly kind: "stopped" };

export interface DialMessage {
  readonly kind: "dial";
  readonly id: number;
  readonly address: string;
  readonly port: number;
}
