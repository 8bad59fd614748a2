// Statistics of listeners, by Envoy's names.
import type { ListenerDescription } from "../listener/listener-manager.ts";
import { histogramStat, type StatValue } from "../stats/stats.ts";
import { formatAddress } from "../transport/connection-info.ts";

export function listenerStats(listeners: readonly ListenerDescription[]): StatValue[] {
  return listeners.flatMap((listener) => {
    const { config, port, counters, activeConnections, openingConnections } = listener;
    const name = config.statPrefix || formatAddress(config.host, port).replaceAll(":", "_");
    const values: readonly [StatValue["kind"], string, number][] = [
      ["counter", "downstream_cx_total", counters.connectionsTotal],
      ["gauge", "downstream_cx_active", activeConnections],
      ["counter", "downstream_cx_destroy", counters.connectionsTotal - activeConnections],
      ["counter", "downstream_cx_overflow", counters.overflows],
      ["counter", "downstream_global_cx_overflow", counters.globalOverflows],
      ["counter", "downstream_cx_overload_reject", counters.overloadRejects],
      ["gauge", "downstream_pre_cx_active", openingConnections],
      ["counter", "downstream_pre_cx_timeout", counters.filterTimeouts],
      ["counter", "downstream_listener_filter_remote_close", counters.remoteCloses],
      ["counter", "no_filter_chain_match", counters.noFilterChainMatches],
      ["counter", "ssl.handshake", counters.tlsHandshakes],
      ["counter", "ssl.connection_error", counters.tlsErrors],
      ["counter", "ssl.session_reused", counters.tlsSessionsReused],
      ["counter", "ssl.no_certificate", counters.tlsWithoutCertificate],
      ["counter", "ssl.fail_verify_no_cert", counters.tlsNoCertificate],
      ["counter", "ssl.fail_verify_error", counters.tlsUntrusted],
      ["counter", "ssl.fail_verify_san", counters.tlsWrongName],
      ["counter", "ssl.fail_verify_cert_hash", counters.tlsNotPinned],
    ];
    return [
      ...values.map(([kind, key, value]): StatValue => ({ kind, name: `listener.${name}.${key}`, value })),
      histogramStat(`listener.${name}.downstream_cx_length_ms`, listener.connectionTimes),
    ];
  });
}
