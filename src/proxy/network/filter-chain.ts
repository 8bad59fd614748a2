// The network filters of one filter chain, applied to a connection that is ready for them (after TLS): RBAC filters in
// order, then the terminal filter takes the connection over.
import type { FilterChainConfig } from "../config/listener.ts";
import { Http1ServerConnection } from "../http/http1-server-connection.ts";
import type { ConnectionInfo } from "../transport/connection-info.ts";
import type { Transport } from "../transport/transport.ts";
import type { NetworkEnvironment } from "./environment.ts";
import { type ConnectionRefusal, refuseConnection } from "./rbac.ts";
import { TcpProxyConnection } from "./tcp-proxy.ts";

/** A connection in service. */
export interface ServedConnection {
  /** Asks it to end when it can do so without losing anything. */
  drain(): void;
  destroy(): void;
}

/** Protocols that an HTTP chain speaks after TLS. HTTP/2 joins here when its codec does. */
const httpAlpn: readonly string[] = ["http/1.1", "http/1.0", "istio-http/1.1", "istio-http/1.0"];
/** What a TCP chain may agree to: names only, without an exchange of their own. */
const tcpAlpn: readonly string[] = ["http/1.1", "http/1.0", "istio"];

export function spokenAlpn(chain: FilterChainConfig): readonly string[] {
  return chain.filters.at(-1)?.type === "http_connection_manager" ? httpAlpn : tcpAlpn;
}

/** Serves the connection; null when it was closed because a filter refused it. */
export function serveConnection(
  chain: FilterChainConfig,
  transport: Transport,
  info: ConnectionInfo,
  environment: NetworkEnvironment,
  onClosed: (connection: ServedConnection) => void,
): ServedConnection | null {
  const { log } = environment.http;
  let refusal: ConnectionRefusal | null = null;
  for (const filter of chain.filters) {
    if (filter.type === "rbac") refusal ??= refuseConnection(filter.config, info, log);
  }
  const terminal = chain.filters.at(-1);
  const hasStats = chain.filters.some((filter) => filter.type === "istio_stats");
  if (refusal !== null) {
    log.info(`refused ${info.sourceAddress} → ${info.destinationAddress}: ${refusal.cause}`);
  }
  if (terminal?.type === "tcp_proxy") {
    const proxy = new TcpProxyConnection(transport, info, {
      config: terminal.config,
      environment: environment.http,
      hasStats,
      onClosed,
    });
    if (refusal !== null) {
      proxy.refuse(refusal);
      return null;
    }
    proxy.start();
    return transport.isClosed ? null : proxy;
  }
  if (terminal?.type !== "http_connection_manager" || refusal !== null) {
    if (refusal === null) log.warn(`filter chain ${chain.name} has no terminal filter; closed ${info.sourceAddress}`);
    transport.destroy();
    return null;
  }
  const connection = new Http1ServerConnection(environment.managerFor(terminal.config), transport, info, onClosed);
  transport.attach(connection);
  return connection;
}
