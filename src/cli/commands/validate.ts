// `outrigger validate -f PATH...`: what is wrong in files, with file, line, column and the fix. Exit code 1 on errors.
import type { Command } from "commander";
import { formatIssue, hasErrors } from "#base/issue.ts";
import { sortIssues } from "#mesh/snapshot/content.ts";
import { checkObjects } from "../apply/check.ts";
import { loadConfiguration } from "../apply/load.ts";
import { type CliContext, print, UsageError } from "../context.ts";
import { readStdin } from "../read-stdin.ts";
import { parseOutputFormat, renderOutput } from "../render/output.ts";

export function registerValidate(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("validate")
    .description("check files without a mesh")
    .requiredOption("-f, --filename <path>", "file, directory, or - for standard input; may be repeated", collect, [])
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async (options: { filename: readonly string[]; output: string }) => {
      if (options.filename.length === 0) throw new UsageError("name a file or directory with -f");
      const stdin = options.filename.includes("-") ? await readStdin(context) : undefined;
      const loaded = loadConfiguration(options.filename, context.cwd, stdin);
      const checked = checkObjects(loaded.objects);
      const issues = sortIssues([...loaded.issues, ...checked.issues]);
      const summary = `${loaded.objects.length} objects, ${issues.length} issues`;
      print(
        context,
        renderOutput(parseOutputFormat(options.output), issues, () => [...issues.map(formatIssue), summary].join("\n")),
      );
      finish(hasErrors(issues) ? 1 : 0);
    });
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}
