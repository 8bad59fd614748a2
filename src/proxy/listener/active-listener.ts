// One listener while it lives: its present configuration, its socket when it binds one, and its connections. A new
// configuration applies to new connections; nothing that is open is closed.
import { createServer, isIPv6, type Server, type Socket } from "node:net";
import { formatOrigin } from "#base/issue.ts";
import type { FilterChainConfig, ListenerConfig } from "../config/listener.ts";
import { describeMatch, matchFilterChain } from "../decide/filter-chain.ts";
import { spokenAlpn } from "../network/chain.ts";
import { NetworkConnection } from "../network/connection.ts";
import { ConnectionInfo, plainIp } from "../transport/connection-info.ts";
import { handshakeDownstream } from "../transport/downstream-tls.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import { Transport } from "../transport/transport.ts";
import type { ListenerEnvironment } from "./environment.ts";
import { type InspectionNeed, inspect, inspectionNeed } from "./inspection.ts";
import { accessLogEntryOfRefusal } from "./refusal-log.ts";

/** Longest time for a TLS handshake with a client. */
const handshakeMs = 10_000;

export class ActiveListener {
  config: ListenerConfig;
  readonly #environment: ListenerEnvironment;
  readonly #connections = new Set<NetworkConnection>();
  /** Accepted sockets that have no filter chain yet. */
  readonly #opening = new Set<Socket>();
  readonly #needByPort = new Map<number, InspectionNeed>();
  #server: Server | null = null;
  #isDraining = false;
  connectionsTotal = 0;

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
      const info = this.#describe(socket);
      const target = this.#environment.route(this, info);
      target.take(socket, info);
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

  /** Serves a connection whose destination is known: inspects it, chooses the chain, hands it over. */
  take(socket: Socket, info: ConnectionInfo): void {
    this.connectionsTotal++;
    info.listenerName = this.config.name;
    info.direction = this.config.direction;
    if (this.#isDraining && this.#server === null && this.config.bindToPort) {
      socket.destroy();
      return;
    }
    this.#opening.add(socket);
    socket.once("close", () => this.#opening.delete(socket));
    const need = this.#need(info.destinationPort);
    if (need.tls || need.http) this.#inspect(socket, info, need);
    else this.#chooseChain(socket, info, null);
  }

  #need(port: number): InspectionNeed {
    let need = this.#needByPort.get(port);
    if (need === undefined) {
      // Bounded: a scan over all ports must not fill the memory.
      if (this.#needByPort.size > 1000) this.#needByPort.clear();
      need = inspectionNeed(this.config, port);
      this.#needByPort.set(port, need);
    }
    return need;
  }

  #inspect(socket: Socket, info: ConnectionInfo, need: InspectionNeed): void {
    const { loop } = this.#environment;
    let bytes: Buffer | null = null;
    let cancelTimer: (() => void) | null = null;
    const stop = (): void => {
      cancelTimer?.();
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.pause();
    };
    const onData = (data: Buffer): void => {
      loop.enter();
      try {
        bytes = bytes === null ? data : Buffer.concat([bytes, data]);
        if (!inspect(bytes, need, info)) return;
        stop();
        this.#chooseChain(socket, info, bytes);
      } catch (error) {
        loop.onBroken(error);
        socket.destroy();
      } finally {
        loop.leave();
      }
    };
    // Nothing was said: there is nothing to forward either.
    const onEnd = (): void => {
      stop();
      socket.destroy();
    };
    socket.on("data", onData);
    socket.once("end", onEnd);
    socket.once("close", () => cancelTimer?.());
    const { listenerFiltersTimeoutMs, continueOnListenerFiltersTimeout } = this.config;
    if (listenerFiltersTimeoutMs > 0) {
      cancelTimer = loop.after(listenerFiltersTimeoutMs, () => {
        stop();
        if (!continueOnListenerFiltersTimeout) {
          this.#refuse(socket, info, `no protocol was recognized within ${listenerFiltersTimeoutMs} ms`);
          return;
        }
        info.transportProtocol = "raw_buffer";
        this.#chooseChain(socket, info, bytes);
      });
    }
    socket.resume();
  }

  #chooseChain(socket: Socket, info: ConnectionInfo, bytes: Buffer | null): void {
    if (socket.destroyed) return;
    if (info.transportProtocol === "") info.transportProtocol = "raw_buffer";
    const chain = matchFilterChain(this.config, info, null);
    if (chain === null) {
      this.#refuse(socket, info, this.#whyNoChain(info));
      return;
    }
    info.filterChainName = chain.name;
    if (chain.tls !== null) this.#secure(socket, info, chain, bytes);
    else this.#serve(socket, info, chain, bytes);
  }

  #whyNoChain(info: ConnectionInfo): string {
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

  #refuse(socket: Socket, info: ConnectionInfo, cause: string): void {
    this.#environment.log.warn(`refused ${info.sourceAddress} → ${info.destinationAddress}: ${cause}`);
    accessLogEntryOfRefusal(this.config.accessLog, info, cause, this.#environment);
    socket.destroy();
  }

  #secure(socket: Socket, info: ConnectionInfo, chain: FilterChainConfig, bytes: Buffer | null): void {
    const { loop, contexts, log } = this.#environment;
    if (bytes !== null) socket.unshift(bytes);
    let cancelTimer: (() => void) | null = null;
    const failed = (failure: SocketFailure | null, words: string): void => {
      const cause = `TLS handshake: ${words}`;
      log.warn(`refused ${info.sourceAddress} → ${info.destinationAddress}: ${cause}`);
      accessLogEntryOfRefusal(this.config.accessLog, info, cause, this.#environment, failure?.transportReason);
      socket.destroy();
    };
    let isOver = false;
    cancelTimer = loop.after(handshakeMs, () => {
      isOver = true;
      failed(null, `not done within ${handshakeMs} ms`);
    });
    handshakeDownstream(
      socket,
      info,
      {
        config: chain.tls!,
        contexts,
        offeredAlpn: info.applicationProtocols,
        spokenAlpn: spokenAlpn(chain),
        now: loop.clock.now(),
      },
      (secured, failure) => {
        cancelTimer();
        if (isOver) return;
        loop.enter();
        try {
          if (failure !== null) {
            failed(failure, failure.words);
            secured.destroy();
          } else {
            this.#serve(secured, info, chain, null, socket);
          }
        } catch (error) {
          loop.onBroken(error);
          secured.destroy();
        } finally {
          loop.leave();
        }
      },
    );
  }

  #serve(
    socket: Socket,
    info: ConnectionInfo,
    chain: FilterChainConfig,
    bytes: Buffer | null,
    raw: Socket = socket,
  ): void {
    const { loop, network } = this.#environment;
    this.#opening.delete(raw);
    const transport = new Transport(socket, loop, raw);
    transport.setLimits(this.config.bufferLimitBytes, 0);
    const connection = new NetworkConnection(network.chainFor(chain), transport, info, this.#onClosed);
    this.#connections.add(connection);
    connection.start(bytes);
  }

  readonly #onClosed = (connection: NetworkConnection): void => {
    this.#connections.delete(connection);
    if (this.#isDraining && this.connectionCount === 0) this.#environment.onIdle(this);
  };

  /** Asks all connections to end at their next safe point. */
  drain(): void {
    this.#isDraining = true;
    for (const connection of this.#connections) connection.drain();
    if (this.connectionCount === 0) this.#environment.onIdle(this);
  }

  /** Closes everything at once. */
  destroy(): void {
    this.stopAccepting();
    for (const socket of this.#opening) socket.destroy();
    for (const connection of this.#connections) connection.destroy();
  }
}

function ignoreError(): void {
  // The `close` event that follows is what ends the connection here.
}
