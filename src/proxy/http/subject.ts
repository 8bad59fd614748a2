// HOT: per request. A stream as policies see it.
import type { HeaderValue, PeerNames, RbacSubject } from "../config/rbac.ts";
import { matchablePath } from "../decide/route.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { Stream } from "./stream.ts";

/** The peer's names when its certificate was verified. */
export function verifiedPeer({ peer }: ConnectionInfo): PeerNames | null {
  return peer?.isVerified === true ? peer : null;
}

export class StreamSubject implements RbacSubject {
  readonly peer: PeerNames | null;
  readonly directRemoteIp: string;
  readonly sourceIp: string;
  readonly remoteIp: string;
  readonly sourcePort: number;
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly requestedServerName: string;
  readonly path: string | undefined;
  readonly #stream: Stream;

  constructor(stream: Stream) {
    const { connection } = stream;
    this.#stream = stream;
    this.peer = verifiedPeer(connection);
    this.directRemoteIp = connection.directSourceIp;
    this.sourceIp = connection.sourceIp;
    this.remoteIp = stream.remoteIp;
    this.sourcePort = connection.sourcePort;
    this.destinationIp = connection.destinationIp;
    this.destinationPort = connection.destinationPort;
    this.requestedServerName = connection.serverName;
    this.path = stream.path === "" ? undefined : matchablePath(stream.routeConfig, stream.path);
  }

  header(name: string): string | undefined {
    const value = this.#stream.header(name);
    // A pseudo header that is empty is not there: the path of CONNECT.
    return value === "" && name.charCodeAt(0) === 0x3a ? undefined : value;
  }

  headerValues(name: string): HeaderValue {
    if (name.charCodeAt(0) === 0x3a || name === "host") return this.header(name);
    return this.#stream.headers.getAll(name);
  }

  metadata(filter: string): unknown {
    return this.#stream.metadata(filter);
  }

  routeMetadata(filter: string): unknown {
    return this.#stream.decision?.route.metadata[filter];
  }
}
