// `proxy-config routes`: one row for each route of each virtual host.
import { renderTable } from "../../render/table.ts";
import { type Json, list, object, text, texts } from "./config-dump.ts";
import { describeRouteMatch } from "./listener-table.ts";

export function routeTable(routes: readonly Json[]): string {
  const rows = [...routes]
    .sort((a, b) => text(a["name"]).localeCompare(text(b["name"]), "en", { numeric: true }))
    .flatMap((config) =>
      list(config["virtualHosts"]).flatMap((host) => {
        const entries = list(host["routes"]);
        const name = [text(config["name"]), text(host["name"]), shortDomains(texts(host["domains"]))];
        if (entries.length === 0) return [[...name, "/*", "404"]];
        return entries.map((route) => [...name, describeRouteMatch(object(route["match"])), virtualServiceOf(route)]);
      }),
    );
  return renderTable(["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"], rows);
}

function shortDomains(domains: readonly string[]): string {
  return domains.length <= 2 ? domains.join(", ") : `${domains.slice(0, 2).join(", ")} + ${domains.length - 2} more...`;
}

// Istio's metadata: /apis/networking.istio.io/v1/namespaces/<ns>/virtual-service/<name>
function virtualServiceOf(route: Json): string {
  const config = text(object(object(object(route["metadata"])["filterMetadata"])["istio"])["config"]);
  const match = /\/namespaces\/([^/]+)\/virtual-service\/([^/]+)$/.exec(config);
  return match === null ? "" : `${match[2]}.${match[1]}`;
}
