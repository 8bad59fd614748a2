// Issues are data: what the user or the network configured wrongly. They are collected and never thrown, so that
// one run reports everything; the same list feeds validate, admission, NACK text, status and the dashboard.

export const Severity = { Error: "error", Warning: "warning", Info: "info" } as const;
export type Severity = (typeof Severity)[keyof typeof Severity];

/** Where something was written. Lines and columns count from 1. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** The object that an issue, a route or a policy came from. */
export interface ObjectRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** An object and, when it came from a file, the place in it. */
export interface Origin extends ObjectRef {
  readonly file?: string;
  readonly line?: number;
}

export interface Issue {
  /** `IST0xxx` where istioctl has a counterpart, `OUT0xxx` otherwise. */
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  readonly object?: ObjectRef;
  readonly position?: SourcePosition;
  /** Path of the field, as `spec.http[0].route[1].destination.subset`. */
  readonly path?: string;
  /** What to write instead, as one sentence or a value. */
  readonly fix?: string;
}

export function hasErrors(issues: readonly Issue[]): boolean {
  return issues.some((issue) => issue.severity === Severity.Error);
}

/** Renders `reviews.yaml:14:9 error OUT0001 spec.http[0]: message (fix)`. */
export function formatIssue(issue: Issue): string {
  const place = issue.position
    ? `${issue.position.file}:${issue.position.line}:${issue.position.column}`
    : issue.object
      ? formatObjectRef(issue.object)
      : "-";
  const path = issue.path ? ` ${issue.path}:` : "";
  const fix = issue.fix ? ` (fix: ${issue.fix})` : "";
  return `${place} ${issue.severity} ${issue.code}${path} ${issue.message}${fix}`;
}

export function formatObjectRef(object: ObjectRef): string {
  return object.namespace === ""
    ? `${object.kind} ${object.name}`
    : `${object.kind} ${object.namespace}/${object.name}`;
}

/** Renders `VirtualService default/reviews (reviews.yaml:14)`. */
export function formatOrigin(origin: Origin): string {
  const object = formatObjectRef(origin);
  return origin.file === undefined ? object : `${object} (${origin.file}:${origin.line ?? 1})`;
}
