// For a connection whose chain was chosen because nothing had come in time: the first bytes, when they come, are looked
// at all the same. Had they chosen another chain, the connection is closed: who is served how must not depend on how
// long a client waits.
import type { FilterChainConfig, ListenerConfig } from "../config/listener.ts";
import { describeMatch, matchFilterChain } from "../decide/filter-chain.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { Transport, TransportTap } from "../transport/transport.ts";
import { INSPECT_MORE, type Inspection } from "./inspection.ts";

export class LateInspection implements TransportTap {
  readonly #inspection: Inspection;
  readonly #listener: ListenerConfig;
  readonly #chain: FilterChainConfig;
  readonly #info: ConnectionInfo;
  #held: Buffer | null = null;

  constructor(inspection: Inspection, listener: ListenerConfig, chain: FilterChainConfig, info: ConnectionInfo) {
    this.#inspection = inspection;
    this.#listener = listener;
    this.#chain = chain;
    this.#info = info;
  }

  onTransportRead(transport: Transport, data: Buffer): Buffer | null {
    const bytes = this.#held === null ? data : Buffer.concat([this.#held, data]);
    const outcome = this.#inspection.look(bytes, this.#info);
    if (outcome === INSPECT_MORE) {
      this.#held = bytes;
      return null;
    }
    transport.tap = null;
    const other = matchFilterChain(this.#listener, this.#info, null);
    if (other === this.#chain) return bytes;
    this.#info.terminationDetails = "protocol_told_too_late";
    this.#info.cause =
      other === null
        ? "no filter chain is for what the client began to speak after the listener filters' timeout"
        : `the client began too late to speak what another filter chain is for (${describeMatch(other.match)})`;
    transport.destroy();
    return null;
  }

  onTransportReadEnd(transport: Transport): Buffer | null {
    transport.tap = null;
    return this.#held;
  }
}
