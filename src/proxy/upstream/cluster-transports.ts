// How a cluster's endpoints are connected to: addresses, source address, and TLS settings, which are made once per
// transport and wish and live as long as the cluster's configuration.
import { isIP, type Socket } from "node:net";
import type { Logger } from "#base/log/log.ts";
import type { SocketCalls } from "#base/net/socket-calls.ts";
import type { ClusterConfig, EndpointConfig, TransportSocketMatch } from "../config/cluster.ts";
import type { ForwardProxyConfig } from "../config/dns-cache.ts";
import type { HealthCheckConfig } from "../config/health-check.ts";
import { hostNameMatcher } from "../config/host-name-matcher.ts";
import { type UpstreamTlsConfig, verifiesChain } from "../config/tls.ts";
import { chooseTransport } from "../decide/transport.ts";
import { offeredAlpn, type ProtocolWish } from "../decide/upstream-protocol.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { TlsContexts } from "../transport/tls-contexts.ts";
import { UpstreamTls } from "../transport/upstream-tls.ts";
import type { ConnectTarget } from "./connect.ts";
import { proxyHeaderFor } from "./proxy-header.ts";
import { socketPreparation } from "./socket-options.ts";

interface TransportsEnvironment {
  readonly loop: EventLoop;
  readonly contexts: TlsContexts;
  readonly calls: SocketCalls;
  readonly log: Logger;
}

function proxyHeader(transport: TransportSocketMatch | null, client: ConnectionInfo | null): Buffer | null {
  return transport?.proxyProtocol == null ? null : proxyHeaderFor(transport.proxyProtocol, client);
}

interface Secured {
  readonly tls: UpstreamTls;
  /** Made once: it is looked up for each request. */
  readonly poolKey: string;
}

type ByTransport = Map<TransportSocketMatch, Map<ProtocolWish, Secured>>;

export class ClusterTransports {
  readonly #config: ClusterConfig;
  readonly #loop: EventLoop;
  readonly #contexts: TlsContexts;
  readonly #secured: ByTransport = new Map();
  /** Where each host has a server name of its own. An endpoint's configuration is made anew with its address. */
  readonly #byHost = new WeakMap<EndpointConfig, ByTransport>();

  /** Puts the cluster's options on a socket that connects; null: there are none. */
  readonly #prepare: ((socket: Socket) => void) | null;

  constructor(config: ClusterConfig, { loop, contexts, calls, log }: TransportsEnvironment) {
    this.#config = config;
    this.#loop = loop;
    this.#contexts = contexts;
    this.#prepare = socketPreparation(config, calls, log);
  }

  /** HOT: per request. Connections under equal keys are interchangeable. Where endpoints are told the client, each has its own. */
  poolKey(endpoint: EndpointConfig, wish: ProtocolWish, client: ConnectionInfo | null): string {
    const transport = chooseTransport(this.#config, endpoint, null);
    const key = transport?.tls == null ? wish.key : this.#secure(transport, wish, endpoint).poolKey;
    const header = proxyHeader(transport, client);
    return header === null ? key : `${key} ${header.toString("latin1")}`;
  }

  /** How to connect to that endpoint for a client, or for ourselves. */
  target(endpoint: EndpointConfig, wish: ProtocolWish, client: ConnectionInfo | null): ConnectTarget {
    const { host, port, additionalAddresses } = endpoint;
    const transport = chooseTransport(this.#config, endpoint, null);
    return {
      host,
      port,
      otherHosts: additionalAddresses,
      bindAddress: this.#bindAddressFor(host),
      prepare: this.#prepare,
      proxyHeader: proxyHeader(transport, client),
      timeoutMs: this.#config.connectTimeoutMs,
      bufferLimitBytes: this.#config.bufferLimitBytes,
      tls: transport?.tls == null ? null : this.#secure(transport, wish, endpoint).tls,
    };
  }

  /** How to connect to ask an endpoint for its health. The check has its own timeout. */
  checkTarget(endpoint: EndpointConfig, check: HealthCheckConfig, wish: ProtocolWish): ConnectTarget {
    const { host, port, key, healthCheck, transportMatch } = endpoint;
    const labels = { key, transportMatch: check.transportMatch ?? transportMatch };
    const transport = chooseTransport(this.#config, labels, null);
    const address = healthCheck?.host || host;
    return {
      host: address,
      port: healthCheck?.port || port,
      otherHosts: [],
      bindAddress: this.#bindAddressFor(address),
      prepare: this.#prepare,
      proxyHeader: proxyHeader(transport, null),
      timeoutMs: 0,
      bufferLimitBytes: this.#config.bufferLimitBytes,
      tls: transport?.tls == null ? null : this.#secure(transport, wish, endpoint).tls,
    };
  }

  /** The source address must be of the destination's family. */
  #bindAddressFor(host: string): string | null {
    const address = this.#config.bindAddress;
    if (address === null || isIP(address) !== isIP(host)) return null;
    return address;
  }

  #securedFor(endpoint: EndpointConfig): ByTransport {
    if (this.#config.forwardProxy === null) return this.#secured;
    let own = this.#byHost.get(endpoint);
    if (own === undefined) {
      own = new Map();
      this.#byHost.set(endpoint, own);
    }
    return own;
  }

  #secure(transport: TransportSocketMatch, wish: ProtocolWish, endpoint: EndpointConfig): Secured {
    const secureds = this.#securedFor(endpoint);
    let byWish = secureds.get(transport);
    if (byWish === undefined) {
      byWish = new Map();
      secureds.set(transport, byWish);
    }
    let secured = byWish.get(wish);
    if (secured === undefined) {
      const { forwardProxy } = this.#config;
      const config = forwardProxy === null ? transport.tls! : forHost(transport.tls!, forwardProxy, endpoint.hostname);
      const now = (): number => this.#loop.clock.now();
      const tls = new UpstreamTls(config, offeredAlpn(wish, config), this.#contexts, now);
      secured = { tls, poolKey: `${wish.key} ${tls.key}` };
      byWish.set(wish, secured);
    }
    return secured;
  }
}

/** What a dynamic forward proxy tells and asks a host, as far as its settings leave that to the host's name. */
function forHost(tls: UpstreamTlsConfig, forwardProxy: ForwardProxyConfig, host: string): UpstreamTlsConfig {
  const verifies = forwardProxy.verifiesHostName && verifiesChain(tls);
  return {
    ...tls,
    sni: forwardProxy.sendsHostName && tls.sni === "" ? host : tls.sni,
    sanMatchers: verifies ? [hostNameMatcher(host)] : tls.sanMatchers,
  };
}
