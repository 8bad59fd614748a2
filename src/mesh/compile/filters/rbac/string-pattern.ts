// Istio's string patterns in authorization policies: `abc` exact, `abc*` prefix, `*abc` suffix, `*` present.
import { create } from "@bufbuild/protobuf";
import { type HeaderMatcher, HeaderMatcherSchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import { type StringMatcher, StringMatcherSchema } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";
import { exactMatcher, prefixMatcher, quoteRegex, regexMatcher, suffixMatcher } from "../../envoy-values.ts";

/** Matches any value that is not empty. */
export const anyValue: StringMatcher = regexMatcher(".+");

/** Compiles a pattern; `prefix` is put before the literal part (`spiffe://` before a principal). */
export function stringPattern(pattern: string, prefix = ""): StringMatcher {
  if (pattern === "*") return anyValue;
  if (pattern.startsWith("*")) {
    const suffix = pattern.slice(1);
    return prefix === "" ? suffixMatcher(suffix) : regexMatcher(`${prefix}.*${quoteRegex(suffix)}`);
  }
  if (pattern.endsWith("*")) return prefixMatcher(prefix + pattern.slice(0, -1));
  return exactMatcher(prefix + pattern);
}

export function headerPattern(name: string, pattern: string, ignoreCase = false): HeaderMatcher {
  return create(HeaderMatcherSchema, {
    name,
    headerMatchSpecifier:
      pattern === "*"
        ? { case: "presentMatch", value: true }
        : { case: "stringMatch", value: withCase(stringPattern(pattern), ignoreCase) },
  });
}

export function withCase(matcher: StringMatcher, ignoreCase: boolean): StringMatcher {
  return ignoreCase ? create(StringMatcherSchema, { matchPattern: matcher.matchPattern, ignoreCase }) : matcher;
}
