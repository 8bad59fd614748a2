// `outrigger status`: the workloads that run, and for every resource of the user its one state and why.
import type { Command } from "commander";
import { formatIssue, type Issue, type Origin } from "#base/issue.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { joinObjectStatus, type ObjectStatus } from "#control/status/object-status.ts";
import { ForceState } from "#mesh/snapshot/snapshot.ts";
import { type CliContext, print } from "../context.ts";
import { withMesh } from "../mesh/connection.ts";
import { askIstiods, silentIstiods } from "../mesh/istiod.ts";
import { hasProxy, isReady, listPods, type Pod } from "../mesh/pods.ts";
import { parseOutputFormat, renderOutput } from "../render/output.ts";
import { renderTable } from "../render/table.ts";

interface WorkloadRow {
  readonly namespace: string;
  readonly pod: string;
  readonly ready: boolean;
  readonly restarts: number;
  readonly sidecar: boolean;
  readonly address: string;
}

interface Status {
  readonly workloads: readonly WorkloadRow[];
  readonly resources: readonly ObjectStatus[];
  readonly issues: readonly Issue[];
  /** Control planes that are not ready: what their proxies have is not known. */
  readonly silent: readonly string[];
}

export function registerStatus(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("status")
    .description("show workloads and the state of every resource; exit code 1 when something is invalid or not ready")
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async (options: { output: string }) => {
      const status = await withMesh(context, readStatus);
      print(
        context,
        renderOutput(parseOutputFormat(options.output), status, () => tables(status)),
      );
      finish(isHealthy(status) ? 0 : 1);
    });
}

async function readStatus(client: KubernetesClient): Promise<Status> {
  const [pods, answers, silent] = await Promise.all([
    listPods(client),
    askIstiods(client, "/debug/configz"),
    silentIstiods(client),
  ]);
  const replicas = answers.map(({ value }) => value as ConfigAnswer);
  return {
    workloads: pods.map(workloadRow),
    resources: joinReplicas(replicas.map(({ resources }) => resources)),
    issues: replicas[0]?.issues ?? [],
    silent,
  };
}

interface ConfigAnswer {
  readonly issues: readonly Issue[];
  readonly resources: readonly ObjectStatus[];
}

/** Every replica reads the same configuration, and each knows the proxies that are connected to it. */
export function joinReplicas(replicas: readonly (readonly ObjectStatus[])[]): ObjectStatus[] {
  const [first = [], ...others] = replicas;
  const byKey = new Map(first.map((status) => [keyOf(status), status]));
  for (const status of others.flat()) {
    const known = byKey.get(keyOf(status));
    byKey.set(keyOf(status), known === undefined ? status : joinObjectStatus(known, status));
  }
  return [...byKey.values()];
}

function keyOf({ apiVersion, origin }: ObjectStatus): string {
  return `${apiVersion}/${origin.kind}/${origin.namespace}/${origin.name}`;
}

function workloadRow(pod: Pod): WorkloadRow {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  return {
    namespace: pod.metadata.namespace ?? "default",
    pod: pod.metadata.name,
    ready: isReady(pod),
    restarts: statuses.reduce((sum, status) => sum + (status.restartCount ?? 0), 0),
    sidecar: hasProxy(pod),
    address: pod.status?.podIP ?? "-",
  };
}

function isHealthy(status: Status): boolean {
  return (
    status.workloads.every((workload) => workload.ready) &&
    status.resources.every((resource) => resource.state !== ForceState.Invalid)
  );
}

function tables(status: Status): string {
  const workloads = renderTable(
    ["NAMESPACE", "POD", "READY", "RESTARTS", "PROXY", "ADDRESS"],
    status.workloads.map((row) => [
      row.namespace,
      row.pod,
      yesNo(row.ready),
      String(row.restarts),
      yesNo(row.sidecar),
      row.address,
    ]),
  );
  const resources = renderTable(
    ["KIND", "NAMESPACE", "NAME", "STATE", "PROXIES", "SOURCE", "REASON"],
    status.resources.map(({ origin, state, progress, reasons }) => [
      origin.kind,
      origin.namespace,
      origin.name,
      state,
      progress.proxies === 0 ? "-" : `${progress.current} of ${progress.proxies}`,
      place(origin),
      reasons.join("; "),
    ]),
  );
  const issues = status.issues.length === 0 ? "" : `\n${status.issues.map(formatIssue).join("\n")}\n`;
  const unknown =
    status.silent.length === 0
      ? ""
      : `\nnothing is known of proxies that are connected to ${status.silent.join(", ")}: not ready\n`;
  return `${workloads}\n${resources}${issues}${unknown}`;
}

function place(origin: Origin): string {
  return origin.file === undefined ? "-" : `${origin.file}:${origin.line ?? 1}`;
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}
