// Sends a connection to the cluster that is named like its SNI: east-west gateways pass TLS on so.
import { SniClusterSchema } from "#wire/gen/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster_pb.ts";
import { noOutcome } from "../../../config/listener.ts";
import { CONTINUE, defineNetworkFilter, type NetworkFilterType, settingsFrom, sharedFilter } from "../../filter.ts";

export const sniCluster: NetworkFilterType = defineNetworkFilter<Record<never, never>>({
  type: "sni_cluster",
  messages: [settingsFrom(SniClusterSchema, () => ({}))],
  readsServerName: () => true,
  decide:
    () =>
    ({ subject }) => ({ ...noOutcome, cluster: subject.requestedServerName || null }),
  configure: () =>
    sharedFilter({
      onNewConnection: (connection) => {
        if (connection.info.serverName !== "") connection.cluster = connection.info.serverName;
        return CONTINUE;
      },
    }),
});
