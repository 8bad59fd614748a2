// HOT: per connection. One downstream connection on its way through the network filters of its chain, until the terminal
// filter has it. While a filter waits, nothing is read and the end of the connection is still seen.
import type { FilterChainConfig } from "../config/listener.ts";
import type { MetricRules } from "../config/metric-rules.ts";
import type { HttpEnvironment } from "../http/environment.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import type { Transport, TransportUser } from "../transport/transport.ts";
import type { ConfiguredChain } from "./chain.ts";
import { CONTINUE, type NetworkFilter, type ServedConnection } from "./filter.ts";

/** Why a filter closes a connection. */
export interface ConnectionRefusal {
  /** Envoy's response flag; empty where it has none. */
  readonly flag: string;
  /** `%CONNECTION_TERMINATION_DETAILS%`; empty for none. */
  readonly details: string;
  /** In words, for people. */
  readonly cause: string;
}

export class NetworkConnection implements TransportUser, ServedConnection {
  readonly transport: Transport;
  readonly info: ConnectionInfo;
  readonly environment: HttpEnvironment;
  readonly config: FilterChainConfig;
  /** Where the TCP proxy sends it, over what it is configured for; null: no filter chose. */
  cluster: string | null = null;
  /** The host that a dynamic forward proxy goes to, as its DNS cache knows it; null: no filter looked one up. */
  dynamicHost: string | null = null;
  /** Null: istio.stats is not in the chain. */
  metricRules: MetricRules | null = null;
  refusal: ConnectionRefusal | null = null;
  readonly #chain: ConfiguredChain;
  readonly #filters: ConfiguredChain["filters"];
  readonly #onClosed: (connection: NetworkConnection) => void;
  /** Those whose `onNewConnection` was called and that want to know of the end. */
  #entered: NetworkFilter[] | null = null;
  #next = 0;
  #isWalking = false;
  /** Bytes that were read before the filters were done, by the inspectors. */
  #held: Buffer[] = [];
  #served: ServedConnection | null = null;
  #isClosed = false;

  constructor(
    chain: ConfiguredChain,
    transport: Transport,
    info: ConnectionInfo,
    onClosed: (connection: NetworkConnection) => void,
  ) {
    this.#chain = chain;
    this.#filters = chain.filters;
    this.config = chain.config;
    this.environment = chain.environment;
    this.transport = transport;
    this.info = info;
    this.#onClosed = onClosed;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** True once the terminal filter has it. */
  get isServed(): boolean {
    return this.#served !== null;
  }

  /** Takes the connection through the filters. `bytes` were read from it already. */
  start(bytes: Buffer | null): void {
    this.transport.user = this;
    if (bytes !== null) this.#held.push(bytes);
    this.#walk();
  }

  /** Goes on after a filter's STOP. */
  continue(): void {
    if (!this.#isWalking) this.#walk();
  }

  #walk(): void {
    const filters = this.#filters;
    this.#isWalking = true;
    while (this.#next < filters.length && !this.#isClosed) {
      const factory = filters[this.#next++]!;
      const filter = factory.shared ?? factory.create();
      if (filter.onClose !== undefined) {
        this.#entered ??= [];
        this.#entered.push(filter);
      }
      if (filter.onNewConnection !== undefined && filter.onNewConnection(this) !== CONTINUE) {
        this.#isWalking = false;
        return;
      }
    }
    this.#isWalking = false;
    if (!this.#isClosed) this.#serve();
  }

  #serve(): void {
    const { transport } = this;
    const held = this.#held;
    this.#held = [];
    transport.user = null;
    this.#served = this.#chain.terminal.serve(this);
    for (const bytes of held) transport.received(bytes);
  }

  /** Closes the connection because a filter does not let it pass. The terminal filter logs it. */
  refuse(refusal: ConnectionRefusal): void {
    if (this.#isClosed) return;
    const { info, environment } = this;
    this.refusal = refusal;
    info.responseFlags = refusal.flag;
    info.terminationDetails = refusal.details;
    info.cause = refusal.cause;
    info.arrival?.countRefusal();
    environment.log.info(`refused ${info.sourceAddress} → ${info.destinationAddress}: ${refusal.cause}`);
    this.transport.user = null;
    this.transport.destroy();
    this.#chain.terminal.refused?.(this);
    this.closed();
  }

  /** Told by the terminal filter: the connection is over. */
  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#held = [];
    if (this.#entered !== null) for (const filter of this.#entered) filter.onClose?.(this);
    this.#entered = null;
    this.#onClosed(this);
  }

  onTransportData(data: Buffer): void {
    this.#held.push(data);
    this.transport.pause();
  }

  /** The terminal filter reads the end for itself when it is its turn. */
  onTransportEnd(): void {}

  onTransportDrain(): void {}

  onTransportClose(_failure: SocketFailure | null): void {
    this.closed();
  }

  drain(): void {
    this.#served?.drain();
  }

  /** Its filter chain is not in force any more. HTTP ends at its next safe point, bytes go on. */
  chainChanged(): void {
    if (this.config.filters.at(-1)?.http != null) this.drain();
  }

  destroy(): void {
    if (this.#served !== null) this.#served.destroy();
    else this.transport.destroy();
  }
}
