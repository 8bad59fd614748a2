// Which requirement a request has: of its route, or of the first rule that matches its head.
import { matchesRoute, type RouteRequest, withoutPathParameters } from "../../../decide/route.ts";
import type { Requirement } from "./requirement.ts";
import type { JwtRouteSettings, JwtRule, JwtSettings } from "./settings.ts";

export interface RuleQuestion {
  readonly request: RouteRequest;
  /** As routes are chosen by it. */
  readonly path: string;
  readonly random: number;
}

/** Null: it needs nothing. A text says why nobody knows what it needs. */
export function requirementOf(
  { byName, rules }: JwtSettings,
  ofRoute: JwtRouteSettings | null,
  question: RuleQuestion,
): Requirement | null | string {
  if (ofRoute !== null) {
    if (ofRoute.disabled) return null;
    const names = [...byName.keys()].join(",");
    return byName.get(ofRoute.name) ?? `Wrong requirement_name: ${ofRoute.name}. It should be one of [${names}]`;
  }
  const { request, path, random } = question;
  const plain = ruleFor(rules, request, path, random);
  if ((plain !== null && plain.type !== "none") || !path.includes(";")) return withoutNone(plain);
  // A server that takes `/admin;x` for `/admin` must not see it without the token (CVE-2026-73511).
  return withoutNone(ruleFor(rules, request, withoutPathParameters(path), random));
}

function ruleFor(rules: readonly JwtRule[], request: RouteRequest, path: string, random: number): Requirement | null {
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i] as JwtRule;
    if (matchesRoute(rule.match, request, path, random)) return rule.requirement;
  }
  return null;
}

function withoutNone(requirement: Requirement | null): Requirement | null {
  return requirement?.type === "none" ? null : requirement;
}
