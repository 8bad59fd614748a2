// One listener while it lives: its present configuration, its socket when it binds one, and its connections. A new
// configuration applies to new connections; nothing that is open is closed.
import { createServer, isIPv6, type Server, type Socket } from "node:net";
import { formatOrigin } from "#base/issue.ts";
import type { FilterChainConfig, ListenerConfig } from "../config/listener.ts";
import { describeMatch } from "../decide/filter-chain.ts";
import { NetworkConnection } from "../network/connection.ts";
import { writeConnectionLog } from "../network/connection-log.ts";
import { ConnectionInfo, plainIp } from "../transport/connection-info.ts";
import { Transport, type TransportTap } from "../transport/transport.ts";
import type { ListenerEnvironment } from "./environment.ts";
import { type InspectionNeed, inspectionNeed } from "./inspection.ts";
import { type ListenerCounters, listenerCounters } from "./listener-counters.ts";
import { OpeningConnection } from "./opening-connection.ts";

export class ActiveListener {
  config: ListenerConfig;
  readonly #environment: ListenerEnvironment;
  readonly #connections = new Set<NetworkConnection>();
  /** Accepted sockets that have no filter chain yet. */
  readonly #opening = new Set<OpeningConnection>();
  readonly #needByPort = new Map<number, InspectionNeed>();
  #server: Server | null = null;
  #isDraining = false;
  readonly counters: ListenerCounters = listenerCounters();

  constructor(config: ListenerConfig, environment: ListenerEnvironment) {
    this.config = config;
    this.#environment = environment;
  }

  get connectionCount(): number {
    return this.#connections.size + this.#opening.size;
  }

  /** The port that the system gave, which differs from the configured one only for port 0. */
  get boundPort(): number {
    const address = this.#server?.address();
    return typeof address === "object" && address !== null ? address.port : this.config.port;
  }

  update(config: ListenerConfig): void {
    this.config = config;
    this.#needByPort.clear();
  }

  /** Binds the socket. */
  listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) =>
      this.#accept(socket),
    );
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(
        {
          host: this.config.host,
          port: this.config.port,
          backlog: 4096,
          reusePort: this.#environment.sharesPorts,
          ipv6Only: isIPv6(this.config.host) && !this.#environment.dualStack,
        },
        () => {
          server.off("error", reject);
          server.on("error", (error) => this.#environment.log.error(`listener ${this.config.name}: ${error.message}`));
          resolve();
        },
      );
    });
  }

  /** Stops accepting. Open connections go on. */
  stopAccepting(): void {
    this.#server?.close();
    this.#server = null;
  }

  #accept(socket: Socket): void {
    // First of all: an error without a listener would end the process.
    socket.on("error", ignoreError);
    const { loop } = this.#environment;
    loop.enter();
    try {
      const opening = new OpeningConnection(socket, this.#describe(socket), this, this.#environment);
      this.adopt(opening);
      opening.begin();
    } catch (error) {
      loop.onBroken(error);
      socket.destroy();
    } finally {
      loop.leave();
    }
  }

  #describe(socket: Socket): ConnectionInfo {
    const info = new ConnectionInfo();
    info.startTimeMs = this.#environment.loop.now;
    info.sourceIp = plainIp(socket.remoteAddress);
    info.sourcePort = socket.remotePort ?? 0;
    info.directSourceIp = info.sourceIp;
    info.directSourcePort = info.sourcePort;
    info.destinationIp = plainIp(socket.localAddress);
    info.destinationPort = socket.localPort ?? 0;
    if (!this.config.useOriginalDst && !this.config.originalDst) return info;
    const original = this.#environment.originalDestination(socket);
    info.isOwnAddress = true;
    if (original !== null && (original.port !== info.destinationPort || original.ip !== info.destinationIp)) {
      info.destinationIp = original.ip;
      info.destinationPort = original.port;
      info.isRedirected = true;
      // The application may aim at the capture port itself, on any of our addresses.
      info.isOwnAddress = false;
    }
    return info;
  }

  /** Takes over a connection that has no filter chain yet: a new one, or one that another listener accepted. */
  adopt(opening: OpeningConnection): void {
    this.counters.connectionsTotal++;
    this.#opening.add(opening);
  }

  /** It has its chain, went to another listener, or is gone. */
  forget(opening: OpeningConnection): void {
    this.#opening.delete(opening);
    this.#checkIdle();
  }

  /** What has to be known of a connection to that port before its chain can be chosen. */
  need(port: number): InspectionNeed {
    let need = this.#needByPort.get(port);
    if (need === undefined) {
      // Bounded: a scan over all ports must not fill the memory.
      if (this.#needByPort.size > 1000) this.#needByPort.clear();
      need = inspectionNeed(this.config, port);
      this.#needByPort.set(port, need);
    }
    return need;
  }

  whyNoChain(info: ConnectionInfo): string {
    const { name, filterChains } = this.config;
    const seen = info.transportProtocol === "tls" ? "TLS" : "plaintext";
    const named = filterChains.filter((chain) => chain.match.destinationPort === info.destinationPort);
    const forPort = named.length > 0 ? named : filterChains.filter((chain) => chain.match.destinationPort === null);
    const onlyTls = forPort.length > 0 && forPort.every((chain) => chain.match.transportProtocol === "tls");
    const origins = forPort.flatMap((chain) => chain.provenance.origins.map(formatOrigin));
    const from = origins.length === 0 ? "" : ` [${[...new Set(origins)].join(", ")}]`;
    if (onlyTls && seen === "plaintext") {
      return `plaintext to port ${info.destinationPort}, where mutual TLS is required (STRICT)${from}`;
    }
    const known = (forPort.length > 0 ? forPort : filterChains).slice(0, 6).map((chain) => describeMatch(chain.match));
    return `${seen} to port ${info.destinationPort} matches no filter chain of ${name} (it has: ${known.join("; ") || "none"})${from}`;
  }

  /** Says in logs that a connection ends before it has a filter chain. */
  logRefusal(info: ConnectionInfo, cause: string, transportReason?: string): void {
    this.#environment.refusals.refused(info, cause);
    info.cause = cause;
    if (transportReason === undefined) info.responseFlags = "NR";
    writeConnectionLog(this.config.accessLog, this.#environment.network.http, info, {
      receivedBytes: 0,
      sentBytes: 0,
      ...(transportReason === undefined && { details: "filter_chain_not_found" }),
    });
  }

  /** Gives a connection to the filters of its chain. `socket` is plain or secured; `bytes` were read from it already. */
  serve(
    { socket: raw, info }: OpeningConnection,
    socket: Socket,
    chain: FilterChainConfig,
    ahead: { readonly bytes: Buffer | null; readonly tap: TransportTap | null },
  ): void {
    const { loop, network } = this.#environment;
    const transport = new Transport(socket, loop, raw);
    transport.setLimits(this.config.bufferLimitBytes, 0);
    transport.tap = ahead.tap;
    const connection = new NetworkConnection(network.chainFor(chain), transport, info, this.#onClosed);
    this.#connections.add(connection);
    connection.start(ahead.bytes);
  }

  readonly #onClosed = (connection: NetworkConnection): void => {
    this.#connections.delete(connection);
    if (this.config.accessLog.length > 0) {
      const { bytesRead, bytesWritten } = connection.transport;
      const facts = { receivedBytes: bytesRead, sentBytes: bytesWritten };
      writeConnectionLog(this.config.accessLog, this.#environment.network.http, connection.info, facts);
    }
    this.#checkIdle();
  };

  #checkIdle(): void {
    if (this.#isDraining && this.connectionCount === 0) this.#environment.onIdle(this);
  }

  /** Asks all connections to end at their next safe point. */
  drain(): void {
    this.#isDraining = true;
    for (const connection of this.#connections) connection.drain();
    this.#checkIdle();
  }

  /** Closes everything at once. */
  destroy(): void {
    this.stopAccepting();
    for (const opening of this.#opening) opening.destroy();
    for (const connection of this.#connections) connection.destroy();
  }
}

function ignoreError(): void {
  // The `close` event that follows is what ends the connection here.
}
