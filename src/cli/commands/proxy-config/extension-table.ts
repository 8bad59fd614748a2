// `proxy-config ecds`: settings of filters that came by themselves.
import { renderTable } from "../../render/table.ts";
import { type Json, object, text } from "./config-dump.ts";

export function extensionTable(extensions: readonly Json[]): string {
  const rows = extensions.map((extension) => [
    text(extension["name"]),
    text(object(extension["typedConfig"])["@type"]).replace("type.googleapis.com/", ""),
  ]);
  return renderTable(["ECDS NAME", "TYPE"], rows);
}
