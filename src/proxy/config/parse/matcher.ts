// Envoy's string, path, header, query, metadata and value matchers, compiled to functions with words for traces.
// Regular expressions from configuration run in RE2 (linear time) and must match the whole value, as in Envoy.
import { RE2JS } from "re2js";
import type {
  HeaderMatcher as EnvoyHeaderMatcher,
  QueryParameterMatcher,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { MetadataMatcher } from "#wire/gen/envoy/type/matcher/v3/metadata_pb.ts";
import type { RegexMatchAndSubstitute } from "#wire/gen/envoy/type/matcher/v3/regex_pb.ts";
import type { StringMatcher as EnvoyStringMatcher } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";
import type { ValueMatcher } from "#wire/gen/envoy/type/matcher/v3/value_pb.ts";
import type { RouteMatch } from "../http.ts";
import type { HeaderMatcher, StringMatcher } from "../matcher.ts";
import type { Problems } from "../problems.ts";

const never: StringMatcher = { matches: () => false, description: "nothing" };

/** Longest regular expression that is compiled. */
const maxRegexLength = 4096;

export function decodeStringMatcher(
  matcher: EnvoyStringMatcher | undefined,
  path: string,
  problems: Problems,
): StringMatcher {
  return stringMatcher(matcher, path, problems, asIs);
}

/** As `decodeStringMatcher`, for text of the wire: one character per byte, as header values and paths are kept. */
export function decodeByteMatcher(
  matcher: EnvoyStringMatcher | undefined,
  path: string,
  problems: Problems,
): StringMatcher {
  return stringMatcher(matcher, path, problems, wireText);
}

type Encode = (text: string) => string;
const asIs: Encode = (text) => text;
// Text from configuration as its UTF-8 bytes, one character each. No value of a header is beyond such a pattern: a
// matcher that cannot read a value would let every negated rule pass (CVE-2026-73552).
export const wireText: Encode = (text) =>
  /^[\x20-\x7e]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");

function stringMatcher(
  matcher: EnvoyStringMatcher | undefined,
  path: string,
  problems: Problems,
  encode: Encode,
): StringMatcher {
  const pattern = matcher?.matchPattern;
  if (matcher === undefined || pattern?.case === undefined) {
    problems.invalid(path, "names no pattern");
    return never;
  }
  if (pattern.case === "safeRegex") return regexMatcher(encode(pattern.value.regex), `${path}.safe_regex`, problems);
  if (pattern.case === "custom") {
    problems.unsupported(`${path}.custom`, "a custom string matcher");
    return never;
  }
  return literalMatcher(pattern.case, pattern.value, matcher.ignoreCase, encode);
}

/** Exact, prefix, suffix or contains; without case when asked. */
export function literalMatcher(
  kind: "exact" | "prefix" | "suffix" | "contains",
  value: string,
  ignoreCase: boolean,
  encode: Encode,
): StringMatcher {
  const test = literalTests[kind];
  const description = `${kind} "${value}"${ignoreCase ? " (any case)" : ""}`;
  if (!ignoreCase) return { matches: test(encode(value)), description };
  const lower = test(encode(value).toLowerCase());
  return { matches: (text) => lower(text.toLowerCase()), description };
}

const literalTests = {
  exact: (value: string) => (text: string) => text === value,
  prefix: (value: string) => (text: string) => text.startsWith(value),
  suffix: (value: string) => (text: string) => text.endsWith(value),
  contains: (value: string) => (text: string) => text.includes(value),
} as const;

export function regexMatcher(regex: string, path: string, problems: Problems): StringMatcher {
  const compiled = compileRegex(regex, path, problems);
  if (compiled === null) return never;
  const description = `regex "${regex}"`;
  const simple = simpleRegex(regex);
  if (simple === null) return { matches: (text) => compiled.testExact(text), description };
  // `.` is no line feed, which no header, name or path holds.
  return { matches: (text) => (text.includes("\n") ? compiled.testExact(text) : simple(text)), description };
}

/** A literal with `.*` before or behind it, as most generated expressions are: tested without the engine. */
function simpleRegex(regex: string): ((text: string) => boolean) | null {
  if (regex === ".*") return () => true;
  if (regex === ".+") return (text) => text !== "";
  const match = /^(\.\*)?((?:[^\\.+*?()|[\]{}^$]|\\[^A-Za-z0-9])+)(\.\*)?$/.exec(regex);
  if (match === null) return null;
  const [, before, literal = "", behind] = match;
  const value = literal.replace(/\\(.)/g, "$1");
  if (before !== undefined) return behind !== undefined ? literalTests.contains(value) : literalTests.suffix(value);
  return behind !== undefined ? literalTests.prefix(value) : literalTests.exact(value);
}

function compileRegex(regex: string, path: string, problems: Problems): RE2JS | null {
  if (regex.length > maxRegexLength) {
    problems.invalid(path, `the regular expression is longer than ${maxRegexLength} characters`);
    return null;
  }
  try {
    return RE2JS.compile(regex);
  } catch (error) {
    problems.invalid(path, `"${regex}" is not a regular expression: ${error instanceof Error ? error.message : "?"}`);
    return null;
  }
}

/** Compiles a rewrite: every match is replaced, `\1` stands for the first group. */
export function decodeRegexRewrite(
  rewrite: RegexMatchAndSubstitute | undefined,
  path: string,
  problems: Problems,
): ((text: string) => string) | null {
  if (rewrite === undefined) return null;
  const compiled = compileRegex(rewrite.pattern?.regex ?? "", `${path}.pattern.regex`, problems);
  if (compiled === null) return null;
  const parts = parseSubstitution(rewrite.substitution, compiled.groupCount(), `${path}.substitution`, problems);
  return (text) => {
    const matcher = compiled.matcher(text);
    let result = "";
    let end = 0;
    while (matcher.find()) {
      result += text.slice(end, matcher.start());
      for (const part of parts) result += typeof part === "string" ? part : (matcher.group(part) ?? "");
      end = matcher.end();
    }
    return result + text.slice(end);
  };
}

function parseSubstitution(text: string, groups: number, path: string, problems: Problems): (string | number)[] {
  const parts: (string | number)[] = [];
  let literal = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "\\") {
      literal += text[i];
      continue;
    }
    const next = text[++i];
    if (next === "\\") literal += "\\";
    else if (next !== undefined && next >= "0" && next <= "9" && Number(next) <= groups) {
      parts.push(literal, Number(next));
      literal = "";
    } else {
      problems.invalid(path, `"\\${next ?? ""}" names no group of the pattern, which has ${groups}`);
    }
  }
  return [...parts, literal].filter((part) => part !== "");
}

export function decodeHeaderMatcher(matcher: EnvoyHeaderMatcher, path: string, problems: Problems): HeaderMatcher {
  const { name, test, inverted, whenMissing, description } = decodeHeaderTest(matcher, path, problems);
  return {
    name,
    matches: (value) => (value === undefined ? whenMissing : (test === null || test(value)) !== inverted),
    description,
  };
}

/** A header matcher in its parts, for those who look at each of several values. */
export interface HeaderTest {
  readonly name: string;
  /** Of one value, before it is inverted; null asks only whether the header is there. */
  readonly test: ((value: string) => boolean) | null;
  readonly inverted: boolean;
  /** The answer, inverted or not, when the header is not there. */
  readonly whenMissing: boolean;
  readonly description: string;
}

export function decodeHeaderTest(matcher: EnvoyHeaderMatcher, path: string, problems: Problems): HeaderTest {
  const name = matcher.name.toLowerCase();
  if (name === "") problems.invalid(`${path}.name`, "is missing");
  const specifier = matcher.headerMatchSpecifier;
  if (specifier.case === undefined || specifier.case === "presentMatch") {
    const inverted = (specifier.case === undefined || specifier.value) === matcher.invertMatch;
    return {
      name,
      test: null,
      inverted,
      whenMissing: matcher.treatMissingHeaderAsEmpty !== inverted,
      description: `header ${name} ${inverted ? "absent" : "present"}`,
    };
  }
  const { matches, description } = headerValueMatcher(specifier, path, problems);
  const inverted = matcher.invertMatch;
  return {
    name,
    test: matches,
    inverted,
    whenMissing: matcher.treatMissingHeaderAsEmpty && matches("") !== inverted,
    description: `header ${name} ${inverted ? "not " : ""}${description}`,
  };
}

type HeaderSpecifier = Exclude<
  EnvoyHeaderMatcher["headerMatchSpecifier"],
  { case: undefined } | { case: "presentMatch" }
>;

function headerValueMatcher(specifier: HeaderSpecifier, path: string, problems: Problems): StringMatcher {
  switch (specifier.case) {
    case "exactMatch":
      return literalMatcher("exact", specifier.value, false, wireText);
    case "prefixMatch":
      return literalMatcher("prefix", specifier.value, false, wireText);
    case "suffixMatch":
      return literalMatcher("suffix", specifier.value, false, wireText);
    case "containsMatch":
      return literalMatcher("contains", specifier.value, false, wireText);
    case "safeRegexMatch":
      return regexMatcher(wireText(specifier.value.regex), `${path}.safe_regex_match`, problems);
    case "stringMatch":
      return decodeByteMatcher(specifier.value, `${path}.string_match`, problems);
    case "rangeMatch": {
      const { start, end } = specifier.value;
      return {
        matches: (value) => /^[+-]?\d{1,19}$/.test(value) && BigInt(value) >= start && BigInt(value) < end,
        description: `from ${start} to below ${end}`,
      };
    }
  }
}

export function decodeQueryMatcher(
  matcher: QueryParameterMatcher,
  path: string,
  problems: Problems,
): RouteMatch["queryParameters"][number] {
  const specifier = matcher.queryParameterMatchSpecifier;
  const name = matcher.name;
  if (specifier.case === "stringMatch") {
    const test = decodeStringMatcher(specifier.value, `${path}.string_match`, problems);
    return {
      name,
      matches: (value) => value !== undefined && test.matches(value),
      description: `query ${name} ${test.description}`,
    };
  }
  const wanted = specifier.case === undefined || specifier.value;
  return {
    name,
    matches: (value) => (value !== undefined) === wanted,
    description: `query ${name} ${wanted ? "present" : "absent"}`,
  };
}

export interface MetadataTest {
  readonly filter: string;
  readonly matches: (metadata: unknown) => boolean;
  /** What it looks at. */
  readonly read: (metadata: unknown) => unknown;
  readonly description: string;
}

/** A matcher over the dynamic metadata of one filter. */
export function decodeMetadataMatcher(matcher: MetadataMatcher, path: string, problems: Problems): MetadataTest {
  const keys = matcher.path.map((segment) => segment.segment.value ?? "");
  const test = decodeValueMatcher(matcher.value, `${path}.value`, problems);
  return {
    filter: matcher.filter,
    matches: (metadata) => test.matches(lookUp(metadata, keys)) !== matcher.invert,
    read: (metadata) => lookUp(metadata, keys),
    description: `metadata ${matcher.filter}/${keys.join("/")} ${matcher.invert ? "not " : ""}${test.description}`,
  };
}

function lookUp(metadata: unknown, keys: readonly string[]): unknown {
  let current = metadata;
  for (const key of keys) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Readonly<Record<string, unknown>>)[key];
  }
  return current;
}

interface ValueTest {
  readonly matches: (value: unknown) => boolean;
  readonly description: string;
}

function decodeValueMatcher(matcher: ValueMatcher | undefined, path: string, problems: Problems): ValueTest {
  const pattern = matcher?.matchPattern;
  switch (pattern?.case) {
    case "nullMatch":
      return { matches: (value) => value === null, description: "null" };
    case "boolMatch":
      return { matches: (value) => value === pattern.value, description: String(pattern.value) };
    case "presentMatch":
      return {
        matches: (value) => (value !== undefined) === pattern.value,
        description: pattern.value ? "present" : "absent",
      };
    case "stringMatch": {
      const test = decodeStringMatcher(pattern.value, `${path}.string_match`, problems);
      return { matches: (value) => typeof value === "string" && test.matches(value), description: test.description };
    }
    case "doubleMatch": {
      const rule = pattern.value.matchPattern;
      if (rule.case === "range") {
        const { start, end } = rule.value;
        return {
          matches: (value) => typeof value === "number" && value >= start && value < end,
          description: `from ${start} to below ${end}`,
        };
      }
      return { matches: (value) => value === rule.value, description: `equals ${rule.value}` };
    }
    case "listMatch": {
      const item = decodeValueMatcher(pattern.value.matchPattern.value, `${path}.list_match.one_of`, problems);
      return {
        matches: (value) => Array.isArray(value) && value.some((entry) => item.matches(entry)),
        description: `has an item ${item.description}`,
      };
    }
    case "orMatch": {
      const tests = pattern.value.valueMatchers.map((it, i) =>
        decodeValueMatcher(it, `${path}.or_match.value_matchers[${i}]`, problems),
      );
      return {
        matches: (value) => tests.some((test) => test.matches(value)),
        description: tests.map((test) => test.description).join(" or "),
      };
    }
    case undefined:
      problems.invalid(path, "names no pattern");
      return { matches: () => false, description: "nothing" };
  }
}
