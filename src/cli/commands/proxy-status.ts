// `outrigger proxy-status`: for each proxy and resource type SYNCED, STALE, NOT SENT or ERROR. With a pod: whether the
// proxy has in force what the control plane generated for it.
import type { Command } from "commander";
import type { ProxyStatus } from "#control/status/sync-status.ts";
import { type CliContext, print, UsageError } from "../context.ts";
import { withMesh } from "../mesh/connection.ts";
import { askIstiodOf, askIstiods } from "../mesh/istiod.ts";
import { findPod, hasProxy } from "../mesh/pods.ts";
import { requestPodJson } from "../mesh/port-forward.ts";
import { parseOutputFormat, renderOutput } from "../render/output.ts";
import { renderTable } from "../render/table.ts";
import { compareConfiguration, isMatch, renderDifferences } from "./proxy-difference.ts";

const typeColumns = ["cds", "lds", "eds", "rds"];

const adminPort = 15000;

interface Flags {
  readonly namespace: string;
  readonly output: string;
}

interface Row {
  readonly istiod: string;
  readonly status: ProxyStatus;
}

export function registerProxyStatus(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("proxy-status [pod]")
    .alias("ps")
    .description(
      "tell whether each proxy has what the control plane last sent, or how one pod's proxy differs; exit code 1 when it does",
    )
    .option("-n, --namespace <namespace>", "namespace of the pod", "default")
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async (pod: string | undefined, options: Flags) => {
      finish(await (pod === undefined ? showAll(context, options) : showOne(context, pod, options)));
    });
}

async function showAll(context: CliContext, options: Flags): Promise<number> {
  const rows = await readStatus(context);
  const value = rows.map(({ istiod, status }) => ({ istiod, ...status }));
  print(
    context,
    renderOutput(parseOutputFormat(options.output), value, () => table(rows)),
  );
  return rows.every(({ status }) => isSettled(status)) ? 0 : 1;
}

async function showOne(context: CliContext, argument: string, options: Flags): Promise<number> {
  const differences = await withMesh(context, async (client) => {
    const pod = await findPod(client, argument, options.namespace);
    const proxy = `${pod.metadata.name}.${pod.metadata.namespace ?? "default"}`;
    if (!hasProxy(pod)) throw new UsageError(`pod ${proxy} has no sidecar`);
    const [generated, loaded] = await Promise.all([
      askIstiodOf(client, proxy),
      requestPodJson(client, pod, { port: adminPort, path: "/config_dump" }),
    ]);
    return compareConfiguration(generated, loaded);
  });
  print(
    context,
    renderOutput(parseOutputFormat(options.output), differences, () => renderDifferences(differences)),
  );
  return differences.every(isMatch) ? 0 : 1;
}

function readStatus(context: CliContext): Promise<Row[]> {
  return withMesh(context, async (client) => {
    const answers = await askIstiods(client, "/debug/syncz");
    const rows = answers.flatMap(({ pod, value }) =>
      (value as ProxyStatus[]).map((status) => ({ istiod: pod.metadata.name, status })),
    );
    return rows.sort((a, b) => a.status.proxy.localeCompare(b.status.proxy));
  });
}

function isSettled(status: ProxyStatus): boolean {
  return Object.values(status.types).every(({ state }) => state === "SYNCED" || state === "NOT SENT");
}

function table(rows: readonly Row[]): string {
  const headings = ["NAME", "CLUSTER", ...typeColumns.map((type) => type.toUpperCase()), "ISTIOD", "VERSION"];
  const lines = rows.map(({ istiod, status }) => [
    status.proxy,
    status.clusterId,
    ...typeColumns.map((type) => status.types[type]?.state ?? "NOT SENT"),
    istiod,
    status.istioVersion,
  ]);
  const errors = rows.flatMap(({ status }) =>
    Object.entries(status.types).flatMap(([type, { error }]) =>
      error === undefined ? [] : [`${status.proxy} ${type}: ${error}`],
    ),
  );
  return [renderTable(headings, lines), ...errors].join("\n");
}
