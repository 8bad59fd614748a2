// Envoy's statistics in Prometheus' text format. What a name says of its place (the cluster, the listener, the connection
// manager, the status) becomes a label, by Envoy's well-known tags.
import type { StatValue } from "../stats/stats.ts";
import { histogramSeries } from "./histogram-text.ts";

interface Series {
  readonly family: string;
  readonly labels: string;
  readonly stat: StatValue;
}

/** Families in the order of their first series. */
export function prometheusStats(stats: readonly StatValue[], clusterNames: readonly string[]): string {
  const names = new ClusterNames(clusterNames);
  const byFamily = new Map<string, Series[]>();
  for (const stat of stats) {
    const { family, labels } = tagged(stat.name, names);
    const series = { family: `envoy_${family.replaceAll(/[^A-Za-z0-9_]/g, "_")}`, labels, stat };
    const before = byFamily.get(series.family);
    if (before === undefined) byFamily.set(series.family, [series]);
    else before.push(series);
  }
  let text = "";
  for (const [family, all] of byFamily) {
    text += `# TYPE ${family} ${all[0]?.stat.kind}\n`;
    for (const { labels, stat } of all) {
      if (stat.kind === "histogram") text += histogramSeries(family, labels, stat.histogram ?? null);
      else text += `${family}{${labels}} ${stat.value}\n`;
    }
  }
  return text;
}

/** Names of clusters have dots in them: which part of a statistic is the name is only known from the names. */
class ClusterNames {
  readonly #names: ReadonlySet<string>;

  constructor(names: readonly string[]) {
    this.#names = new Set(names);
  }

  /** The longest one that the text begins with, before a dot; undefined for none. */
  find(text: string): string | undefined {
    for (let dot = text.lastIndexOf("."); dot > 0; dot = text.lastIndexOf(".", dot - 1)) {
      const name = text.slice(0, dot);
      if (this.#names.has(name)) return name;
    }
    return undefined;
  }
}

function tagged(name: string, clusters: ClusterNames): Omit<Series, "stat"> {
  if (name.startsWith("cluster.")) {
    const cluster = clusters.find(name.slice("cluster.".length));
    if (cluster !== undefined) {
      const rest = name.slice("cluster.".length + cluster.length + 1);
      return withStatus(`cluster.${rest}`, [["envoy_cluster_name", cluster]]);
    }
  }
  const listener = /^listener\.(.+?)\.((?:downstream_|no_filter_chain_match$|ssl\.).*)$/.exec(name);
  if (listener !== null) return withStatus(`listener.${listener[2]}`, [["envoy_listener_address", listener[1] ?? ""]]);
  const manager = /^http\.(.+?)\.((?:downstream_|[a-z]\w*\.).*)$/.exec(name);
  if (manager !== null) {
    return withStatus(`http.${manager[2]}`, [["envoy_http_conn_manager_prefix", manager[1] ?? ""]]);
  }
  return { family: name, labels: "" };
}

type Tag = readonly [label: string, value: string];

/** `upstream_rq_503` and `upstream_rq_5xx`: the status is a label too. */
function withStatus(family: string, tags: readonly Tag[]): Omit<Series, "stat"> {
  const status = /_rq_(\d)(\d\d|xx)$/.exec(family);
  if (status === null) return { family, labels: rendered(tags) };
  const [end, digit = "", rest = ""] = status;
  const own: Tag = rest === "xx" ? ["envoy_response_code_class", digit] : ["envoy_response_code", digit + rest];
  const base = family.slice(0, -end.length);
  return { family: `${base}_rq${rest === "xx" ? "_xx" : ""}`, labels: rendered([own, ...tags]) };
}

function rendered(tags: readonly Tag[]): string {
  return tags
    .map(
      ([label, value]) => `${label}="${value.replaceAll(/[\\"\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`))}"`,
    )
    .join(",");
}
