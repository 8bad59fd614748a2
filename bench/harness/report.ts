// bench/RESULTS.md: every figure with its runs, and what it was measured with. Absolute times mean little from machine
// to machine; ratios against the peer of the same run do.
import { execFileSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import type { Figure } from "./benchmark.ts";

/** Replaces the sections of the page that were measured again; sections stand in the order of `names`. */
export function updateReport(page: string, names: readonly string[], sections: ReadonlyMap<string, string>): string {
  const before = new Map(
    page
      .split(/^(?=## )/m)
      .slice(1)
      .map((text) => [/^## (.*)/.exec(text)?.[1] ?? "", text.trim()]),
  );
  const texts = names.flatMap((name) => sections.get(name) ?? before.get(name) ?? []);
  return `# Measured

\`npm run bench\` takes all figures again and rewrites this page; \`npm run bench -- NAME\` does it for one section, and with
\`--json\` prints its figures as JSON lines instead. Runs alternate A B A B; the median of the runs is what counts, and the
ratio is ours divided by the peer's of the same session.

${texts.join("\n\n")}
`;
}

export function renderSection(name: string, notes: string, figures: readonly Figure[], date: Date): string {
  const rows = figures.map(
    ({ case: benchCase, unit, against, ours, peer, ratio, runs }) =>
      `| ${benchCase} | ${ours} | ${peer} | **${ratio}** | ${unit} | ${against} | ${runs.map((run) => run.join(" / ")).join(", ")} |`,
  );
  return `## ${name}

${notes}

${date.toISOString().slice(0, 10)}, ${machine()}.

| case | ours | peer | ratio | unit | peer is | runs (ours / peer) |
|---|---|---|---|---|---|---|
${rows.join("\n")}`;
}

function machine(): string {
  const [first] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const peers = [version("nginx -v 2>&1"), version("haproxy -v | head -1")].filter((text) => text !== "");
  return `${cpus().length} × ${first?.model.trim() ?? "unknown processor"}, ${memory} GiB, Linux ${release()}, Node.js ${process.versions.node}, ${peers.join(", ")}`;
}

function version(command: string): string {
  const text = execFileSync("sh", ["-c", command], { encoding: "utf8" });
  return text.replace("nginx version: ", "").replace(/ - .*/s, "").trim();
}
