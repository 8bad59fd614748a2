// How decode and validate say what is wrong: a problem with the path of the field. The object and the position in its
// file are added by whoever reads the object.
import type { Issue, ObjectRef, SourcePosition } from "#base/issue.ts";
import { Severity } from "#base/issue.ts";
import { type Path, renderPath } from "./path.ts";

export interface Problem {
  readonly path: string | Path | undefined;
  readonly message: string;
  readonly fix?: string;
  /** Error by default. */
  readonly severity?: Severity;
  /** IST0106, a schema or validation error, by default; IST0133 for warnings. */
  readonly code?: string;
}

export type Report = (problem: Problem) => void;

/** Adds every problem, as an issue of the object, to `issues`. */
export function reportInto(
  issues: Issue[],
  object: ObjectRef,
  position: (path: string) => SourcePosition | undefined,
): Report {
  return (problem) => {
    if (issues.length >= maxIssuesPerObject) return;
    issues.push(toIssue(problem, object, position));
  };
}

/** An object that is wrong in more places than this is not listed further. */
const maxIssuesPerObject = 100;

export function toIssue(
  problem: Problem,
  object: ObjectRef,
  position: (path: string) => SourcePosition | undefined,
): Issue {
  const path = typeof problem.path === "string" ? problem.path : renderPath(problem.path);
  const place = position(path);
  const severity = problem.severity ?? Severity.Error;
  return {
    code: problem.code ?? (severity === Severity.Error ? "IST0106" : "IST0133"),
    severity,
    message: problem.message,
    object: { kind: object.kind, namespace: object.namespace, name: object.name },
    ...(place !== undefined && { position: place }),
    ...(path !== "" && { path }),
    ...(problem.fix !== undefined && { fix: problem.fix }),
  };
}
