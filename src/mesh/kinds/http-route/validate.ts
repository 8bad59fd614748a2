// Rules for HTTPRoutes that the types of their fields cannot say: those of the CRD's patterns and CEL expressions.
import {
  validateFilterShapes,
  validateHeaderMatches,
  validateHeaderModifier,
  validateRequestMirror,
} from "../../objects/fields/route-filter.ts";
import {
  validateBackendReference,
  validateGatewayHostname,
  validateParentReferences,
  validateUniqueNames,
} from "../../objects/fields/route-reference.ts";
import { checkRegex } from "../../objects/regex.ts";
import type { Report } from "../../objects/report.ts";
import type {
  HttpCors,
  HttpPathMatch,
  HttpPathModifier,
  HttpRouteFilter,
  HttpRouteMatch,
  HttpRouteRule,
  HttpRouteSpec,
} from "./spec.ts";

export function validateHttpRoute(spec: HttpRouteSpec, report: Report): void {
  validateParentReferences(spec.parentRefs, report);
  for (const [index, name] of spec.hostnames.entries()) {
    validateGatewayHostname(name, `spec.hostnames[${index}]`, report);
  }
  validateUniqueNames(spec.rules, "spec.rules", report);
  const matches = spec.rules.reduce((sum, rule) => sum + rule.matches.length, 0);
  if (matches > 128) report({ path: "spec.rules", message: `${matches} matches are more than the 128 of a route` });
  for (const [index, rule] of spec.rules.entries()) validateRule(rule, `spec.rules[${index}]`, report);
}

function validateRule(rule: HttpRouteRule, path: string, report: Report): void {
  for (const [index, match] of rule.matches.entries()) validateMatch(match, `${path}.matches[${index}]`, report);
  validateFilters(rule.filters, rule, `${path}.filters`, report);
  for (const [index, backend] of rule.backendRefs.entries()) {
    const at = `${path}.backendRefs[${index}]`;
    validateBackendReference(backend, at, report);
    validateFilters(backend.filters, rule, `${at}.filters`, report);
  }
  if (rule.backendRefs.length > 0 && rule.filters.some(({ requestRedirect }) => requestRedirect !== undefined)) {
    report({ path: `${path}.backendRefs`, message: "a rule that redirects sends to no backend" });
  }
  const { request, backendRequest } = rule.timeouts ?? {};
  if (request !== undefined && request > 0 && backendRequest !== undefined && backendRequest > request) {
    report({ path: `${path}.timeouts`, message: "backendRequest is longer than request" });
  }
}

function validateMatch(match: HttpRouteMatch, path: string, report: Report): void {
  validatePath(match.path, `${path}.path`, report);
  validateHeaderMatches(match.headers, `${path}.headers`, report);
  validateHeaderMatches(match.queryParams, `${path}.queryParams`, report);
}

const pathCharacters = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$/;
const unsafeParts = ["//", "/./", "/../", "%2f", "%2F", "#"];

function validatePath({ type, value }: HttpPathMatch, path: string, report: Report): void {
  const at = `${path}.value`;
  if (type === "RegularExpression") {
    checkRegex(value, at, report);
    return;
  }
  if (value.length > 1024) report({ path: at, message: `the path has ${value.length} characters, more than 1024` });
  else if (!value.startsWith("/")) report({ path: at, message: `"${value}" does not start with /`, fix: `/${value}` });
  else if (!pathCharacters.test(value)) report({ path: at, message: `"${value}" is not a path` });
  const unsafe = unsafeParts.find((part) => value.includes(part)) ?? ["/..", "/."].find((end) => value.endsWith(end));
  if (unsafe !== undefined) report({ path: at, message: `a path cannot have "${unsafe}"` });
}

const memberByType = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestMirror: "requestMirror",
  RequestRedirect: "requestRedirect",
  URLRewrite: "urlRewrite",
  CORS: "cors",
  ExtensionRef: "extensionRef",
  ExternalAuth: "externalAuth",
} as const;

const once = ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS"];

function validateFilters(filters: readonly HttpRouteFilter[], rule: HttpRouteRule, path: string, report: Report): void {
  validateFilterShapes(filters, memberByType, once, path, report);
  const types = filters.map(({ type }) => type);
  if (types.includes("RequestRedirect") && types.includes("URLRewrite")) {
    report({ path, message: "RequestRedirect and URLRewrite cannot stand together" });
  }
  for (const [index, filter] of filters.entries()) {
    const at = `${path}[${index}]`;
    const { requestHeaderModifier, responseHeaderModifier, requestMirror, requestRedirect, urlRewrite, cors } = filter;
    if (requestHeaderModifier) validateHeaderModifier(requestHeaderModifier, `${at}.requestHeaderModifier`, report);
    if (responseHeaderModifier) validateHeaderModifier(responseHeaderModifier, `${at}.responseHeaderModifier`, report);
    if (requestMirror) validateRequestMirror(requestMirror, `${at}.requestMirror`, report);
    if (requestRedirect?.path) validatePathModifier(requestRedirect.path, rule, `${at}.requestRedirect.path`, report);
    if (requestRedirect?.hostname) {
      validatePreciseHostname(requestRedirect.hostname, `${at}.requestRedirect.hostname`, report);
    }
    if (urlRewrite?.path) validatePathModifier(urlRewrite.path, rule, `${at}.urlRewrite.path`, report);
    if (urlRewrite?.hostname) validatePreciseHostname(urlRewrite.hostname, `${at}.urlRewrite.hostname`, report);
    if (cors) validateCors(cors, `${at}.cors`, report);
  }
}

function validatePreciseHostname(name: string, path: string, report: Report): void {
  if (name.startsWith("*")) report({ path, message: `"${name}" is a wildcard; a request is sent to one host` });
  else validateGatewayHostname(name, path, report);
}

function validatePathModifier(modifier: HttpPathModifier, rule: HttpRouteRule, path: string, report: Report): void {
  const { type, replaceFullPath, replacePrefixMatch } = modifier;
  const [needed, other] =
    type === "ReplaceFullPath"
      ? (["replaceFullPath", "replacePrefixMatch"] as const)
      : (["replacePrefixMatch", "replaceFullPath"] as const);
  if (modifier[needed] === undefined) report({ path, message: `${type} needs ${needed}` });
  if (modifier[other] !== undefined) report({ path: `${path}.${other}`, message: `${other} is not for ${type}` });
  if ((replaceFullPath ?? replacePrefixMatch ?? "").length > 1024) {
    report({ path, message: "the path has more than 1024 characters" });
  }
  const [only, ...others] = rule.matches;
  if (type === "ReplacePrefixMatch" && (others.length > 0 || only?.path.type !== "PathPrefix")) {
    report({ path, message: "ReplacePrefixMatch needs a rule with exactly one match, of a PathPrefix" });
  }
}

const origin = /^(?:\*|[a-zA-Z][a-zA-Z0-9+\-.]*:\/\/[^/\s?#]+)$/;

function validateCors(cors: HttpCors, path: string, report: Report): void {
  for (const [index, value] of cors.allowOrigins.entries()) {
    if (!origin.test(value)) {
      report({
        path: `${path}.allowOrigins[${index}]`,
        message: `"${value}" is not an origin`,
        fix: "scheme and host, as https://shop.example.com or https://*.example.com, or *",
      });
    }
  }
  for (const field of ["allowOrigins", "allowMethods", "allowHeaders"] as const) {
    if (cors[field].length > 1 && cors[field].includes("*")) {
      report({ path: `${path}.${field}`, message: '"*" cannot be combined with other entries' });
    }
  }
}
