// bench/RESULTS.md: every figure with its runs, and what it was measured with. Absolute times mean little from machine
// to machine; ratios against the peer of the same run do.
import { execFileSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import type { BenchResult } from "./result.ts";

/** What was on while the figures were taken, by benchmark. */
const notes: Readonly<Record<string, string>> = {
  "sidecar-pair": `HTTP/1.1, 1 KiB answers of nginx, \`wrk -t1\`, keep-alive, all on loopback. Ours: two \`outrigger proxy\` processes from
static Envoy bootstraps, TLS 1.3 between them with P-256 certificates verified both ways and SPIFFE ids checked, an RBAC
filter that allows by principal, Istio's metrics with their full label set, x-request-id and x-forwarded-client-cert; access
log off, as in Istio's default. Peer: two nginx processes (one worker each) with TLS 1.3 and the client's certificate
verified (the server's is not), without any policy or metric, access log off. CPU is user and system time of both hops from /proc, divided by
requests and by two. A B A B; the median of the runs is what counts.

What it says: a hop costs more than twice an nginx hop today. Our two sidecars speak HTTP/1.1 over one TLS connection for
each request in flight, and a profile of a hop shows most of its time in the write system call. Many requests over one
HTTP/2 connection, written once per turn of the event loop, is the design that shares this cost; it is not there yet.`,
};

export function renderReport(results: readonly BenchResult[], date: Date): string {
  const names = [...new Set(results.map((result) => result.name))];
  return `# Measured

${date.toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node.js ${process.versions.node}, ${nginxVersion()}.
\`npm run bench\` takes all figures again and rewrites this page; \`npm run bench -- NAME --json\` prints one as JSON lines.

${names
  .map((name) =>
    renderSection(
      name,
      results.filter((result) => result.name === name),
    ),
  )
  .join("\n\n")}
`;
}

function renderSection(name: string, results: readonly BenchResult[]): string {
  const rows = results.map(
    ({ case: benchCase, unit, ours, peer, ratio, runs }) =>
      `| ${benchCase} | ${ours} | ${peer} | **${ratio}** | ${unit} | ${runs.map((run) => run.join(" / ")).join(", ")} |`,
  );
  return `## ${name}

${notes[name] ?? ""}

| case | ours | peer | ratio | unit | runs (ours / peer) |
|---|---|---|---|---|---|
${rows.join("\n")}`;
}

function nginxVersion(): string {
  const lines = execFileSync("sh", ["-c", "nginx -v 2>&1"], { encoding: "utf8" });
  return lines.replace("nginx version: ", "").trim();
}
