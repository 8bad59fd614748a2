// The HTTP connection manager as a terminal filter: the border to the HTTP part.
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import type { HttpConnectionManagerConfig } from "../../../config/http.ts";
import { serveHttp } from "../../../http/codec-detector.ts";
import { defineNetworkFilter, type NetworkFilterType, settingsFrom } from "../../filter.ts";

export const httpConnectionManager: NetworkFilterType = defineNetworkFilter<HttpConnectionManagerConfig>({
  type: "http_connection_manager",
  messages: [settingsFrom(HttpConnectionManagerSchema, (message, place) => place.connectionManager(message))],
  http: (settings) => settings,
  terminal: (settings, { environment }) => ({
    serve: (connection) => {
      const { transport, info } = connection;
      const manager = environment.managerFor(settings);
      const { loop } = environment.http;
      manager.stats.connectionBegan();
      return serveHttp(manager, transport, info, () => {
        manager.stats.connectionEnded(info.startTimeMs, loop.now);
        connection.closed();
      });
    },
  }),
});
