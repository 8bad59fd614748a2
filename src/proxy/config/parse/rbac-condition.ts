// Conditions of RBAC policies and how they combine. A conjunction keeps its parts, so that explain can say which of
// them failed; and a condition that only certain peers can meet knows their names, so that policies can be looked up.
import type { RbacAction, RbacPredicate } from "../rbac.ts";

/** Where a condition stands: what it means for the request when it holds. */
export interface Position {
  /** True when a match leads to refusal: in a DENY rule, or negated in another. */
  readonly refuses: boolean;
  readonly action: RbacAction;
}

export interface Condition {
  readonly description: string;
  readonly matches: RbacPredicate;
  /** Of a conjunction; else null. */
  readonly parts: readonly Condition[] | null;
  /** A peer with another name than these does not match; null when that can't be said. */
  readonly names: readonly string[] | null;
}

export function condition(
  description: string,
  matches: RbacPredicate,
  names: readonly string[] | null = null,
): Condition {
  return { description, matches, parts: null, names };
}

export const always: Condition = condition("anything", () => true);

/** The conditions that all have to hold. */
export function parts(whole: Condition): readonly Condition[] {
  return whole.parts ?? [whole];
}

export function everyPredicate(conditions: readonly { readonly matches: RbacPredicate }[]): RbacPredicate {
  const tests = conditions.map(({ matches }) => matches);
  const [first, second, third] = tests;
  if (first === undefined) return () => true;
  if (second === undefined) return first;
  if (third === undefined) return (subject) => first(subject) && second(subject);
  return (subject) => {
    for (let i = 0; i < tests.length; i++) if (!(tests[i] as RbacPredicate)(subject)) return false;
    return true;
  };
}

export function all(conditions: readonly Condition[]): Condition {
  const inner = conditions.flatMap(parts).filter((it) => it !== always);
  const [first, second] = inner;
  if (first === undefined) return always;
  if (second === undefined) return first;
  const description = inner.map((it) => it.description).join(" and ");
  const known = conditions.flatMap(({ names }) => (names === null ? [] : [names]));
  const names = known.reduce<readonly string[] | null>(
    (fewest, it) => (fewest === null || it.length < fewest.length ? it : fewest),
    null,
  );
  return { description, matches: everyPredicate(inner), parts: inner, names };
}

export function either(conditions: readonly Condition[]): Condition {
  const [only, ...more] = conditions;
  if (only !== undefined && more.length === 0) return only;
  if (conditions.includes(always)) return always;
  const tests = conditions.map((it) => it.matches);
  const description = `(${conditions.map((it) => it.description).join(" or ")})`;
  const lists = conditions.map(({ names }) => names);
  const names = lists.every((it) => it !== null) ? lists.flat() : null;
  return condition(
    description,
    (subject) => {
      for (let i = 0; i < tests.length; i++) if ((tests[i] as RbacPredicate)(subject)) return true;
      return false;
    },
    names,
  );
}

export function not(inner: Condition): Condition {
  return condition(`not ${inner.description}`, (subject) => !inner.matches(subject));
}
