// `proxy-config bootstrap -o short`: who the proxy is and which versions it has.
import { renderTable } from "../../render/table.ts";
import { type Json, object, text } from "./config-dump.ts";

export function bootstrapSummary(section: Json): string {
  const node = object(object(section["bootstrap"])["node"]);
  const metadata = object(node["metadata"]);
  return renderTable(
    ["NODE", "CLUSTER", "ISTIO VERSION"],
    [[text(node["id"]), text(node["cluster"]), text(metadata["ISTIO_VERSION"]) || "-"]],
  );
}
