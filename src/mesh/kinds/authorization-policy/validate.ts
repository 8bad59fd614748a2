// Rules for AuthorizationPolicies that the types of their fields cannot say (reference 1.15).
import { validateTarget } from "../../objects/fields/policy-target.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import { parseBool } from "../../objects/parse-bool.ts";
import type { Report } from "../../objects/report.ts";
import { isIpOrCidr, warn } from "../../objects/validate-names.ts";
import {
  AuthorizationAction,
  type AuthorizationPolicySpec,
  type AuthorizationRule,
  type Condition,
  dryRunAnnotation,
  type Operation,
  type Source,
} from "./spec.ts";

export function validateAuthorizationPolicy(
  spec: AuthorizationPolicySpec,
  report: Report,
  object: KubernetesObject,
): void {
  validateTarget(spec, report);
  const { action, rules, provider } = spec;
  if (action === AuthorizationAction.Custom) {
    if (provider === undefined || provider.name === "") {
      report({ path: "spec.provider", message: "CUSTOM needs provider.name" });
    }
    if (rules.length === 0) report({ path: "spec.rules", message: "CUSTOM without rules never triggers" });
  } else if (provider !== undefined) {
    report({ path: "spec.provider", message: `provider is for CUSTOM, not for ${action}` });
  }
  if (action === AuthorizationAction.Deny && rules.length === 0) {
    report({ path: "spec.rules", message: "DENY without rules never triggers", fix: "rules: [{}] denies everything" });
  }
  const dryRun = object.metadata.annotations?.[dryRunAnnotation];
  const at = `metadata.annotations["${dryRunAnnotation}"]`;
  if (dryRun !== undefined && action !== AuthorizationAction.Allow && action !== AuthorizationAction.Deny) {
    report({ path: at, message: `dry-run is for ALLOW and DENY, not for ${action}` });
  } else if (dryRun !== undefined && parseBool(dryRun) === undefined) {
    report({ path: at, message: `"${dryRun}" is neither true nor false` });
  }
  for (const [index, rule] of rules.entries()) {
    const path = `spec.rules[${index}]`;
    validateRule(rule, action, path, report);
    if (action === AuthorizationAction.Deny && isOfRequestsAlone(rule)) {
      const message = "this rule is about requests: it denies every connection to ports that are not HTTP";
      report(warn(path, message, "name the ports in an operation"));
    }
  }
}

/** What a DENY rule says of requests cannot be seen on a TCP port, where it then holds for everything. */
function isOfRequestsAlone({ from, to }: AuthorizationRule): boolean {
  const sources = from.flatMap(({ source }) => source ?? []);
  const operations = to.flatMap(({ operation }) => operation ?? []);
  if (operations.length > 0) return operations.every(({ ports, notPorts }) => ports.length + notPorts.length === 0);
  return (
    sources.length > 0 &&
    sources.every((source) =>
      Object.entries(source).every(([field, list]) => /requestPrincipals$/i.test(field) || list.length === 0),
    )
  );
}

function validateRule(rule: AuthorizationRule, action: AuthorizationAction, path: string, report: Report): void {
  for (const [index, { source }] of rule.from.entries()) {
    const at = `${path}.from[${index}]`;
    if (source === undefined) report({ path: at, message: "source is missing" });
    else validateSource(source, action, `${at}.source`, report);
  }
  for (const [index, { operation }] of rule.to.entries()) {
    const at = `${path}.to[${index}]`;
    if (operation === undefined) report({ path: at, message: "operation is missing" });
    else validateOperation(operation, `${at}.operation`, report);
  }
  for (const [index, condition] of rule.when.entries()) {
    validateCondition(condition, action, `${path}.when[${index}]`, report);
  }
}

/** What the shadow rules of CUSTOM cannot look at, as in Istio. */
const identityFields = [
  "principals",
  "notPrincipals",
  "requestPrincipals",
  "notRequestPrincipals",
  "namespaces",
  "notNamespaces",
  "serviceAccounts",
  "notServiceAccounts",
] as const;

const identityKeys: ReadonlySet<string> = new Set(["source.namespace", "source.principal", "source.serviceAccount"]);

function validateSource(source: Source, action: AuthorizationAction, path: string, report: Report): void {
  if (Object.values(source).every((list: readonly string[]) => list.length === 0)) {
    report({ path, message: "the source says nothing" });
  }
  const byAccount = source.serviceAccounts.length > 0 || source.notServiceAccounts.length > 0;
  const byName = [source.principals, source.notPrincipals, source.namespaces, source.notNamespaces];
  if (byAccount && byName.some((list) => list.length > 0)) {
    report({
      path,
      message: "serviceAccounts cannot be combined with principals or namespaces",
      fix: "use two sources",
    });
  }
  if (action === AuthorizationAction.Custom) {
    for (const field of identityFields) {
      if (source[field].length > 0)
        report({ path: `${path}.${field}`, message: `${field} is not possible with CUSTOM` });
    }
  }
  for (const field of ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"] as const) {
    validateEach(source[field], `${path}.${field}`, report, (value) =>
      isIpOrCidr(value) ? undefined : `"${value}" is not an IP address or a CIDR block`,
    );
  }
  for (const field of ["serviceAccounts", "notServiceAccounts"] as const) {
    if (source[field].length > 16) report({ path: `${path}.${field}`, message: "at most 16 can be given" });
    validateEach(source[field], `${path}.${field}`, report, serviceAccountProblem);
  }
  for (const field of ["trustDomains", "notTrustDomains"] as const) {
    validateEach(source[field], `${path}.${field}`, report, trustDomainProblem);
  }
  const patterns = [
    "principals",
    "notPrincipals",
    "requestPrincipals",
    "notRequestPrincipals",
    "namespaces",
    "notNamespaces",
  ] as const;
  for (const field of patterns) {
    validateEach(source[field], `${path}.${field}`, report, emptyProblem);
    if (/principals$/i.test(field) && !/request/i.test(field)) {
      warnOfNever(source[field], `${path}.${field}`, report, principalThatIsNone);
    }
    // In namespaces every star stands for anything.
    if (!/namespaces$/i.test(field)) warnOfStars(source[field], `${path}.${field}`, report);
  }
}

function validateOperation(operation: Operation, path: string, report: Report): void {
  if (Object.values(operation).every((list: readonly string[]) => list.length === 0)) {
    report({ path, message: "the operation says nothing" });
  }
  for (const field of ["ports", "notPorts"] as const) {
    validateEach(operation[field], `${path}.${field}`, report, portProblem);
  }
  for (const field of ["hosts", "notHosts", "methods", "notMethods"] as const) {
    validateEach(operation[field], `${path}.${field}`, report, emptyProblem);
    warnOfStars(operation[field], `${path}.${field}`, report);
  }
  for (const field of ["methods", "notMethods"] as const) {
    for (const [index, method] of operation[field].entries()) {
      if (/^[a-z]+$/.test(method) && knownMethods.has(method.toUpperCase())) {
        report(
          warn(`${path}.${field}[${index}]`, `methods are compared exactly, and are upper case`, method.toUpperCase()),
        );
      }
    }
  }
  for (const field of ["hosts", "notHosts"] as const) {
    warnOfNever(operation[field], `${path}.${field}`, report, hostThatIsNone);
  }
  for (const field of ["paths", "notPaths"] as const) {
    validateEach(operation[field], `${path}.${field}`, report, pathProblem);
    warnOfNever(operation[field], `${path}.${field}`, report, pathThatIsNone);
    warnOfStars(operation[field], `${path}.${field}`, report);
  }
}

const knownMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]);

const plainKeys: ReadonlySet<string> = new Set([
  "source.ip",
  "remote.ip",
  "source.namespace",
  "source.serviceAccount",
  "source.trustDomain",
  "source.principal",
  "request.auth.principal",
  "request.auth.audiences",
  "request.auth.presenter",
  "destination.ip",
  "destination.port",
  "connection.sni",
]);

const indexedKeys: readonly RegExp[] = [
  /^request\.headers\[[^\]]+\]$/,
  /^request\.auth\.claims(\[[^\]]+\])+$/,
  /^request\.experimental\.inline\.headers\[[^\]]+\]$/,
  /^experimental\.envoy\.filters\..+\[.+\]$/,
];

function validateCondition(condition: Condition, action: AuthorizationAction, path: string, report: Report): void {
  const { key, values, notValues } = condition;
  if (key === "") report({ path, message: "the key is empty" });
  else if (!plainKeys.has(key) && !indexedKeys.some((pattern) => pattern.test(key))) {
    const fix = `one of ${[...plainKeys].join(", ")}, request.headers[NAME], request.auth.claims[NAME]`;
    report({ path: `${path}.key`, message: `unknown key "${key}"`, fix });
  }
  if (action === AuthorizationAction.Custom && (key.startsWith("request.auth.") || identityKeys.has(key))) {
    report({ path: `${path}.key`, message: `${key} is not possible with CUSTOM` });
  }
  if (values.length === 0 && notValues.length === 0) report({ path, message: "values or notValues is needed" });
  const problem = problemOfValue(key);
  if (key === "source.principal") {
    warnOfNever(values, `${path}.values`, report, principalThatIsNone);
    warnOfNever(notValues, `${path}.notValues`, report, principalThatIsNone);
  }
  validateEach(values, `${path}.values`, report, problem);
  validateEach(notValues, `${path}.notValues`, report, problem);
}

function problemOfValue(key: string): (value: string) => string | undefined {
  if (key === "source.ip" || key === "remote.ip" || key === "destination.ip") {
    return (value) => (isIpOrCidr(value) ? undefined : `"${value}" is not an IP address or a CIDR block`);
  }
  if (key === "destination.port") return portProblem;
  if (key === "source.serviceAccount") return serviceAccountProblem;
  if (key === "source.trustDomain") return trustDomainProblem;
  return emptyProblem;
}

function emptyProblem(value: string): string | undefined {
  return value === "" ? "a value is empty" : undefined;
}

/** One star at the start or the end stands for anything; every other is an ordinary character. */
function warnOfStars(values: readonly string[], path: string, report: Report): void {
  for (const [index, value] of values.entries()) {
    if (value === "" || isPathTemplate(value) || patternProblem(value) === undefined) continue;
    const message = `"${value}": * stands for anything only alone, at the start or at the end; the others are ordinary characters`;
    report(warn(`${path}[${index}]`, message, ...(path.endsWith("aths") ? ["{*} is one part of a path"] : [])));
  }
}

/** Values that are in order and that nothing can have: a rule of DENY with one of them denies nobody. */
function warnOfNever(
  values: readonly string[],
  path: string,
  report: Report,
  whyNone: (value: string) => readonly [why: string, fix?: string] | undefined,
): void {
  for (const [index, value] of values.entries()) {
    const found = whyNone(value);
    if (found !== undefined) report(warn(`${path}[${index}]`, `"${value}" matches nothing: ${found[0]}`, found[1]));
  }
}

function principalThatIsNone(value: string): readonly [string, string] | undefined {
  return value.startsWith("spiffe://") ? ["principals are written without spiffe://", value.slice(9)] : undefined;
}

function hostThatIsNone(value: string): readonly [string, string?] | undefined {
  if (!value.includes("/")) return undefined;
  return ["a host has no scheme and no path", value.replace(/^[a-z]+:\/\//i, "").replace(/\/.*/, "")];
}

function pathThatIsNone(value: string): readonly [string, string?] | undefined {
  if (value !== "" && !/^[/*{]/.test(value)) return ["a path begins with /", `/${value}`];
  if (/[?#]/.test(value)) return ["paths are compared without query and fragment", value.replace(/[?#].*/, "")];
  return undefined;
}

function validateEach(
  values: readonly string[],
  path: string,
  report: Report,
  problem: (value: string) => string | undefined,
): void {
  for (const [index, value] of values.entries()) {
    const message = problem(value);
    if (message !== undefined) report({ path: `${path}[${index}]`, message });
  }
}

function portProblem(value: string): string | undefined {
  const number = Number(value);
  return /^\d+$/.test(value) && number >= 1 && number <= 65_535 ? undefined : `"${value}" is not a port`;
}

function serviceAccountProblem(value: string): string | undefined {
  if (value === "") return "a service account is empty";
  if (value.includes("*")) return `"${value}": wildcards are not possible in service accounts`;
  if (value.length > 320) return "the name is too long";
  const parts = value.split("/");
  return parts.length > 2 || parts.includes("") ? `"${value}" is not namespace/name or name` : undefined;
}

/** Exact, `prefix*`, `*suffix` or `*`. */
export function patternProblem(value: string): string | undefined {
  if (value === "") return "a value is empty";
  const inner = value === "*" ? "" : value.replace(/^\*/, "").replace(/\*$/, "");
  const both = value.length > 1 && value.startsWith("*") && value.endsWith("*");
  return inner.includes("*") || both ? `"${value}": * can stand only at the start or at the end` : undefined;
}

export function trustDomainProblem(value: string): string | undefined {
  if (value.includes("/")) return `"${value}" is not a trust domain`;
  return patternProblem(value);
}

function pathProblem(value: string): string | undefined {
  if (!isPathTemplate(value)) {
    return /[{}]/.test(value) ? `"${value}": braces are for {*} and {**}` : emptyProblem(value);
  }
  const segments = value.split("/");
  for (const segment of segments) {
    if (segment === "{*}" || segment === "{**}") continue;
    if (!isTemplateLiteral(segment)) return `"${value}": "${segment}" cannot stand in a path template`;
  }
  const open = segments.indexOf("{**}");
  const after = open === -1 ? [] : segments.slice(open + 1);
  return after.includes("{**}") || after.includes("{*}") ? `"${value}": no operator can follow {**}` : undefined;
}

export function isPathTemplate(path: string): boolean {
  return path.includes("{*}") || path.includes("{**}");
}

/** A path segment without operators: what RFC 3986 allows. */
export function isTemplateLiteral(segment: string): boolean {
  return /^[a-zA-Z0-9._~%!$&'()+,;:@=-]*$/.test(segment);
}
