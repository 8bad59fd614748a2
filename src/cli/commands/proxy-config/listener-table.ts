// `proxy-config listeners`: one row for each filter chain, as istioctl shows it.
import { renderTable } from "../../render/table.ts";
import { type Json, list, object, text, texts } from "./config-dump.ts";

export interface ListenerFilter {
  readonly address: string | undefined;
  readonly port: string | undefined;
}

export function selectListeners(listeners: readonly Json[], filter: ListenerFilter): Json[] {
  return listeners.filter((listener) => {
    const { address, port } = addressOf(listener);
    return (
      (filter.address === undefined || filter.address === address) &&
      (filter.port === undefined || filter.port === port)
    );
  });
}

export function listenerTable(listeners: readonly Json[]): string {
  const rows = [...listeners].sort(byPort).flatMap((listener) => {
    const { address, port } = addressOf(listener);
    const chains = [...list(listener["filterChains"]), ...defaultChain(listener)];
    return chains.map((chain) => [
      address,
      port,
      describeMatch(object(chain["filterChainMatch"])),
      describeDestination(chain),
    ]);
  });
  return renderTable(["ADDRESSES", "PORT", "MATCH", "DESTINATION"], rows);
}

function addressOf(listener: Json): { address: string; port: string } {
  const socket = object(object(listener["address"])["socketAddress"]);
  return { address: text(socket["address"]), port: text(socket["portValue"]) };
}

function defaultChain(listener: Json): Json[] {
  const chain = object(listener["defaultFilterChain"]);
  return Object.keys(chain).length > 0 ? [chain] : [];
}

function describeMatch(match: Json): string {
  const parts: string[] = [];
  const names = texts(match["serverNames"]);
  if (names.length > 0) parts.push(`SNI: ${names.join(",")}`);
  const transport = text(match["transportProtocol"]);
  if (transport !== "") parts.push(`Trans: ${transport}`);
  const protocols = texts(match["applicationProtocols"]);
  if (protocols.length > 0) parts.push(`App: ${protocols.join(",")}`);
  const ranges = list(match["prefixRanges"]).map(
    (range) => `${text(range["addressPrefix"])}/${text(range["prefixLen"]) || "0"}`,
  );
  const port = text(match["destinationPort"]);
  if (ranges.length > 0 || port !== "")
    parts.push(`Addr: ${ranges.length > 0 ? ranges.join(",") : "*"}${port === "" ? "" : `:${port}`}`);
  return parts.length === 0 ? "ALL" : parts.join("; ");
}

function describeDestination(chain: Json): string {
  for (const filter of list(chain["filters"])) {
    const config = object(filter["typedConfig"]);
    const type = text(config["@type"]);
    if (type.endsWith("HttpConnectionManager")) return describeRoutes(config);
    if (type.endsWith("TcpProxy")) return describeCluster(config);
  }
  return "Non-HTTP/Non-TCP";
}

function describeRoutes(config: Json): string {
  const name = text(object(config["rds"])["routeConfigName"]);
  if (name !== "") return `Route: ${name}`;
  const routes = list(object(config["routeConfig"])["virtualHosts"]).flatMap((host) => list(host["routes"]));
  return `Inline Route: ${routes.map((route) => describeRouteMatch(object(route["match"]))).join(", ")}`;
}

function describeCluster(config: Json): string {
  const weighted = list(object(config["weightedClusters"])["clusters"]);
  if (weighted.length > 0)
    return `Clusters: ${weighted.map((cluster) => `${text(cluster["name"])} ${text(cluster["weight"])}`).join(", ")}`;
  const name = text(config["cluster"]);
  return name.includes("|") ? `Cluster: ${name}` : name;
}

export function describeRouteMatch(match: Json): string {
  const path = text(match["path"]);
  const regex = text(object(match["safeRegex"])["regex"]);
  const separated = text(match["pathSeparatedPrefix"]);
  const where =
    path !== ""
      ? path
      : regex !== ""
        ? `regex ${regex}`
        : separated !== ""
          ? `PathPrefix:${separated}`
          : `${text(match["prefix"])}*`;
  const conditions = list(match["headers"]).map((header) => text(header["name"]));
  return conditions.length === 0 ? where : `${where} (${conditions.join(", ")})`;
}

function byPort(left: Json, right: Json): number {
  const a = addressOf(left);
  const b = addressOf(right);
  return Number(a.port) - Number(b.port) || a.address.localeCompare(b.address);
}
