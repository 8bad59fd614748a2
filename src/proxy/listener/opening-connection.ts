// HOT: per connection. An accepted connection until its filter chain has it: PROXY header, hand-over to the listener of
// its destination, inspectors, choice of the chain, TLS handshake. A listener that needs no bytes for that reads none.
//
// Steps: PROXY (reads the header), INSPECT (reads the first bytes), WAITING (for its turn among the handshakes),
// HANDSHAKE, OVER. No timeout decides about another chain: bytes that may yet be a TLS hello or an HTTP request are
// waited for or refused.
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { PROXY_ABSENT, PROXY_MALFORMED, PROXY_NEED_MORE, parseProxyHeader } from "#wire/proxy-protocol/parse.ts";
import type { ProxyHeader } from "#wire/proxy-protocol/proxy-header.ts";
import type { FilterChainConfig, ProxyProtocolConfig } from "../config/listener.ts";
import { matchFilterChain } from "../decide/filter-chain.ts";
import { spokenAlpn } from "../network/chain.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import { handshakeDownstream } from "../transport/downstream-tls.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { SocketFailure } from "../transport/socket-error.ts";
import type { ActiveListener } from "./active-listener.ts";
import type { ListenerEnvironment } from "./environment.ts";
import { INSPECT_DONE, INSPECT_MORE, Inspection } from "./inspection.ts";
import { LateInspection } from "./late-inspection.ts";
import { countTlsFailure } from "./listener-counters.ts";

const PROXY = 1;
const INSPECT = 2;
const WAITING = 3;
const HANDSHAKE = 4;
const OVER = 5;

/** A PROXY header or a TLS hello that has begun must be there after this time, also where nothing else is waited for. */
const begunMs = 10_000;
/** Longest time for a TLS handshake with a client, where the chain does not say. */
const handshakeMs = 10_000;

const owner: unique symbol = Symbol("opening connection");
interface OpeningSocket extends Socket {
  [owner]?: OpeningConnection | undefined;
}

export class OpeningConnection {
  readonly socket: OpeningSocket;
  readonly info: ConnectionInfo;
  readonly loop: EventLoop;
  readonly #environment: ListenerEnvironment;
  #listener: ActiveListener;
  #step = 0;
  #bytes: Buffer | null = null;
  /** Room behind `#bytes`, so that a client that sends byte by byte does not make us copy all of them each time. */
  #room: Buffer | null = null;
  /** What of the common allowance for undecided bytes is ours. */
  #heldBytes = 0;
  #isReading = false;
  #inspection: Inspection | null = null;
  #cancelTimer: (() => void) | null = null;

  constructor(socket: Socket, info: ConnectionInfo, listener: ActiveListener, environment: ListenerEnvironment) {
    this.socket = socket;
    this.info = info;
    this.loop = environment.loop;
    this.#listener = listener;
    this.#environment = environment;
    this.socket[owner] = this;
    socket.on("close", onSocketClose);
  }

  begin(): void {
    const { proxyProtocol } = this.#listener.config;
    if (proxyProtocol === null) this.#route();
    else this.#awaitProxyHeader();
  }

  #awaitProxyHeader(): void {
    this.#step = PROXY;
    const { listenerFiltersTimeoutMs } = this.#listener.config;
    this.#setTimer(listenerFiltersTimeoutMs > 0 ? listenerFiltersTimeoutMs : begunMs);
    if (this.#bytes === null) this.#read();
    else this.#readProxyHeader(this.#bytes);
  }

  /** Gives the connection to the listener that serves its destination. */
  #route(): void {
    const before = this.#listener;
    const target = this.#environment.route(before, this.info);
    if (target !== before) {
      before.forget(this);
      this.#listener = target;
      target.adopt(this);
      if (target.config.proxyProtocol !== null) {
        this.#awaitProxyHeader();
        return;
      }
    }
    this.#inspect();
  }

  #inspect(): void {
    const { info } = this;
    const listener = this.#listener;
    info.listenerName = listener.config.name;
    info.direction = listener.config.direction;
    info.isDrainExempt = listener.config.drainsOnlyWhenModified;
    const need = listener.need(info.destinationPort);
    if (!need.tls && !need.http) {
      this.#chooseChain();
      return;
    }
    this.#step = INSPECT;
    this.#inspection = new Inspection(need, this.#environment.inspectors);
    if (this.#bytes === null) {
      this.#setTimer(listener.config.listenerFiltersTimeoutMs);
      this.#read();
    } else if (!this.#look(this.#bytes)) {
      this.#setTimer(listener.config.listenerFiltersTimeoutMs || begunMs);
      this.#read();
    }
  }

  #read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.socket.on("data", onSocketData);
    this.socket.on("end", onSocketEnd);
    this.socket.resume();
  }

  #stopReading(): void {
    if (!this.#isReading) return;
    this.#isReading = false;
    this.socket.off("data", onSocketData);
    this.socket.off("end", onSocketEnd);
    this.socket.pause();
  }

  #setTimer(delayMs: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = delayMs > 0 ? this.#environment.loop.after(delayMs, () => this.#timedOut()) : null;
  }

  /** For the socket's listeners. */
  received(data: Buffer): void {
    const bytes = this.#append(data);
    if (!this.#hold(this.#room?.length ?? bytes.length)) {
      this.#listener.counters.overloadRejects++;
      this.#refuse("too many bytes are held of connections whose filter chain is not known");
      return;
    }
    if (this.#step === PROXY) this.#readProxyHeader(bytes);
    else if (this.#step === INSPECT && !this.#look(bytes) && this.#cancelTimer === null) this.#setTimer(begunMs);
  }

  #hold(bytes: number): boolean {
    const isWithin = this.#environment.undecided.change(bytes - this.#heldBytes);
    this.#heldBytes = bytes;
    return isWithin;
  }

  #append(data: Buffer): Buffer {
    const held = this.#bytes;
    if (held === null) {
      this.#bytes = data;
      return data;
    }
    const length = held.length + data.length;
    if (this.#room === null || this.#room.length < length) {
      const room = Buffer.allocUnsafe(Math.max(512, 2 * length));
      held.copy(room);
      this.#room = room;
    }
    data.copy(this.#room, held.length);
    this.#bytes = this.#room.subarray(0, length);
    return this.#bytes;
  }

  #readProxyHeader(bytes: Buffer): void {
    const config = this.#listener.config.proxyProtocol!;
    const parsed = parseProxyHeader(bytes);
    if (parsed.status === PROXY_NEED_MORE) return;
    const { stats } = this.#environment.network.http;
    const count = (name: string): void => stats.counter(config.statPrefix + name).add();
    if (parsed.status === PROXY_ABSENT) {
      count(config.allowsAbsent ? "not_found_allowed" : "not_found_disallowed");
      if (config.allowsAbsent) this.#afterProxyHeader();
      else this.#refuse("the connection does not begin with a PROXY header");
      return;
    }
    const version = bytes[0] === 13 ? 2 : 1;
    if (config.disallowedVersions.has(version)) {
      count(config.allowsAbsent ? "not_found_allowed" : `versions.v${version}.disallowed`);
      if (config.allowsAbsent) this.#afterProxyHeader();
      else this.#refuse(`PROXY headers of version ${version} are not allowed here`);
      return;
    }
    if (parsed.status === PROXY_MALFORMED) {
      count(`versions.v${version}.error`);
      this.#refuse(`the PROXY header is not valid: ${parsed.reason}`);
      return;
    }
    count(`versions.v${version}.found`);
    this.#takeProxyHeader(config, parsed.header!);
    this.#bytes = parsed.length === bytes.length ? null : bytes.subarray(parsed.length);
    this.#room = null;
    this.#afterProxyHeader();
  }

  #takeProxyHeader(config: ProxyProtocolConfig, header: ProxyHeader): void {
    const { info } = this;
    for (const tlv of header.tlvs) {
      const passes = config.passesTlv;
      if (passes?.(tlv.type) === true) info.proxyTlvs = [...info.proxyTlvs, tlv];
      for (const rule of config.rules) {
        if (rule.tlvType === tlv.type) info.setMetadata(rule.namespace, rule.key, tlv.value.toString("latin1"));
      }
    }
    const { addresses } = header;
    if (addresses === null) return;
    info.sourceIp = addresses.source;
    info.sourcePort = addresses.sourcePort;
    if (addresses.destination === info.destinationIp && addresses.destinationPort === info.destinationPort) return;
    info.destinationIp = addresses.destination;
    info.destinationPort = addresses.destinationPort;
    info.isRedirected = true;
    info.isOwnAddress = false;
  }

  #afterProxyHeader(): void {
    this.#setTimer(0);
    this.#stopReading();
    this.#route();
  }

  /** False: more bytes are needed. */
  #look(bytes: Buffer): boolean {
    const outcome = this.#inspection!.look(bytes, this.info);
    if (outcome === INSPECT_MORE) return false;
    this.#setTimer(0);
    this.#stopReading();
    if (outcome === INSPECT_DONE) this.#chooseChain();
    else this.#refuse("the TLS hello is larger than 16 KiB or in too many pieces");
    return true;
  }

  /** The client ended before it had said enough: there is nothing to forward. */
  ended(): void {
    this.#listener.counters.remoteCloses++;
    this.socket.destroy();
  }

  #timedOut(): void {
    this.#cancelTimer = null;
    const { config, counters } = this.#listener;
    const inspection = this.#inspection;
    if (this.#step === PROXY) {
      counters.filterTimeouts++;
      if (config.proxyProtocol!.allowsAbsent && this.#bytes === null && config.continueOnListenerFiltersTimeout) {
        this.#afterProxyHeader();
      } else {
        this.#refuse("the PROXY header did not come in time");
      }
      return;
    }
    if (inspection === null) return;
    if (this.#bytes !== null) {
      // Only a hello must be complete by now; a line of text may be typed.
      if (!inspection.isInHello && config.listenerFiltersTimeoutMs === 0) return;
      counters.filterTimeouts++;
      this.#refuse(
        inspection.isInHello
          ? "the TLS hello was not complete in time"
          : `what protocol it is could not be told within ${config.listenerFiltersTimeoutMs} ms`,
      );
      return;
    }
    counters.filterTimeouts++;
    if (!config.continueOnListenerFiltersTimeout) {
      this.#refuse(`no byte came within ${config.listenerFiltersTimeoutMs} ms`);
      return;
    }
    this.#stopReading();
    this.info.transportProtocol = "raw_buffer";
    this.#chooseChain(inspection);
  }

  /** `late`: nothing was seen; what comes must not be of a kind that another chain is for. */
  #chooseChain(late: Inspection | null = null): void {
    const { info, socket } = this;
    if (socket.destroyed) return;
    if (info.transportProtocol === "") info.transportProtocol = "raw_buffer";
    const listener = this.#listener;
    const chain = matchFilterChain(listener.config, info, null);
    if (chain === null) {
      listener.counters.noFilterChainMatches++;
      this.#refuse(listener.whyNoChain(info));
      return;
    }
    info.filterChainName = chain.name;
    if (chain.tls === null) {
      const bytes = this.#leave();
      const tap = late === null ? null : new LateInspection(late, listener.config, chain, info);
      listener.serve(this, socket, chain, { bytes, tap });
      return;
    }
    this.#step = WAITING;
    const { handshakes } = this.#environment;
    if (handshakes.enter(() => this.#secure(chain))) return;
    listener.counters.overloadRejects++;
    this.#refuse("too many TLS handshakes are in progress");
  }

  #secure(chain: FilterChainConfig): void {
    const { loop, handshakes } = this.#environment;
    try {
      if (this.#step === WAITING && !this.socket.destroyed) {
        this.#handshake(chain);
        return;
      }
    } catch (error) {
      loop.onBroken(error);
      this.#over();
      this.socket.destroy();
    }
    handshakes.leave();
  }

  #handshake(chain: FilterChainConfig): void {
    const { socket, info } = this;
    const { loop, contexts, handshakes } = this.#environment;
    this.#step = HANDSHAKE;
    if (this.#bytes !== null) socket.unshift(this.#bytes);
    this.#bytes = null;
    this.#room = null;
    const limitMs = chain.connectTimeoutMs || handshakeMs;
    let isOver = false;
    const cancelTimer = loop.after(limitMs, () => {
      isOver = true;
      handshakes.leave();
      this.#listener.counters.tlsErrors++;
      this.#refuse(`TLS handshake: not done within ${limitMs} ms`);
    });
    const handshake = {
      config: chain.tls!,
      contexts,
      offeredAlpn: info.applicationProtocols,
      spokenAlpn: spokenAlpn(chain),
      now: loop.clock.now(),
    };
    handshakeDownstream(socket, info, handshake, (secured, failure) => {
      cancelTimer();
      if (isOver) return;
      handshakes.leave();
      loop.enter();
      try {
        this.#secured(secured, chain, failure);
      } catch (error) {
        loop.onBroken(error);
        secured.destroy();
      } finally {
        loop.leave();
      }
    });
  }

  #secured(secured: Socket, chain: FilterChainConfig, failure: SocketFailure | null): void {
    const { counters } = this.#listener;
    if (failure !== null) {
      countTlsFailure(counters, failure.code);
      this.#refuse(`TLS handshake: ${failure.words}`, failure.transportReason);
      secured.destroy();
      return;
    }
    counters.tlsHandshakes++;
    if (this.info.peer === null) counters.tlsWithoutCertificate++;
    if (secured instanceof TLSSocket && secured.isSessionReused()) counters.tlsSessionsReused++;
    this.#leave();
    this.#listener.serve(this, secured, chain, { bytes: null, tap: null });
  }

  /** Ends this object's part: gives back the bytes that were read. */
  #leave(): Buffer | null {
    const bytes = this.#bytes;
    this.#over();
    return bytes;
  }

  #over(): void {
    if (this.#step === OVER) return;
    this.#step = OVER;
    this.#setTimer(0);
    this.#stopReading();
    this.#bytes = null;
    this.#room = null;
    if (this.#heldBytes > 0) this.#hold(0);
    this.socket[owner] = undefined;
    this.socket.off("close", onSocketClose);
    this.#listener.forget(this);
  }

  #refuse(cause: string, transportReason?: string): void {
    if (this.#step === OVER) return;
    this.#listener.logRefusal(this.info, cause, transportReason);
    this.#over();
    this.socket.destroy();
  }

  /** The socket is gone. A handshake tells its end itself, with the reason. */
  closed(): void {
    if (this.#step !== HANDSHAKE) this.#over();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

function onSocketData(this: OpeningSocket, data: Buffer): void {
  const connection = this[owner];
  if (connection === undefined) return;
  const { loop } = connection;
  loop.enter();
  try {
    connection.received(data);
  } catch (error) {
    loop.onBroken(error);
    this.destroy();
  } finally {
    loop.leave();
  }
}

function onSocketEnd(this: OpeningSocket): void {
  this[owner]?.ended();
}

function onSocketClose(this: OpeningSocket): void {
  this[owner]?.closed();
}
