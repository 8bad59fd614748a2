// `outrigger x describe pod|service`.
import type { Command } from "commander";
import { type CliContext, print, UsageError } from "../../context.ts";
import { parsePodArgument } from "../../mesh/pods.ts";
import { type Population, type PopulationFlags, withPopulation } from "../../population.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { collect } from "../../repeated-flag.ts";
import type { DescribeSettings } from "./describe.ts";

interface Flags extends PopulationFlags {
  readonly namespace: string;
  readonly ignoreUnmeshed: boolean;
  readonly output: string;
}

type Describe = (mesh: Population, argument: string, settings: DescribeSettings) => Promise<string[]>;

export function registerDescribe(parent: Command, context: CliContext): void {
  const describe = parent
    .command("describe")
    .alias("des")
    .description("tell which configuration a pod or a service is under");
  const register = (usage: string, alias: string, description: string, run: Describe): void => {
    describe
      .command(usage)
      .alias(alias)
      .description(description)
      .option("--ignoreUnmeshed", "no warnings for pods without a sidecar", false)
      .option("-f, --filename <path>", "about files instead of the running mesh; may be repeated", collect, [])
      .option("--mesh-config <file>", "with -f: mesh configuration as YAML")
      .option("-n, --namespace <namespace>", "namespace of names without one", "default")
      .option("-o, --output <format>", "table (text), json or yaml", "table")
      .action(async (argument: string, flags: Flags) => {
        const format = parseOutputFormat(flags.output);
        const lines = await withPopulation(context, flags, (mesh) => run(mesh, argument, flags));
        print(
          context,
          renderOutput(format, { lines }, () => lines.join("\n")),
        );
      });
  };
  register("pod <pod>", "po", "a pod, its services, and the rules, routes and policies for it", describeOnePod);
  register("service <svc>", "svc", "a service, its pods, and the rules and routes for it", describeOneService);
}

async function describeOnePod(
  { snapshot, pods }: Population,
  argument: string,
  settings: DescribeSettings,
): Promise<string[]> {
  const { describePod } = await import("./describe.ts");
  const { findPodOf } = await import("../explain/workload.ts");
  return describePod(snapshot, findPodOf(pods, argument, settings.namespace), settings);
}

async function describeOneService(
  { snapshot, pods }: Population,
  argument: string,
  settings: DescribeSettings,
): Promise<string[]> {
  const { describeService } = await import("./describe.ts");
  const { name, namespace } = parsePodArgument(argument, settings.namespace);
  const service = snapshot.servicesIn(namespace).find((candidate) => candidate.name === name);
  if (service === undefined) {
    const known = snapshot.servicesIn(namespace).map((candidate) => candidate.name);
    throw new UsageError(`no service "${name}" in namespace ${namespace}; there are: ${known.join(", ") || "none"}`);
  }
  return describeService(snapshot, service, pods, settings);
}
