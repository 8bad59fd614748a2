// `outrigger status`: the workloads that run, and for every resource of the user its one state and why.
import type { Command } from "commander";
import { formatIssue, type Issue, type Origin } from "#base/issue.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { joinObjectStatus, type ObjectStatus } from "#control/status/object-status.ts";
import { ForceState } from "#mesh/snapshot/snapshot.ts";
import { type CliContext, print } from "../context.ts";
import { withMesh } from "../mesh/connection.ts";
import { askIstiods, silentIstiods } from "../mesh/istiod.ts";
import { hasSucceeded, podProblem } from "../mesh/pod-problem.ts";
import { hasProxy, isReady, listPods, type Pod } from "../mesh/pods.ts";
import { parseOutputFormat, renderOutput } from "../render/output.ts";
import { renderTable } from "../render/table.ts";

interface WorkloadRow {
  readonly namespace: string;
  readonly pod: string;
  /** Also when it has done its work. */
  readonly ready: boolean;
  /** Why it is not. */
  readonly problem?: string;
  readonly restarts: number;
  readonly sidecar: boolean;
  readonly address: string;
}

export interface Status {
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
    .option("-n, --namespace <namespace>", "only what is in this namespace")
    .option("--problems", "only what is not ready or not wholly in force")
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async (options: Flags) => {
      const status = selected(await withMesh(context, readStatus), options);
      print(
        context,
        renderOutput(parseOutputFormat(options.output), status, () => tables(status)),
      );
      finish(isHealthy(status) ? 0 : 1);
    });
}

interface Flags {
  readonly namespace?: string;
  readonly problems?: boolean;
  readonly output: string;
}

/** What the flags ask for; the exit code is about this too. */
export function selected(status: Status, { namespace, problems = false }: Omit<Flags, "output">): Status {
  const isHere = (name: string): boolean => namespace === undefined || name === namespace;
  return {
    ...status,
    workloads: status.workloads.filter((row) => isHere(row.namespace) && !(problems && row.ready)),
    resources: status.resources.filter(
      ({ origin, state }) => isHere(origin.namespace) && !(problems && state === ForceState.InForce),
    ),
    issues: status.issues.filter(({ object }) => object === undefined || isHere(object.namespace)),
  };
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
  const problem = podProblem(pod);
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  return {
    namespace: pod.metadata.namespace ?? "default",
    pod: pod.metadata.name,
    ready: isReady(pod) || hasSucceeded(pod),
    ...(problem !== undefined && { problem }),
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

/** What there is nothing of has no heading. */
export function tables(status: Status): string {
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
  const problems = status.workloads.flatMap(({ problem }) => problem ?? []);
  const silent = status.silent.join(", ");
  const blocks = [
    ...(status.workloads.length > 0 ? [workloads.trimEnd()] : []),
    ...(problems.length > 0 ? [problems.join("\n")] : []),
    ...(status.resources.length > 0 ? [resourceTable(status.resources).trimEnd()] : []),
    ...(status.issues.length > 0 ? [status.issues.map(formatIssue).join("\n")] : []),
    ...(silent === "" ? [] : [`nothing is known of proxies that are connected to ${silent}: not ready`]),
    summary(status.resources),
  ];
  return `${blocks.join("\n\n")}\n`;
}

/** From good to bad: what needs a look stands next to the prompt. */
const ranks: Readonly<Record<ForceState, number>> = {
  [ForceState.InForce]: 0,
  [ForceState.NotInForce]: 1,
  [ForceState.Shadowed]: 2,
  [ForceState.Partly]: 3,
  [ForceState.MatchesNothing]: 4,
  [ForceState.Invalid]: 5,
};

function bySeverity(a: ObjectStatus, b: ObjectStatus): number {
  if (a.state !== b.state) return ranks[a.state] - ranks[b.state];
  const [left, right] = [a, b].map(({ origin: { kind, namespace, name } }) => `${kind}/${namespace}/${name}`);
  return (left ?? "") < (right ?? "") ? -1 : 1;
}

/** Further reasons of a resource have lines of their own. */
export function resourceTable(resources: readonly ObjectStatus[]): string {
  return renderTable(
    ["KIND", "NAMESPACE", "NAME", "STATE", "PROXIES", "SOURCE", "REASON"],
    resources
      .toSorted(bySeverity)
      .flatMap(({ origin, state, progress, reasons: [reason = "", ...more] }) => [
        [
          origin.kind,
          origin.namespace,
          origin.name,
          state,
          progress.proxies === 0 ? "-" : `${progress.current} of ${progress.proxies}`,
          place(origin),
          reason,
        ],
        ...more.map((another) => ["", "", "", "", "", "", another]),
      ]),
  );
}

/** `212 resources: 210 in force, 2 invalid` */
export function summary(resources: readonly ObjectStatus[]): string {
  const counts = Map.groupBy(resources.toSorted(bySeverity), ({ state }) => state);
  const parts = [...counts].map(([state, some]) => `${some.length} ${state}`);
  const total = `${resources.length} ${resources.length === 1 ? "resource" : "resources"}`;
  return parts.length === 0 ? total : `${total}: ${parts.join(", ")}`;
}

function place(origin: Origin): string {
  return origin.file === undefined ? "-" : `${origin.file}:${origin.line ?? 1}`;
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}
