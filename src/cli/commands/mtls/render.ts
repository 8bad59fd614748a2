// A report on mutual TLS as text: a line for each port, then everything that STRICT would refuse.
import { formatOrigin } from "#base/issue.ts";
import { renderTable } from "../../render/table.ts";
import type { ClientGroup, MtlsReport, PortReport, RefusedCaller } from "./report.ts";

export function renderReport({ ports, unmeshed, observed }: MtlsReport): string {
  const headings = ["WORKLOAD", "PORT", "MODE", "FROM", "CLIENTS USE", "SEEN", "STRICT WOULD REFUSE"];
  const rows = ports.map((port) => [
    port.workload,
    String(port.port),
    port.mode,
    port.policy === null ? "-" : formatOrigin(port.policy),
    port.clients.map(groupText).join("; ") || "-",
    seenText(port),
    refusedText(port),
  ]);
  const lines = ports.flatMap(refusals);
  const sections = [ports.length === 0 ? "no workload with a sidecar\n" : renderTable(headings, rows)];
  if (lines.length > 0) sections.push(["STRICT would refuse:", ...lines, ""].join("\n"));
  if (unmeshed.length > 0) {
    sections.push(`Without a sidecar, and so without mutual TLS of the mesh: ${unmeshed.join(", ")}\n`);
  }
  const since = observed.map((it) => it.since).sort()[0];
  sections.push(
    since === undefined
      ? "No traffic was observed: this is what the configuration says.\n"
      : `Observed from ${since} to ${observed
          .map(({ until }) => until)
          .sort()
          .at(-1)}; a sidecar that starts anew counts anew.\n`,
  );
  return sections.join("\n");
}

function groupText({ uses, rule, workloads }: ClientGroup): string {
  const who = workloads.length === 1 ? "1 client" : `${workloads.length} clients`;
  return `${uses} (${who}${rule === null ? "" : `, ${formatOrigin(rule)}`})`;
}

const words = { mutual_tls: "mutual TLS", tls: "TLS", own_tls: "TLS of its own", plaintext: "plaintext" } as const;

function seenText({ connections }: PortReport): string {
  const kinds = ["mutual_tls", "tls", "own_tls", "plaintext"] as const;
  const seen = kinds.filter((kind) => connections[kind] > 0).map((kind) => `${connections[kind]} ${words[kind]}`);
  return seen.join(", ") || "-";
}

function refusedText({ strictWouldRefuse: { observed, configured } }: PortReport): string {
  const connections = observed.reduce((sum, caller) => sum + caller.connections, 0);
  const clients = new Set(configured.flatMap(({ workloads }) => workloads)).size;
  return (
    [
      ...(connections > 0 ? [plural(connections, "connection")] : []),
      ...(clients > 0 ? [`${plural(clients, "client")} as configured`] : []),
    ].join(", ") || "nothing"
  );
}

function refusals({ workload, port, strictWouldRefuse: { observed, configured } }: PortReport): string[] {
  return [
    ...observed.map((caller) => `  ${workload}:${port}  ${callerText(caller)}`),
    ...configured.map(
      ({ uses, rule, workloads }) =>
        `  ${workload}:${port}  ${uses} from ${workloads.join(", ")}, as configured` +
        (rule === null ? "" : ` by ${formatOrigin(rule)}`),
    ),
  ];
}

function callerText({ protection, connections, requests, ...source }: RefusedCaller): string {
  const { workload, hasSidecar, identity, isProven, address } = source;
  const sidecar = hasSidecar === null ? "" : hasSidecar ? ", which has a sidecar" : ", which has no sidecar";
  const name =
    workload === null ? (address === "" ? "others" : `${address}, no pod of the mesh`) : `${workload}${sidecar}`;
  const who = identity === null ? "" : isProven ? `, identity ${identity}` : `, service account of ${identity}`;
  const counted = requests === 0 ? "" : ` with ${plural(requests, "request")}`;
  return `${words[protection]} from ${name}${who}${workload === null ? "" : ` (${address})`}: ${plural(connections, "connection")}${counted}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
