// Issues of files on standard error, beside an answer on standard output.
import { formatIssue, type Issue } from "#base/issue.ts";
import { type CliContext, printError } from "../context.ts";

const maxLines = 200;

export function printIssues(context: CliContext, issues: readonly Issue[]): void {
  for (const issue of issues.slice(0, maxLines)) printError(context, formatIssue(issue));
  const rest = issues.length - maxLines;
  if (rest > 0) printError(context, `and ${rest} more: outrigger validate shows all`);
}
