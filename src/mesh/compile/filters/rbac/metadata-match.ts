// Matches on dynamic metadata: JWT claims that jwt_authn left there, and the experimental Envoy attributes.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type MetadataMatcher, MetadataMatcherSchema } from "#wire/gen/envoy/type/matcher/v3/metadata_pb.ts";
import type { StringMatcher } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";
import { type ValueMatcher, ValueMatcherSchema } from "#wire/gen/envoy/type/matcher/v3/value_pb.ts";
import { stringPattern } from "./string-pattern.ts";

const jwtFilter = "envoy.filters.http.jwt_authn";

/** Matches a claim that is a string or a list of strings. */
export function claimMatch(claims: readonly string[], patterns: readonly string[]): MetadataMatcher {
  return claimMatcher(
    claims,
    patterns.map((pattern) => stringPattern(pattern)),
  );
}

/** The same with compiled matchers: any of them must hold. */
export function claimMatcher(
  claims: readonly string[],
  matchers: readonly StringMatcher[],
  invert = false,
): MetadataMatcher {
  const value = anyOf(matchers.map(string));
  return metadata(
    jwtFilter,
    ["payload", ...claims],
    valueMatcher({ case: "orMatch", value: { valueMatchers: [oneOf(value), value] } }),
    invert,
  );
}

/** Matches a claim that is one string. */
export function claimStringMatch(claim: string, matcher: StringMatcher): MetadataMatcher {
  return metadata(jwtFilter, ["payload", claim], string(matcher));
}

/** Matches `experimental.envoy.filters.<filter>[key]`; a value in brackets looks into a list. */
export function envoyMetadataMatch(filter: string, key: string, patterns: readonly string[]): MetadataMatcher {
  const values = patterns.map((pattern) =>
    pattern.startsWith("[") && pattern.endsWith("]")
      ? oneOf(string(stringPattern(pattern.slice(1, -1))))
      : string(stringPattern(pattern)),
  );
  return metadata(filter, [key], anyOf(values));
}

function metadata(filter: string, path: readonly string[], value: ValueMatcher, invert = false): MetadataMatcher {
  return create(MetadataMatcherSchema, {
    invert,
    filter,
    path: path.map((key) => ({ segment: { case: "key" as const, value: key } })),
    value,
  });
}

type Pattern = NonNullable<Exclude<MessageInitShape<typeof ValueMatcherSchema>, { $typeName: string }>["matchPattern"]>;

function valueMatcher(matchPattern: Pattern): ValueMatcher {
  return create(ValueMatcherSchema, { matchPattern });
}

function string(matcher: StringMatcher): ValueMatcher {
  return valueMatcher({ case: "stringMatch", value: matcher });
}

function oneOf(value: ValueMatcher): ValueMatcher {
  return valueMatcher({ case: "listMatch", value: { matchPattern: { case: "oneOf", value } } });
}

function anyOf(values: ValueMatcher[]): ValueMatcher {
  const [first] = values;
  return values.length === 1 && first !== undefined
    ? first
    : valueMatcher({ case: "orMatch", value: { valueMatchers: values } });
}

/** Takes `[a][b]` apart; undefined when it is not a row of names in brackets. */
export function bracketNames(text: string): string[] | undefined {
  if (!text.startsWith("[") || !text.endsWith("]")) return undefined;
  return text.slice(1, -1).split("][");
}
