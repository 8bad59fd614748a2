// envoy.config.common.mutation_rules.v3: which headers of a request somebody else may change.
import type { HeaderMutationRules } from "#wire/gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.ts";
import { regexMatcher } from "../../../config/parse/matcher.ts";
import type { Problems } from "../../../config/problems.ts";

export interface MutationRules {
  readonly allows: (lowerName: string) => boolean;
  /** What is not allowed is an error, and not left out. */
  readonly isStrict: boolean;
}

/** Headers that decide where a request goes. */
const routing: ReadonlySet<string> = new Set(["host", ":authority", ":scheme", ":method"]);

export function decodeMutationRules(rules: HeaderMutationRules, path: string, problems: Problems): MutationRules {
  const expression = (regex: string | undefined, field: string): ((name: string) => boolean) | null =>
    regex === undefined ? null : regexMatcher(regex, `${path}.${field}.regex`, problems).matches;
  const allowed = expression(rules.allowExpression?.regex, "allow_expression");
  const disallowed = expression(rules.disallowExpression?.regex, "disallow_expression");
  const { disallowAll = false, disallowSystem = false, allowAllRouting = false, allowEnvoy = false } = rules;
  return {
    isStrict: rules.disallowIsError ?? false,
    allows: (name) => {
      if (disallowAll || (disallowSystem && name.startsWith(":"))) return false;
      if (disallowed?.(name) === true) return false;
      if (allowed?.(name) === true) return true;
      if (!allowAllRouting && routing.has(name)) return false;
      return allowEnvoy || !name.startsWith("x-envoy");
    },
  };
}
