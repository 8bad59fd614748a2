// What HTTPRoute and GRPCRoute share: matches of headers, and the filters that both have.
import { type Decoder, integer, list, oneOf, optional, record, string, text, withDefault } from "../decode.ts";
import { checkRegex } from "../regex.ts";
import type { Report } from "../report.ts";
import { type BackendReference, decodeBackendReference, validateBackendReference } from "./route-reference.ts";

export interface HeaderMatch {
  readonly type: "Exact" | "RegularExpression";
  readonly name: string;
  readonly value: string;
}

/** Matches of headers, and of query parameters, which have the same shape. */
export const headerMatches: { decode: Decoder<readonly HeaderMatch[]>; absent: readonly HeaderMatch[] } = list(
  record<HeaderMatch>({
    type: withDefault(oneOf(["Exact", "RegularExpression"]), "Exact"),
    name: text,
    value: text,
  }),
  16,
);

export interface HeaderValue {
  readonly name: string;
  readonly value: string;
}

export interface HeaderModifier {
  readonly set: readonly HeaderValue[];
  readonly add: readonly HeaderValue[];
  readonly remove: readonly string[];
}

const headerValues = list(record<HeaderValue>({ name: text, value: text }), 16);

export const decodeHeaderModifier: Decoder<HeaderModifier> = record<HeaderModifier>({
  set: headerValues,
  add: headerValues,
  remove: list(string, 16),
});

export interface RequestMirror {
  readonly backendRef: BackendReference;
  /** Of a hundred requests; undefined means all. */
  readonly percent?: number;
  readonly fraction?: Fraction;
}

interface Fraction {
  readonly numerator: number;
  readonly denominator: number;
}

export const decodeRequestMirror: Decoder<RequestMirror> = record<RequestMirror>({
  backendRef: withDefault(decodeBackendReference, { group: "", kind: "Service", namespace: "", name: "", port: 0 }),
  percent: optional(integer(0, 100)),
  fraction: optional(
    record<Fraction>({
      numerator: withDefault(integer(0, 2_147_483_647), 0),
      denominator: withDefault(integer(1, 2_147_483_647), 100),
    }),
  ),
});

export interface ExtensionReference {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

export const decodeExtensionReference: Decoder<ExtensionReference> = record<ExtensionReference>({
  group: text,
  kind: text,
  name: text,
});

const headerName = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}$/;

/** Names are tokens, stand once, and regular expressions are RE2's. */
export function validateHeaderMatches(matches: readonly HeaderMatch[], path: string, report: Report): void {
  const seen = new Set<string>();
  for (const [index, { type, name, value }] of matches.entries()) {
    const at = `${path}[${index}]`;
    if (!headerName.test(name)) report({ path: `${at}.name`, message: `"${name}" is not a name` });
    if (seen.has(name)) report({ path: `${at}.name`, message: `${name} stands twice` });
    seen.add(name);
    if (value === "") report({ path: `${at}.value`, message: "a value is needed" });
    else if (type === "RegularExpression") checkRegex(value, `${at}.value`, report);
  }
}

export function validateHeaderModifier(modifier: HeaderModifier, path: string, report: Report): void {
  for (const field of ["set", "add"] as const) {
    for (const [index, { name }] of modifier[field].entries()) {
      if (!headerName.test(name)) {
        report({ path: `${path}.${field}[${index}].name`, message: `"${name}" is not a header name` });
      }
    }
  }
}

export function validateRequestMirror(mirror: RequestMirror, path: string, report: Report): void {
  validateBackendReference(mirror.backendRef, `${path}.backendRef`, report);
  const { percent, fraction } = mirror;
  if (percent !== undefined && fraction !== undefined) {
    report({ path, message: "only one of percent and fraction can be set" });
  }
  if (fraction !== undefined && fraction.numerator > fraction.denominator) {
    report({ path: `${path}.fraction`, message: "the numerator is greater than the denominator" });
  }
}

interface TypedFilter {
  readonly type: string;
}

/** A filter's type names the one member that is set; filters that `once` lists stand at most once. */
export function validateFilterShapes<Filter extends TypedFilter>(
  filters: readonly Filter[],
  memberByType: Readonly<Record<string, keyof Filter & string>>,
  once: readonly string[],
  path: string,
  report: Report,
): void {
  for (const [index, filter] of filters.entries()) {
    const at = `${path}[${index}]`;
    for (const [type, member] of Object.entries(memberByType)) {
      const isSet = filter[member] !== undefined;
      if (type === filter.type && !isSet) report({ path: at, message: `a filter of type ${type} needs ${member}` });
      if (type !== filter.type && isSet) {
        report({
          path: `${at}.${member}`,
          message: `${member} is for filters of type ${type}, this one is ${filter.type}`,
        });
      }
    }
    if (once.includes(filter.type) && filters.findIndex(({ type }) => type === filter.type) < index) {
      report({ path: at, message: `the filter ${filter.type} can stand only once` });
    }
  }
}
