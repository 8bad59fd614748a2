// Proposed policies as YAML that can be applied as it is, and a replay as text.
import { stringify } from "yaml";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { renderTable } from "../../render/table.ts";
import type { ObservedWorkload } from "../../traffic/observed-traffic.ts";
import type { Replay, ReplayedRow } from "./replay.ts";

export function renderPolicies(
  policies: readonly KubernetesObject[],
  notes: readonly string[],
  observed: readonly ObservedWorkload[],
): string {
  const comments = [windowText(observed), ...notes].map((line) => `# ${line}\n`).join("");
  return `${comments}${policies.map((policy) => `---\n${stringify(policy, { lineWidth: 0 })}`).join("")}`;
}

export function windowText(observed: readonly ObservedWorkload[]): string {
  const since = observed.map((it) => it.since).sort()[0];
  if (since === undefined) return "No traffic was observed.";
  const until = observed
    .map((it) => it.until)
    .sort()
    .at(-1);
  return `Observed from ${since} to ${until}, in ${observed.length} workloads; what was not asked for meanwhile is not in it.`;
}

export function renderReplay({ rows, allowed, denied, notJudged }: Replay, notes: readonly string[]): string {
  const shown = rows.filter(({ verdict }) => verdict !== "allowed");
  const headings = ["VERDICT", "WORKLOAD", "PORT", "SOURCE", "METHOD", "PATH", "COUNT", "REASON"];
  const cells = shown.map((row) => [
    row.verdict,
    row.workload,
    String(row.port),
    sourceText(row),
    row.method || "-",
    `${row.host}${row.path}` || "-",
    String(row.count),
    row.reason,
  ]);
  const total = allowed + denied + notJudged;
  const summary =
    `${denied} of ${total} requests and connections would have been denied` +
    (notJudged === 0 ? "." : `; ${notJudged} depend on more than was observed, and are not judged.`);
  return [...(shown.length === 0 ? [] : [renderTable(headings, cells)]), summary, ...notes].join("\n");
}

function sourceText({ source: { identity, isProven, workload, address } }: ReplayedRow): string {
  if (identity !== null && isProven) return identity;
  return workload === null ? address || "others" : `${workload} (${address}, no certificate)`;
}
