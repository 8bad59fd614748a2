// `outrigger authz`: policies from traffic.
import type { Command } from "commander";
import type { CliContext } from "../../context.ts";
import { collect } from "../../repeated-flag.ts";
import type { SuggestFlags } from "./suggest.ts";

export function registerAuthz(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  const authz = program.command("authz").description("find the authorization policies that the traffic needs");
  authz
    .command("suggest [workload]")
    .description(
      "propose the least AuthorizationPolicies that let through what the sidecars have seen: identities, ports, methods and classes of paths",
    )
    .option(
      "--replay",
      "show what the policies would have denied of it instead; exit code 1 when there is something",
      false,
    )
    .option("--with <file>", "replay the AuthorizationPolicies of this file instead of the proposed ones")
    .option("-f, --filename <path>", "about files instead of the running mesh; may be repeated", collect, [])
    .option("--mesh-config <file>", "with -f: mesh configuration as YAML")
    .option("--observed <file>", "traffic of an earlier answer, as -o json wrote it, instead of asking the sidecars")
    .option("-n, --namespace <namespace>", "only workloads of this namespace")
    .option("-o, --output <format>", "yaml (to be applied) or json; with --replay also table")
    .action(async (workload: string | undefined, flags: SuggestFlags) =>
      finish(await (await import("./suggest.ts")).runSuggest(context, workload, flags)),
    );
}
