// Collects what is wrong with one xDS resource while it is decoded. Errors become the NACK's text, warnings are logged:
// they stand for features that this proxy leaves out without changing who may talk to whom.
import { type Issue, Severity } from "#base/issue.ts";

/** A resource that was decoded: without a value when there are errors. */
export interface Decoded<T> {
  readonly value: T | null;
  readonly issues: readonly Issue[];
}

export class Problems {
  readonly #kind: string;
  readonly #name: string;
  readonly #issues: Issue[] = [];

  constructor(kind: string, name: string) {
    this.#kind = kind;
    this.#name = name;
  }

  /** The field says something that is not valid. */
  invalid(path: string, message: string): void {
    this.#add("OUT0701", Severity.Error, path, message);
  }

  /** The field asks for something that this proxy cannot do, and that may not be left out. */
  unsupported(path: string, what: string): void {
    this.#add("OUT0702", Severity.Error, path, `${what} is not supported by this proxy`);
  }

  /** The field asks for something that this proxy leaves out. */
  leftOut(path: string, what: string): void {
    this.#add("OUT0703", Severity.Warning, path, `${what} is not supported by this proxy and left out`);
  }

  /** The field asks for something that this proxy cannot do, and does something stricter instead. */
  replaced(path: string, what: string, instead: string): void {
    this.#add("OUT0703", Severity.Warning, path, `${what} is not supported by this proxy: ${instead}`);
  }

  done<T>(value: T | null): Decoded<T> {
    const failed = this.#issues.some((issue) => issue.severity === Severity.Error);
    return { value: failed ? null : value, issues: this.#issues };
  }

  #add(code: string, severity: Severity, path: string, message: string): void {
    const object = { kind: this.#kind, namespace: "", name: this.#name };
    this.#issues.push({ code, severity, message, object, path });
  }
}

/**
 * The text of a NACK: `listener 0.0.0.0_9080: filter_chains[0].filters[1]: ...; ...`, errors only. What is wrong with the same
 * field of several items of a list is said once.
 */
export function nackText(issues: readonly Issue[]): string {
  const places = new Map<string, { readonly first: Issue; count: number }>();
  for (const issue of issues) {
    if (issue.severity !== Severity.Error) continue;
    const field = issue.path?.replaceAll(/\[\d+\]/g, "[]");
    const same = `${issue.object?.kind} ${issue.object?.name} ${field} ${issue.message}`;
    const place = places.get(same);
    if (place === undefined) places.set(same, { first: issue, count: 1 });
    else place.count++;
  }
  return [...places.values()]
    .map(({ first: { object, path, message }, count }) => {
      const others = count === 1 ? "" : ` (and ${count - 1} more)`;
      return `${object?.kind ?? ""} ${object?.name ?? ""}: ${path ?? ""}${others}: ${message}`;
    })
    .join("; ");
}
