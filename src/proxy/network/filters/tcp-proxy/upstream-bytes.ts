// Where a TCP proxy's bytes go: a connection to the endpoint itself, or a stream of HTTP that a proxy passes on.
import type { TransportUser } from "../../../transport/transport.ts";

/** What TCP proxying needs of a `Transport`; see there. */
export interface UpstreamBytes {
  user: TransportUser | null;
  readonly isEnded: boolean;
  readonly isClosed: boolean;
  readonly unsentBytes: number;
  attach(user: TransportUser): void;
  writeBytes(bytes: Buffer): boolean;
  pause(): void;
  resume(): void;
  end(): void;
  closeGracefully(): void;
  destroy(): void;
  reset(): void;
}
