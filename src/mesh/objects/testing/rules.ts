// For tests of kinds: what is said of specs, one row for each, as `E path` for an error and `W path` for a warning.
import assert from "node:assert/strict";
import { parse } from "yaml";
import type { Kind } from "../kind.ts";
import { problemsOf } from "./objects.ts";

/** `rows`: the spec in YAML → what is said of it, in order, paths without `spec.`; nothing when it is in order. */
export function checkRules<Spec>(kind: Kind<Spec>, rows: Readonly<Record<string, string>>): void {
  const answers: Record<string, string> = {};
  for (const spec of Object.keys(rows)) {
    const told = problemsOf(kind, parse(spec)).map((problem) => {
      const [, level, path = ""] = /^(warning |info )?([^:]*): /.exec(problem) ?? [];
      return `${level === undefined ? "E" : "W"} ${path.replace(/^spec\.?/, "")}`;
    });
    answers[spec] = [...new Set(told)].join(", ");
  }
  assert.deepEqual(answers, rows);
}
