// The init container: writes the capture rules of its network namespace. Flags and environment are istio-iptables'.
import { parseInitArguments } from "#agent/capture/arguments.ts";
import { runInit, systemInitIo } from "#agent/capture/run-init.ts";
import { formatIssue } from "#base/issue.ts";
import { LogRegistry } from "#base/log/log.ts";
import { type CliContext, printError } from "../context.ts";

export async function runInitCommand(argv: readonly string[], context: CliContext): Promise<number> {
  const parsed = parseInitArguments(argv, context.env);
  if ("issues" in parsed) {
    for (const issue of parsed.issues) printError(context, formatIssue(issue));
    return 1;
  }
  const log = new LogRegistry().scope("init");
  await runInit(
    parsed.options,
    systemInitIo(log, (text) => context.stdout.write(text)),
  );
  return 0;
}
