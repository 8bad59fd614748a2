// `outrigger validate -f PATH...`: what is wrong in files, with file, line, column and the fix. Exit code 1 on errors.
import type { Command } from "commander";
import { formatIssue, hasErrors, type Issue } from "#base/issue.ts";
import { type CliContext, print } from "../context.ts";
import { parseOutputFormat, renderOutput } from "../render/output.ts";
import { collect } from "../repeated-flag.ts";

interface Flags {
  readonly filename: readonly string[];
  readonly meshConfig?: string;
  readonly output: string;
}

export function registerValidate(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("validate")
    .description("check files without a mesh: each object, and what objects say about each other")
    .requiredOption("-f, --filename <path>", "file, directory, or - for standard input; may be repeated", collect, [])
    .option("--mesh-config <file>", "mesh configuration as YAML, in place of a ConfigMap istio among the files")
    .option("-o, --output <format>", "table, json or yaml", "table")
    .addHelpText("after", "\nExit code 1: there are errors. Warnings and notes leave it 0.")
    .action(async ({ filename, meshConfig, output }: Flags) => {
      const { readOfflineMesh } = await import("../offline/offline-mesh.ts");
      const { issues, objectCount } = await readOfflineMesh(context, { paths: filename, meshConfigFile: meshConfig });
      const summary = `${objectCount} objects, ${issues.length} issues`;
      const table = (): string => [...issues.map(formatIssue), summary].join("\n");
      print(context, renderOutput(parseOutputFormat(output), issues.map(flat), table));
      finish(hasErrors(issues) ? 1 : 0);
    });
}

/** As scripts read it: the place beside the rest. */
function flat({ code, severity, object, position, path, message, fix }: Issue): object {
  return {
    code,
    severity,
    ...(object !== undefined && { object }),
    ...position,
    ...(path !== undefined && { path }),
    message,
    ...(fix !== undefined && { fix }),
  };
}
