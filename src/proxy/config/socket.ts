// Runtime shape of socket addresses and options, of listeners and of connections to endpoints.

export interface ListenAddress {
  /** An IP address, the path of a Unix socket, or an abstract name (`@name`). */
  readonly host: string;
  /** 0 for Unix sockets. */
  readonly port: number;
  /** Permissions of a Unix socket; 0 leaves them. */
  readonly mode: number;
}

export interface SocketOption {
  readonly level: number;
  readonly name: number;
  readonly value: Buffer;
  /** By its name, as `TCP_USER_TIMEOUT`. */
  readonly description: string;
  /** It must be set before the socket is bound. */
  readonly isPrebind: boolean;
}

export interface Keepalive {
  /** 0 takes the system's. */
  readonly probes: number;
  readonly timeSeconds: number;
  readonly intervalSeconds: number;
}
