// IST0130 and IST0131: routes of a VirtualService that no request reaches because an earlier one takes them all, and
// matches that repeat an earlier match.
import { type Issue, Severity } from "#base/issue.ts";
import type { HttpMatchRequest, VirtualServiceSpec } from "../kinds/virtual-service/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { type AnalysisContext, issueOf } from "./context.ts";

export function checkUnreachableRoutes({ objects }: AnalysisContext): Issue[] {
  return objects.all("VirtualService").flatMap(checkRoutes);
}

function checkRoutes(virtualService: MeshObject<VirtualServiceSpec>): Issue[] {
  const { http } = virtualService.spec;
  const issues: Issue[] = [];
  const report = (code: string, severity: Severity, path: string, message: string, fix: string): void => {
    issues.push(issueOf(virtualService, { code, severity, path, message, fix }));
  };
  const seen = new Map<string, number>();
  let catchAll: number | undefined;
  for (const [index, route] of http.entries()) {
    const path = `spec.http[${index}]`;
    if (catchAll !== undefined) {
      const message = `no request comes here: http[${catchAll}] matches everything`;
      report("IST0130", Severity.Warning, path, message, "put the route that matches everything last");
      continue;
    }
    let repeated = 0;
    for (const [at, match] of route.match.entries()) {
      const key = matchKey(match);
      const earlier = seen.get(key);
      if (earlier === undefined) seen.set(key, index);
      else {
        repeated++;
        const message = `http[${earlier}] has the same match and comes first`;
        report("IST0131", Severity.Info, `${path}.match[${at}]`, message, "remove one of them");
      }
    }
    if (repeated > 0 && repeated === route.match.length) {
      const message = "no request comes here: all its matches stand in earlier routes";
      report("IST0130", Severity.Warning, path, message, "remove the route, or change its matches");
    }
    if (route.match.length === 0 || route.match.some(matchesEverything)) catchAll = index;
  }
  return issues;
}

/** Everything that decides, in a fixed order; names and statistics do not. */
function matchKey(match: HttpMatchRequest): string {
  const sorted = (record: Readonly<Record<string, unknown>>): [string, unknown][] => Object.entries(record).sort();
  return JSON.stringify([
    match.uri,
    match.ignoreUriCase,
    match.scheme,
    match.method,
    match.authority,
    match.port,
    match.sourceNamespace,
    [...match.gateways].sort(),
    sorted(match.headers),
    sorted(match.withoutHeaders),
    sorted(match.queryParams),
    sorted(match.sourceLabels),
  ]);
}

function matchesEverything(match: HttpMatchRequest): boolean {
  const isAnyPath = match.uri === undefined || match.uri.prefix === "/" || match.uri.regex === ".*";
  const others = [match.scheme, match.method, match.authority];
  const maps = [match.headers, match.withoutHeaders, match.queryParams, match.sourceLabels];
  return (
    isAnyPath &&
    others.every((item) => item === undefined) &&
    maps.every((map) => Object.keys(map).length === 0) &&
    match.port === 0 &&
    match.sourceNamespace === "" &&
    match.gateways.length === 0
  );
}
