// How a cluster's endpoints are connected to: addresses, source address, and TLS settings, which are made once per
// transport and wish and live as long as the cluster's configuration.
import { isIP } from "node:net";
import type { ClusterConfig, EndpointConfig, TransportSocketMatch } from "../config/cluster.ts";
import type { HealthCheckConfig } from "../config/health-check.ts";
import { chooseTransport } from "../decide/transport.ts";
import { offeredAlpn, type ProtocolWish } from "../decide/upstream-protocol.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import type { TlsContexts } from "../transport/tls-contexts.ts";
import { UpstreamTls } from "../transport/upstream-tls.ts";
import type { ConnectTarget } from "./connect.ts";

export class ClusterTransports {
  readonly #config: ClusterConfig;
  readonly #loop: EventLoop;
  readonly #contexts: TlsContexts;
  readonly #tls = new Map<TransportSocketMatch, Map<ProtocolWish, UpstreamTls>>();

  constructor(config: ClusterConfig, loop: EventLoop, contexts: TlsContexts) {
    this.#config = config;
    this.#loop = loop;
    this.#contexts = contexts;
  }

  /** Connections under equal keys are interchangeable. */
  poolKey(endpoint: EndpointConfig, wish: ProtocolWish): string {
    const transport = chooseTransport(this.#config, endpoint, null);
    return transport?.tls == null ? wish.key : `${wish.key} ${this.#tlsFor(transport, wish).key}`;
  }

  /** How to connect to that endpoint. */
  target(endpoint: EndpointConfig, wish: ProtocolWish): ConnectTarget {
    const { host, port, additionalAddresses } = endpoint;
    const transport = chooseTransport(this.#config, endpoint, null);
    return {
      host,
      port,
      otherHosts: additionalAddresses,
      bindAddress: this.#bindAddressFor(host),
      timeoutMs: this.#config.connectTimeoutMs,
      bufferLimitBytes: this.#config.bufferLimitBytes,
      tls: transport?.tls == null ? null : this.#tlsFor(transport, wish),
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
      timeoutMs: 0,
      bufferLimitBytes: this.#config.bufferLimitBytes,
      tls: transport?.tls == null ? null : this.#tlsFor(transport, wish),
    };
  }

  /** The source address must be of the destination's family. */
  #bindAddressFor(host: string): string | null {
    const address = this.#config.bindAddress;
    if (address === null || isIP(address) !== isIP(host)) return null;
    return address;
  }

  #tlsFor(transport: TransportSocketMatch, wish: ProtocolWish): UpstreamTls {
    let byWish = this.#tls.get(transport);
    if (byWish === undefined) {
      byWish = new Map();
      this.#tls.set(transport, byWish);
    }
    let tls = byWish.get(wish);
    if (tls === undefined) {
      const config = transport.tls!;
      tls = new UpstreamTls(config, offeredAlpn(wish, config), this.#contexts, () => this.#loop.clock.now());
      byWish.set(wish, tls);
    }
    return tls;
  }
}
