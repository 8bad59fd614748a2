// `outrigger x precheck`.
import type { Command } from "commander";
import { formatIssue, Severity } from "#base/issue.ts";
import { type CliContext, print, printError, UsageError } from "../../context.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { collect } from "../../repeated-flag.ts";
import type { PrecheckQuestion } from "./precheck.ts";

interface Flags extends PrecheckQuestion {
  readonly outputThreshold: string;
  readonly output: string;
}

const levels: readonly Severity[] = [Severity.Info, Severity.Warning, Severity.Error];

export function registerPrecheck(parent: Command, context: CliContext, finish: (exitCode: number) => void): void {
  parent
    .command("precheck")
    .description(
      "tell what keeps this version from taking over a mesh as it is configured; exit code 1 when there is something from Warning on",
    )
    .option("--skip-controlplane", "do not ask the control plane", false)
    .option("-f, --from-version <version>", "also what has changed since this version of Istio, as 1.21")
    .option("--output-threshold <level>", "show what is at least Info, Warning or Error", "Warning")
    .option("--filename <path>", "about files instead of the running mesh; may be repeated", collect, [])
    .option("--mesh-config <file>", "with --filename: mesh configuration as YAML")
    .option("-o, --output <format>", "log, json or yaml", "log")
    .action(async (flags: Flags) => {
      const format = flags.output === "log" ? "table" : parseOutputFormat(flags.output);
      const shownFrom = rankOf(flags.outputThreshold);
      const { precheck } = await import("./precheck.ts");
      const issues = await precheck(context, flags);
      const shown = issues.filter(({ severity }) => levels.indexOf(severity) >= shownFrom);
      if (format !== "table" || shown.length > 0) {
        print(
          context,
          renderOutput(format, shown, () => shown.map(formatIssue).join("\n")),
        );
      }
      const isWrong = issues.some(({ severity }) => levels.indexOf(severity) >= levels.indexOf(Severity.Warning));
      if (isWrong) printError(context, "the mesh may not do what its configuration says; see: outrigger analyze");
      else if (format === "table" && shown.length === 0) print(context, "✔ No issues found.");
      finish(isWrong ? 1 : 0);
    });
}

function rankOf(name: string): number {
  const rank = levels.findIndex((level) => level === name.toLowerCase());
  if (rank === -1) throw new UsageError(`a threshold is Info, Warning or Error, not "${name}"`);
  return rank;
}
