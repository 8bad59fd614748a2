// StringMatch of a VirtualService as Envoy matchers. An empty match, and the regex `*`, mean "is present".

import { create } from "@bufbuild/protobuf";
import type { HeaderMatcher, QueryParameterMatcher } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import {
  HeaderMatcherSchema,
  QueryParameterMatcherSchema,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { StringMatcher } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";
import type { StringMatch } from "../../objects/fields/string-match.ts";
import { exactMatcher, prefixMatcher, regexMatcher } from "../envoy-values.ts";

/** Undefined when presence is all that is asked. */
export function stringMatcher(match: StringMatch): StringMatcher | undefined {
  if (match.exact !== undefined) return exactMatcher(match.exact);
  if (match.prefix !== undefined) return prefixMatcher(match.prefix);
  return match.regex === undefined || match.regex === "*" ? undefined : regexMatcher(match.regex);
}

export function headerMatcher(name: string, match: StringMatch): HeaderMatcher {
  const value = stringMatcher(match);
  return create(HeaderMatcherSchema, {
    name,
    headerMatchSpecifier: value ? { case: "stringMatch", value } : { case: "presentMatch", value: true },
  });
}

/** Holds when the header does not match; a missing header counts as an empty value. */
export function withoutHeaderMatcher(name: string, match: StringMatch): HeaderMatcher {
  const value = stringMatcher(match);
  return create(HeaderMatcherSchema, {
    name,
    headerMatchSpecifier: value ? { case: "stringMatch", value } : { case: "presentMatch", value: true },
    invertMatch: true,
    treatMissingHeaderAsEmpty: value !== undefined,
  });
}

export function queryParameterMatcher(name: string, match: StringMatch): QueryParameterMatcher {
  const value = stringMatcher(match);
  return create(QueryParameterMatcherSchema, {
    name,
    queryParameterMatchSpecifier: value ? { case: "stringMatch", value } : { case: "presentMatch", value: true },
  });
}
