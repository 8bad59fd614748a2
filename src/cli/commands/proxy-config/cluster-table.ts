// `proxy-config clusters`.
import { renderTable } from "../../render/table.ts";
import { parseClusterName } from "./cluster-name.ts";
import { type Json, object, text } from "./config-dump.ts";

export interface ClusterFilter {
  readonly fqdn: string | undefined;
  readonly port: string | undefined;
  readonly subset: string | undefined;
  readonly direction: string | undefined;
}

export function selectClusters(clusters: readonly Json[], filter: ClusterFilter): Json[] {
  return clusters.filter((cluster) => {
    const name = parseClusterName(text(cluster["name"]));
    return (
      (filter.fqdn === undefined || name.host === filter.fqdn) &&
      (filter.port === undefined || name.port === filter.port) &&
      (filter.subset === undefined || name.subset === filter.subset) &&
      (filter.direction === undefined || name.direction === filter.direction)
    );
  });
}

export function clusterTable(clusters: readonly Json[]): string {
  const rows = clusters
    .map((cluster) => {
      const name = parseClusterName(text(cluster["name"]));
      return [name.host, name.port, name.subset, name.direction, typeOf(cluster), destinationRuleOf(cluster)];
    })
    .sort((a, b) => a.join("|").localeCompare(b.join("|")));
  return renderTable(["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"], rows);
}

function typeOf(cluster: Json): string {
  return text(cluster["type"]) || text(object(cluster["clusterType"])["name"]) || "STATIC";
}

// Istio's metadata: /apis/networking.istio.io/v1/namespaces/<ns>/destination-rule/<name>
function destinationRuleOf(cluster: Json): string {
  const config = text(object(object(object(cluster["metadata"])["filterMetadata"])["istio"])["config"]);
  const match = /\/namespaces\/([^/]+)\/destination-rule\/([^/]+)$/.exec(config);
  return match === null ? "" : `${match[2]}.${match[1]}`;
}
