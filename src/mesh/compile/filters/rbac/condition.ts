// A condition of an authorization rule: some attribute has one of the values and none of the others. Conditions
// become RBAC permissions (about the request's destination) or principals (about its source).

export interface Condition<Match> {
  readonly attribute: Attribute<Match>;
  /** The field, or the key as written in `when`, which may carry a name in brackets. */
  readonly key: string;
  readonly values: readonly string[];
  readonly notValues: readonly string[];
}

export interface Attribute<Match> {
  /** Cannot be known on a TCP connection. */
  readonly httpOnly: boolean;
  /** One matcher per value, or one for the whole list; undefined when a value makes no sense. */
  readonly matchers: (values: readonly string[], key: string) => readonly (Match | undefined)[];
}

export interface Combine<Match> {
  readonly any: (matches: Match[]) => Match;
  readonly not: (match: Match) => Match;
  /** Attributes that match a list at once stand alone, as Istio writes them. */
  readonly isWhole: (attribute: Attribute<Match>) => boolean;
}

/**
 * Compiles conditions to matchers that all must hold. When one cannot be compiled, an allow rule is dropped whole
 * (undefined), and any other rule loses the condition: both err on the side of refusing.
 */
export function compileConditions<Match>(
  conditions: readonly Condition<Match>[],
  options: { readonly tcp: boolean; readonly dropWhole: boolean; readonly combine: Combine<Match> },
): Match[] | undefined {
  const { combine } = options;
  const all: Match[] = [];
  for (const { attribute, key, values, notValues } of conditions) {
    for (const negated of [false, true]) {
      const list = negated ? notValues : values;
      if (list.length === 0) continue;
      const compiled = options.tcp && attribute.httpOnly ? [undefined] : attribute.matchers(list, key);
      const known = compiled.filter((match) => match !== undefined);
      if (known.length < compiled.length && options.dropWhole) return undefined;
      const [first] = known;
      if (first === undefined) continue;
      const match = combine.isWhole(attribute) ? first : combine.any(known);
      all.push(negated ? combine.not(match) : match);
    }
  }
  return all;
}
