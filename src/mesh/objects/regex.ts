// Regular expressions from configuration: RE2 syntax, bounded, compiled once here only to see whether they compile.
import { RE2JS } from "re2js";
import type { Report } from "./report.ts";

const maxLength = 1024;

/** Reports a regex that is too long or that RE2 does not accept. */
export function checkRegex(regex: string, path: string, report: Report): void {
  if (regex.length > maxLength) {
    report({ path, message: `the regex has ${regex.length} characters, more than ${maxLength}` });
    return;
  }
  const problem = regexProblem(regex);
  if (problem !== undefined) {
    report({
      path,
      message: `not a regular expression of RE2: ${problem}`,
      fix: "RE2 has no lookaround or backreferences",
    });
  }
}

function regexProblem(regex: string): string | undefined {
  try {
    RE2JS.compile(regex);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
