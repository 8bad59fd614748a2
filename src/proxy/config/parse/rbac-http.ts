// RBAC conditions on what a client can write in more than one way: headers that it repeats, host names in another case
// or with a port, paths with parameters. Where a match leads to refusal, every reading of the request is tried; where
// it leads to permission, only what Envoy reads.
import type { Any } from "@bufbuild/protobuf/wkt";
import type { HeaderMatcher } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { PathMatcher } from "#wire/gen/envoy/type/matcher/v3/path_pb.ts";
import { withoutPathParameters, withoutPort } from "../../decide/route.ts";
import type { Problems } from "../problems.ts";
import type { HeaderValue } from "../rbac.ts";
import { decodeByteMatcher, decodeHeaderTest, type HeaderTest } from "./matcher.ts";
import { always, type Condition, condition, type Position } from "./rbac-condition.ts";
import { decodeUriTemplate } from "./uri-template.ts";

export function headerCondition(rule: HeaderMatcher, position: Position, path: string, problems: Problems): Condition {
  const header = decodeHeaderTest(rule, path, problems);
  const { name, inverted, whenMissing } = header;
  const test = valueTest(header, position);
  // Called on the subject: the live one reads its own stream.
  return condition(describe(header.description), (subject) => {
    if (subject.headerValues === undefined) return false;
    const value = subject.headerValues(name);
    return value === undefined ? whenMissing : test(value) !== inverted;
  });
}

/** `:method exact "GET"` reads better without "header". */
function describe(description: string): string {
  return description.startsWith("header :") ? description.slice("header :".length) : description;
}

function valueTest(
  { name, test, inverted }: HeaderTest,
  { refuses, action }: Position,
): (value: NonNullable<HeaderValue>) => boolean {
  if (test === null) return () => true;
  const matches = name === ":authority" || name === "host" ? hostTest(test, refuses !== inverted) : test;
  if (refuses !== inverted) {
    // One value among several is enough, and so are the lines read as one list (RFC 9110 5.3).
    return (value) => (typeof value === "string" ? matches(value) : value.some(matches) || matches(value.join(",")));
  }
  // In a DENY rule a value that the negation is about must not hide behind another one.
  if (action === "deny") return (value) => (typeof value === "string" ? matches(value) : value.every(matches));
  return (value) => (typeof value === "string" ? matches(value) : value.some(matches));
}

/** Host names have no case, and `host:80` and `host.` are the same server (CVE-2021-39155). */
function hostTest(test: (value: string) => boolean, widened: boolean): (value: string) => boolean {
  if (!widened) return test;
  return (value) => {
    if (test(value)) return true;
    const lower = value.toLowerCase();
    if (lower !== value && test(lower)) return true;
    const bare = withoutPort(lower).replace(/\.$/, "");
    return bare !== lower && test(bare);
  };
}

export function pathCondition(rule: PathMatcher, position: Position, path: string, problems: Problems): Condition {
  const { matches, description } = decodeByteMatcher(rule.rule.value, `${path}.path`, problems);
  return onPath(matches, description, position);
}

export function templateCondition(
  config: Any | undefined,
  position: Position,
  path: string,
  problems: Problems,
): Condition {
  const test = decodeUriTemplate(config, path, problems);
  return test === null ? always : onPath(test.matches, test.description, position);
}

function onPath(matches: (path: string) => boolean, description: string, { refuses }: Position): Condition {
  const words = `path ${description}`;
  if (!refuses) return condition(words, ({ path }) => path !== undefined && matches(path));
  // Servers that know parameters serve `/admin;x` as `/admin` (CVE-2026-73511, CVE-2026-73553).
  return condition(
    words,
    ({ path }) => path !== undefined && (matches(path) || (path.includes(";") && matches(withoutPathParameters(path)))),
  );
}
