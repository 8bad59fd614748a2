// One listener while it lives: its present configuration, its sockets when it binds some, and its connections. A new
// configuration applies to new connections. Those that are open go on: where their filter chain changed, HTTP ends at its
// next safe point, and a connection that would not be let in any more is closed, which is logged.
import type { Socket } from "node:net";
import { formatOrigin } from "#base/issue.ts";
import { type FilterChainConfig, type ListenerConfig, TrafficDirection } from "../config/listener.ts";
import type { ListenAddress } from "../config/socket.ts";
import { describeMatch } from "../decide/filter-chain.ts";
import { NetworkConnection } from "../network/connection.ts";
import { writeConnectionLog } from "../network/connection-log.ts";
import { Histogram } from "../stats/histogram.ts";
import type { Protection } from "../stats/inbound-traffic.ts";
import { ConnectionInfo, formatAddress, isPipe, plainIp } from "../transport/connection-info.ts";
import { Transport, type TransportTap } from "../transport/transport.ts";
import type { ListenerEnvironment } from "./environment.ts";
import { type InspectionNeed, inspectionNeed } from "./inspection.ts";
import { type ListenerCounters, listenerCounters } from "./listener-counters.ts";
import { ListeningSocket } from "./listening-socket.ts";
import { OpeningConnection } from "./opening-connection.ts";
import { whyRevoked, withKeptChains } from "./update.ts";

interface Refusal {
  readonly cause: string;
  readonly details?: string;
}

export class ActiveListener {
  config: ListenerConfig;
  readonly counters: ListenerCounters = listenerCounters();
  readonly #environment: ListenerEnvironment;
  readonly #connections = new Set<NetworkConnection>();
  /** Accepted sockets that have no filter chain yet. */
  readonly #opening = new Set<OpeningConnection>();
  readonly #needByPort = new Map<number, InspectionNeed>();
  /** By configured address. */
  #sockets = new Map<string, ListeningSocket>();
  #isDraining = false;

  constructor(config: ListenerConfig, environment: ListenerEnvironment) {
    this.config = config;
    this.#environment = environment;
  }

  get connectionCount(): number {
    return this.#connections.size + this.#opening.size;
  }

  get openingCount(): number {
    return this.#opening.size;
  }

  /** The port that the system gave, which differs from the configured one only for port 0. */
  get boundPort(): number {
    return this.#sockets.get(addressKey(this.config))?.port ?? this.config.port;
  }

  /** All addresses as they are bound, the main one first. */
  get boundAddresses(): [BoundAddress, ...BoundAddress[]] {
    const { additionalAddresses } = this.config;
    const bound = (address: ListenAddress): BoundAddress => ({
      host: address.host,
      port: this.#sockets.get(addressKey(address))?.port ?? address.port,
    });
    return [bound(this.config), ...additionalAddresses.map(bound)];
  }

  /**
   * Takes a new configuration. Sockets whose address stays are kept; when one can't be bound, everything stays as it
   * was and the promise is rejected.
   */
  async update(config: ListenerConfig): Promise<void> {
    const wanted = config.bindToPort ? addressesOf(config) : [];
    const missing = wanted.filter((address) => !this.#sockets.has(addressKey(address)));
    if (missing.length > 0) await this.#bind(config, missing);
    const kept = new Set(wanted.map(addressKey));
    for (const [key, socket] of this.#sockets) {
      if (kept.has(key)) continue;
      socket.close();
      this.#sockets.delete(key);
    }
    this.#apply(config);
  }

  async #bind(config: ListenerConfig, addresses: readonly SocketAddress[]): Promise<void> {
    const opened: ListeningSocket[] = [];
    try {
      for (const address of addresses) opened.push(await this.#open(config, address));
    } catch (error) {
      for (const socket of opened) socket.close();
      throw error;
    }
    for (const socket of opened) this.#sockets.set(addressKey(socket.address), socket);
  }

  #open(config: ListenerConfig, address: SocketAddress): Promise<ListeningSocket> {
    const { dualStack, sharesPorts, calls, log } = this.#environment;
    return ListeningSocket.open({
      address,
      socketOptions: address.socketOptions,
      backlog: config.backlog,
      dualStack,
      sharesPorts,
      calls,
      onConnection: (socket) => this.#accept(socket, address),
      onError: (error) => log.error(`listener ${config.name}: ${error.message}`),
    });
  }

  #apply(config: ListenerConfig): void {
    const before = this.config;
    this.config = withKeptChains(config, before);
    this.#needByPort.clear();
    if (this.#connections.size === 0) return;
    const { filterChains, defaultFilterChain } = this.config;
    const live = new Set<FilterChainConfig | null>([...filterChains, defaultFilterChain]);
    for (const connection of this.#connections) if (!live.has(connection.config)) this.#chainChanged(connection);
  }

  #chainChanged(connection: NetworkConnection): void {
    const { info } = connection;
    const cause = whyRevoked(this.config, connection);
    if (cause === null) {
      connection.chainChanged();
      return;
    }
    const words = `a change of configuration: ${cause}`;
    this.#environment.log.warn(`closed ${info.sourceAddress} → ${info.destinationAddress}: ${words}`);
    info.cause = words;
    info.terminationDetails = "denied_by_new_configuration";
    connection.destroy();
  }

  /** Stops accepting. Open connections go on. */
  stopAccepting(): void {
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets = new Map();
  }

  #accept(socket: Socket, address: ListenAddress): void {
    // First of all: an error without a listener would end the process.
    socket.on("error", ignoreError);
    const { loop } = this.#environment;
    loop.enter();
    try {
      const turnedAway = this.#whyTurnedAway();
      if (turnedAway !== null) {
        this.#turnAway(socket, address, turnedAway);
        return;
      }
      const opening = new OpeningConnection(socket, this.#describe(socket, address), this, this.#environment);
      this.adopt(opening);
      opening.begin();
    } catch (error) {
      loop.onBroken(error);
      socket.destroy();
    } finally {
      loop.leave();
    }
  }

  /** What there is no room for, before anything is spent on it. */
  #whyTurnedAway(): Refusal | null {
    const { loop, limits, network } = this.#environment;
    const { shedding } = network.http;
    if (this.connectionCount >= limits.ofListener(this.config.name)) {
      this.counters.overflows++;
      const words = `listener ${this.config.name} has the connections that it may have`;
      return { details: "downstream_cx_overflow", cause: words };
    }
    if (this.config.isInGlobalLimit && limits.isReached) {
      this.counters.globalOverflows++;
      return { details: "downstream_global_cx_overflow", cause: "this proxy has the connections that it may have" };
    }
    if (!shedding.isActive || !shedding.rejectsConnection(loop.random)) return null;
    this.counters.overloadRejects++;
    return { details: "overload", cause: `this proxy is overloaded: ${shedding.why}` };
  }

  #turnAway(socket: Socket, address: ListenAddress, refusal: Refusal): void {
    const info = this.#describe(socket, address);
    info.responseFlags = "OM";
    this.#log(info, refusal);
    socket.destroy();
  }

  #describe(socket: Socket, address: ListenAddress): ConnectionInfo {
    const info = new ConnectionInfo();
    info.id = this.#environment.nextConnectionId();
    info.startTimeMs = this.#environment.loop.now;
    info.sourceIp = plainIp(socket.remoteAddress);
    info.sourcePort = socket.remotePort ?? 0;
    info.directSourceIp = info.sourceIp;
    info.directSourcePort = info.sourcePort;
    if (address.port === 0 && isPipe(address.host)) {
      info.destinationIp = address.host;
      return info;
    }
    info.destinationIp = plainIp(socket.localAddress);
    info.destinationPort = socket.localPort ?? 0;
    info.isOwnAddress = true;
    if (!this.config.useOriginalDst && !this.config.originalDst) return info;
    // TPROXY changes no address: what the client aimed at is our end of the connection.
    if (this.config.isTransparent && info.destinationPort !== this.boundPort) {
      info.isRedirected = true;
      info.isOwnAddress = false;
      return info;
    }
    const original = this.#environment.originalDestination(socket);
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
    this.#environment.limits.open++;
  }

  /** It has its chain, went to another listener, or is gone. */
  forget(opening: OpeningConnection): void {
    if (!this.#opening.delete(opening)) return;
    this.#environment.limits.open--;
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
    if (transportReason === undefined) info.responseFlags = "NR";
    this.#countArrival(info);
    info.arrival?.countRefusal();
    this.#log(info, { cause, ...(transportReason === undefined && { details: "filter_chain_not_found" }) });
  }

  #log(info: ConnectionInfo, { cause, details }: Refusal): void {
    this.#environment.refusals.refused(info, cause);
    info.cause = cause;
    writeConnectionLog(this.config.accessLog, this.#environment.network.http, info, {
      receivedBytes: 0,
      sentBytes: 0,
      ...(details !== undefined && { details }),
    });
  }

  /** Who calls the workload beside this proxy, or this gateway, is counted; what it calls itself the others count. */
  #countArrival(info: ConnectionInfo): void {
    const { arrivals } = this.#environment;
    if (info.direction !== (arrivals.isEdge ? TrafficDirection.Outbound : TrafficDirection.Inbound)) return;
    const principal = info.peer?.isVerified === true ? (info.peer.uriSan ?? "") : "";
    info.arrival = arrivals.arrived({
      port: info.destinationPort,
      protection: protectionOf(info),
      principal,
      address: info.sourceIp,
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
    this.#countArrival(info);
    const transport = new Transport(socket, loop, raw);
    transport.setLimits(this.config.bufferLimitBytes, 0);
    transport.tap = ahead.tap;
    const connection = new NetworkConnection(network.chainFor(chain), transport, info, this.#onClosed);
    this.#connections.add(connection);
    this.#environment.limits.open++;
    connection.start(ahead.bytes);
  }

  readonly #onClosed = (connection: NetworkConnection): void => {
    if (!this.#connections.delete(connection)) return;
    const { limits, loop } = this.#environment;
    limits.open--;
    this.counters.connectionTimes ??= new Histogram();
    this.counters.connectionTimes.record(loop.now - connection.info.startTimeMs, loop.now);
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

function protectionOf({ isTls, peer, transportProtocol }: ConnectionInfo): Protection {
  if (isTls) return peer?.isVerified === true ? "mutual_tls" : "tls";
  return transportProtocol === "tls" ? "own_tls" : "plaintext";
}

type BoundAddress = Pick<ListenAddress, "host" | "port">;
type SocketAddress = ListenerConfig["additionalAddresses"][number];

function addressesOf(config: ListenerConfig): SocketAddress[] {
  const { host, port, mode, socketOptions } = config;
  return [{ host, port, mode, socketOptions }, ...config.additionalAddresses];
}

function addressKey({ host, port }: ListenAddress): string {
  return formatAddress(host, port);
}

function ignoreError(): void {
  // The `close` event that follows is what ends the connection here.
}
