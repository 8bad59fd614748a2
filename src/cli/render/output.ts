// `-o table|json|yaml`: one place that turns a command's answer into text.
import { stringify } from "yaml";
import { UsageError } from "../context.ts";

const outputFormats = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** Accepts istioctl's words too: `short` and `summary` are the table. */
export function parseOutputFormat(value: string): OutputFormat {
  if (value === "short" || value === "summary" || value === "wide") return "table";
  const format = outputFormats.find((known) => known === value);
  if (format === undefined)
    throw new UsageError(`unknown output format "${value}"; use one of ${outputFormats.join(", ")}`);
  return format;
}

export function renderOutput(format: OutputFormat, value: unknown, table: () => string): string {
  if (format === "json") return `${JSON.stringify(value, null, 2)}\n`;
  if (format === "yaml") return stringify(value, { lineWidth: 0 });
  return table();
}
