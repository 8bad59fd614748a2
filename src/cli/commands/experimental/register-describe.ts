// `outrigger x describe pod|service`.
import type { Command } from "commander";
import { type CliContext, print, UsageError } from "../../context.ts";
import { parsePodArgument } from "../../mesh/pods.ts";
import { type Population, type PopulationFlags, withPopulation } from "../../population.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { collect } from "../../repeated-flag.ts";
import { findPodOf } from "../explain/workload.ts";
import { type DescribeSettings, describePod, describeService } from "./describe.ts";

interface Flags extends PopulationFlags {
  readonly namespace: string;
  readonly ignoreUnmeshed: boolean;
  readonly output: string;
}

type Describe = (mesh: Population, argument: string, settings: DescribeSettings) => string[];

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
  register(
    "pod <pod>",
    "po",
    "a pod, its services, and the rules, routes and policies for it",
    (mesh, argument, settings) =>
      describePod(mesh.snapshot, findPodOf(mesh.pods, argument, settings.namespace), settings),
  );
  register(
    "service <svc>",
    "svc",
    "a service, its pods, and the rules and routes for it",
    (mesh, argument, settings) => {
      const { name, namespace } = parsePodArgument(argument, settings.namespace);
      const service = mesh.snapshot.servicesIn(namespace).find((candidate) => candidate.name === name);
      if (service === undefined) {
        const known = mesh.snapshot.servicesIn(namespace).map((candidate) => candidate.name);
        throw new UsageError(
          `no service "${name}" in namespace ${namespace}; there are: ${known.join(", ") || "none"}`,
        );
      }
      return describeService(mesh.snapshot, service, mesh.pods, settings);
    },
  );
}
