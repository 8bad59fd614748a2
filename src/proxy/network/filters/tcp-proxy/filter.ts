// tcp_proxy: the terminal filter that forwards bytes to a cluster.
import { TcpProxySchema } from "#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { noOutcome } from "../../../config/listener.ts";
import { addStep } from "../../../config/trace.ts";
import { drawWeighted } from "../../../decide/route.ts";
import { writeConnectionLog } from "../../connection-log.ts";
import { defineNetworkFilter, type NetworkFilterType, settingsFrom } from "../../filter.ts";
import { TcpProxyConnection } from "./connection.ts";
import { parseTcpProxy, type TcpProxySettings } from "./settings.ts";
import { tcpProxyStats } from "./stats.ts";

export const tcpProxy: NetworkFilterType = defineNetworkFilter<TcpProxySettings>({
  type: "tcp_proxy",
  messages: [settingsFrom(TcpProxySchema, parseTcpProxy)],
  clusters: (settings) => settings.clusters.map(({ name }) => name),
  decide:
    ({ clusters, totalWeight, tunnel }) =>
    ({ cluster, draw }, trace) => {
      const name = cluster ?? drawWeighted(clusters, totalWeight, draw)?.name ?? "";
      if (trace !== null)
        addStep(
          trace,
          "tcp proxy",
          `forwards bytes to ${name || "no cluster"}${tunnel === null ? "" : `, inside ${tunnel.method}`}`,
        );
      return { ...noOutcome, cluster: name, clusters: cluster === null ? clusters : [{ name, weight: 1 }] };
    },
  terminal: (settings, { environment }) => {
    const stats = tcpProxyStats(environment.http.stats, settings.statPrefix);
    return {
      serve: (connection) => {
        const proxy = new TcpProxyConnection(connection, settings, stats);
        proxy.start();
        return proxy;
      },
      refused: ({ info, transport, environment }) =>
        writeConnectionLog(settings.accessLog, environment, info, {
          receivedBytes: transport.bytesRead,
          sentBytes: transport.bytesWritten,
          type: "TcpConnectionEnd",
        }),
    };
  },
});
