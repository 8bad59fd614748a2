// `outrigger mtls report`: what has to be known before PeerAuthentication becomes STRICT.
import type { Command } from "commander";
import { type CliContext, print, printError, UsageError } from "../../context.ts";
import { type PopulationFlags, withPopulation } from "../../population.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { collect } from "../../repeated-flag.ts";
import { renderReport } from "./render.ts";

interface Flags extends PopulationFlags {
  readonly namespace?: string;
  readonly observed?: string;
  readonly output: string;
}

export function registerMtls(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  const mtls = program.command("mtls").description("look into mutual TLS of the whole mesh");
  mtls
    .command("report [workload]")
    .description(
      "for each port of each workload: its mutual TLS mode and where that is written, what its clients use, and what STRICT would refuse of the traffic that was seen; exit code 1 when there is something",
    )
    .option("-f, --filename <path>", "about files instead of the running mesh; may be repeated", collect, [])
    .option("--mesh-config <file>", "with -f: mesh configuration as YAML")
    .option("--observed <file>", "traffic of an earlier report, as -o json wrote it, instead of asking the sidecars")
    .option("-n, --namespace <namespace>", "only workloads of this namespace")
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async (workload: string | undefined, flags: Flags) => finish(await runReport(context, workload, flags)));
}

async function runReport(context: CliContext, workload: string | undefined, flags: Flags): Promise<number> {
  const format = parseOutputFormat(flags.output);
  const [{ mtlsReport }, { findObserved }, { namedWorkload }] = await Promise.all([
    import("./report.ts"),
    import("../../traffic/observed-traffic.ts"),
    import("../../traffic/workload-name.ts"),
  ]);
  const { report, problems } = await withPopulation(context, flags, async (mesh, client) => {
    const traffic = await findObserved(context, { file: flags.observed, client, pods: mesh.pods });
    const name = workload === undefined ? undefined : namedWorkload(mesh.pods, workload, flags.namespace ?? "default");
    const asked = { workload: name, namespace: name === undefined ? flags.namespace : undefined };
    const made = mtlsReport(mesh, traffic, asked);
    if (name !== undefined && made.ports.length === 0) {
      throw new UsageError(`${name} has no sidecar, or no port that anything is known of`);
    }
    return { report: made, problems: traffic.problems };
  });
  print(
    context,
    renderOutput(format, report, () => renderReport(report)),
  );
  for (const problem of problems) printError(context, problem);
  const isRefused = report.ports.some(
    ({ strictWouldRefuse: { observed, configured } }) => observed.length > 0 || configured.length > 0,
  );
  return isRefused || problems.length > 0 ? 1 : 0;
}
