// `outrigger authn tls-check`, as istioctl had it.
import type { Command } from "commander";
import { type CliContext, print, UsageError } from "../../context.ts";
import { type Population, type PopulationFlags, withPopulation } from "../../population.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { collect } from "../../repeated-flag.ts";
import type { ExplainWorkload } from "../explain/workload.ts";

interface Flags extends PopulationFlags {
  readonly namespace: string;
  readonly output: string;
}

export function registerAuthn(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  const authn = program.command("authn").description("look into authentication between workloads");
  authn
    .command("tls-check [pod] [service]")
    .description(
      "tell for each service port whether what a pod's proxy sends is what the servers take, without a pod for all proxies; exit code 1 on a conflict",
    )
    .option("-f, --filename <path>", "about files instead of the running mesh; may be repeated", collect, [])
    .option("--mesh-config <file>", "with -f: mesh configuration as YAML")
    .option("-n, --namespace <namespace>", "namespace of names without one", "default")
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async (pod: string | undefined, service: string | undefined, flags: Flags) =>
      finish(await runTlsCheck(context, pod, service, flags)),
    );
}

async function runTlsCheck(
  context: CliContext,
  pod: string | undefined,
  service: string | undefined,
  flags: Flags,
): Promise<number> {
  const format = parseOutputFormat(flags.output);
  const { renderTlsChecks, tlsChecks } = await import("./tls-check.ts");
  const checks = await withPopulation(context, flags, async (mesh) => {
    const clients = await clientsOf(mesh, pod, flags.namespace);
    const host = service === undefined ? undefined : hostOf(mesh, service, clients[0]?.namespace ?? flags.namespace);
    return tlsChecks(mesh.snapshot, mesh.pods, clients, host);
  });
  print(
    context,
    renderOutput(format, checks, () => renderTlsChecks(checks, pod === undefined)),
  );
  return checks.every(({ status }) => status === "OK") ? 0 : 1;
}

async function clientsOf(mesh: Population, pod: string | undefined, namespace: string): Promise<ExplainWorkload[]> {
  const { findWorkload, workloadOfPod } = await import("../explain/workload.ts");
  const { workloadsOf } = await import("../../traffic/workload-name.ts");
  const { trustDomain } = mesh.snapshot.meshConfig;
  if (pod === undefined) return [...workloadsOf(mesh.pods).values()].map((each) => workloadOfPod(each, trustDomain));
  const found = findWorkload(mesh.pods, pod, namespace, trustDomain);
  if (found.node === undefined)
    throw new UsageError(`${found.name} has no sidecar: it sends what its application sends`);
  return [found];
}

/** A short name is one of the namespace. */
function hostOf({ snapshot }: Population, service: string, namespace: string): string {
  const suffix = `svc.${snapshot.domain}`;
  const names = [service, `${service}.${namespace}.${suffix}`, `${service}.${suffix}`, `${service}.${snapshot.domain}`];
  const found = names.find((name) => snapshot.services.some(({ hostname }) => hostname === name.toLowerCase()));
  if (found === undefined) throw new UsageError(`no service "${service}" for namespace ${namespace}`);
  return found.toLowerCase();
}
