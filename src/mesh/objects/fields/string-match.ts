// How a string of a request is compared: at most one member is set; none means "is present".
import { type Decoder, optional, record, string } from "../decode.ts";
import { checkRegex } from "../regex.ts";
import type { Report } from "../report.ts";

export interface StringMatch {
  readonly exact?: string;
  readonly prefix?: string;
  /** RE2; the whole value must match. */
  readonly regex?: string;
}

export const decodeStringMatch: Decoder<StringMatch> = record<StringMatch>({
  exact: optional(string),
  prefix: optional(string),
  regex: optional(string),
});

/** Reports a match that can never work: several kinds at once, an empty prefix or regex, a regex that RE2 refuses. */
export function validateStringMatch(match: StringMatch, path: string, report: Report): void {
  const set = (["exact", "prefix", "regex"] as const).filter((kind) => match[kind] !== undefined);
  if (set.length > 1) {
    report({ path, message: `only one of exact, prefix and regex can be set, found ${set.join(" and ")}` });
  }
  if (match.prefix === "") report({ path: `${path}.prefix`, message: "prefix is empty", fix: "leave the match out" });
  if (match.regex === "") report({ path: `${path}.regex`, message: "regex is empty", fix: "leave the match out" });
  else if (match.regex !== undefined) checkRegex(match.regex, `${path}.regex`, report);
}
