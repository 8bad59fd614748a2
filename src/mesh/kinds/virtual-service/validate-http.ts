// Rules for HTTP routes that the types of their fields cannot say (reference 1.15).
import { validateDuration } from "../../objects/fields/duration-validate.ts";
import { grpcStatusNames } from "../../objects/fields/grpc-status.ts";
import type { HttpRetry } from "../../objects/fields/http-retry.ts";
import { validatePortNumber } from "../../objects/fields/port.ts";
import { validateLabels } from "../../objects/fields/selector.ts";
import { validateStringMatch } from "../../objects/fields/string-match.ts";
import { checkRegex } from "../../objects/regex.ts";
import type { Report } from "../../objects/report.ts";
import { nearest } from "../../objects/suggest.ts";
import { isDnsLabel, validateHost, validateSubsetName, warn } from "../../objects/validate-names.ts";
import { validateGatewayNames } from "./gateway-names.ts";
import { routingClaims } from "./resolve.ts";
import type {
  CorsPolicy,
  Destination,
  HttpDirectResponse,
  HttpFaultInjection,
  HttpMatchRequest,
  HttpRedirect,
  HttpRewrite,
  HttpRoute,
} from "./spec.ts";
import { validateAuthority, validateHeaders } from "./validate-headers.ts";

export function validateHttpRoute(route: HttpRoute, isDelegate: boolean, path: string, report: Report): void {
  validateActions(route, isDelegate, path, report);
  for (const [index, match] of route.match.entries()) validateMatch(match, `${path}.match[${index}]`, report);
  for (const [index, item] of route.route.entries()) {
    const at = `${path}.route[${index}]`;
    validateDestination(item.destination, `${at}.destination`, report);
    if (item.headers !== undefined) validateHeaders(item.headers, `${at}.headers`, report);
  }
  validateWeights(route.route, `${path}.route`, report);
  if (route.redirect !== undefined) validateRedirect(route.redirect, route.match, `${path}.redirect`, report);
  if (route.directResponse !== undefined)
    validateDirectResponse(route.directResponse, `${path}.directResponse`, report);
  if (route.rewrite !== undefined) validateRewrite(route.rewrite, `${path}.rewrite`, report);
  if (route.fault !== undefined) validateFault(route.fault, `${path}.fault`, report);
  if (route.retries !== undefined) validateRetries(route.retries, `${path}.retries`, report);
  if (route.corsPolicy !== undefined) validateCors(route.corsPolicy, `${path}.corsPolicy`, report);
  if (route.headers !== undefined) validateHeaders(route.headers, `${path}.headers`, report);
  validateAuthority(route, path, report);
  validateDuration(route.timeout, `${path}.timeout`, report);
  validateMirrors(route, path, report);
}

function validateActions(route: HttpRoute, isDelegate: boolean, path: string, report: Report): void {
  const actions = [
    route.route.length > 0 ? "route" : undefined,
    route.redirect === undefined ? undefined : "redirect",
    route.directResponse === undefined ? undefined : "directResponse",
    route.delegate === undefined ? undefined : "delegate",
  ].filter((action) => action !== undefined);
  if (actions.length === 0) {
    report({ path, message: "the route does nothing", fix: "one of route, redirect, directResponse and delegate" });
  }
  if (actions.length > 1) report({ path, message: `${actions.join(" and ")} cannot stand in one route` });
  if (isDelegate && route.delegate !== undefined) {
    report({ path: `${path}.delegate`, message: "a delegate cannot delegate further" });
  }
  if (route.redirect === undefined && route.directResponse === undefined) return;
  for (const field of ["fault", "rewrite"] as const) {
    if (route[field] === undefined) continue;
    const action = route.redirect === undefined ? "directResponse" : "redirect";
    report({ path: `${path}.${field}`, message: `${field} cannot be combined with ${action}` });
  }
}

function validateMatch(match: HttpMatchRequest, path: string, report: Report): void {
  for (const field of ["uri", "scheme", "method", "authority"] as const) {
    const value = match[field];
    // Every path begins with nothing.
    const isEveryPath = field === "uri" && value?.prefix === "";
    if (value !== undefined && !isEveryPath) validateStringMatch(value, `${path}.${field}`, report);
  }
  for (const field of ["headers", "withoutHeaders", "queryParams"] as const) {
    for (const [name, value] of Object.entries(match[field])) {
      const at = `${path}.${field}["${name}"]`;
      if (name === "") report({ path: at, message: "the name is empty" });
      else if (field !== "queryParams" && !headerName.test(name) && routingClaims(name) === undefined) {
        report({ path: at, message: `"${name}" is not a header name`, ...fixOfName(name) });
      }
      // The regex * is Istio's spelling of "is present".
      if (value.regex !== "*") validateStringMatch(value, at, report);
    }
  }
  if (match.port !== 0) validatePortNumber(match.port, `${path}.port`, report);
  validateLabels(match.sourceLabels, `${path}.sourceLabels`, report);
  validateGatewayNames(match.gateways, `${path}.gateways`, report);
  if (match.sourceNamespace !== "" && !isDnsLabel(match.sourceNamespace)) {
    report({ path: `${path}.sourceNamespace`, message: `"${match.sourceNamespace}" is not a namespace` });
  }
}

const headerName = /^[-_A-Za-z0-9]+$/;

function fixOfName(name: string): { readonly fix?: string } {
  if (/^:(?:authority|method|scheme)$/.test(name)) return { fix: `match.${name.slice(1)}` };
  if (name === ":path") return { fix: "match.uri" };
  return name.startsWith("@") ? { fix: "@request.auth.claims.NAME" } : {};
}

/** Claims of a token are looked at by gateways alone. */
export function validateNoClaims(route: HttpRoute, path: string, report: Report): void {
  for (const [index, match] of route.match.entries()) {
    for (const field of ["headers", "withoutHeaders"] as const) {
      for (const name of Object.keys(match[field])) {
        if (routingClaims(name) === undefined) continue;
        const at = `${path}.match[${index}].${field}["${name}"]`;
        report({ path: at, message: "claims are matched by gateways alone", fix: "gateways: those that route by it" });
      }
    }
  }
}

export function validateDestination(destination: Destination, path: string, report: Report): void {
  if (destination.host === "") report({ path: `${path}.host`, message: "a destination needs a host" });
  else if (destination.host === "*") report({ path: `${path}.host`, message: "the host * is no destination" });
  else validateHost(destination.host, `${path}.host`, report);
  if (destination.subset !== "") validateSubsetName(destination.subset, `${path}.subset`, report);
  if (destination.port !== undefined) validatePortNumber(destination.port.number, `${path}.port.number`, report);
}

export function validateWeights(routes: readonly { readonly weight: number }[], path: string, report: Report): void {
  for (const [index, { weight }] of routes.entries()) {
    if (weight < 0) report({ path: `${path}[${index}].weight`, message: `the weight ${weight} is negative` });
  }
  if (routes.length > 1 && routes.every(({ weight }) => weight === 0)) {
    report({ path, message: "all weights are 0", fix: "give each destination a weight" });
  }
}

function validateRedirect(
  redirect: HttpRedirect,
  matches: readonly HttpMatchRequest[],
  path: string,
  report: Report,
): void {
  const { uri, prefixRewrite, authority, scheme, port, derivePort } = redirect;
  if (
    uri === "" &&
    prefixRewrite === "" &&
    authority === "" &&
    scheme === "" &&
    port === 0 &&
    derivePort === undefined
  ) {
    report({ path, message: "the redirect leads nowhere", fix: "set uri, prefixRewrite, authority, scheme or port" });
  }
  if (uri !== "" && prefixRewrite !== "") report({ path, message: "uri and prefixRewrite cannot both be set" });
  if (prefixRewrite !== "" && !(matches.length > 0 && matches.every((match) => match.uri?.prefix !== undefined))) {
    report({ path: `${path}.prefixRewrite`, message: "prefixRewrite needs a uri prefix in every match" });
  }
  if (port !== 0 && derivePort !== undefined) report({ path, message: "port and derivePort cannot both be set" });
  if (port !== 0) validatePortNumber(port, `${path}.port`, report);
  if (!["", "http", "https"].includes(scheme)) {
    report({ path: `${path}.scheme`, message: `"${scheme}" is neither http nor https` });
  }
  if (redirect.redirectCode < 300 || redirect.redirectCode > 399) {
    report({ path: `${path}.redirectCode`, message: `${redirect.redirectCode} is not a 3xx code` });
  }
}

function validateDirectResponse(response: HttpDirectResponse, path: string, report: Report): void {
  if (response.status < 200 || response.status > 599) {
    report({ path: `${path}.status`, message: `${response.status} is not between 200 and 599` });
  }
  const { bytes } = response.body ?? {};
  if (bytes !== undefined && !/^[A-Za-z0-9+/_-]*={0,2}$/.test(bytes)) {
    report({ path: `${path}.body.bytes`, message: "the value is not base64", fix: "encode it, or use string" });
  }
  const size = response.body?.string?.length ?? Math.floor(((response.body?.bytes?.length ?? 0) * 3) / 4);
  if (size > 1024 * 1024) report({ path: `${path}.body`, message: "the body is larger than 1 MiB" });
  else if (size > 100 * 1024) report(warn(`${path}.body`, "the body is larger than 100 KiB"));
}

function validateRewrite(rewrite: HttpRewrite, path: string, report: Report): void {
  const { uri, authority, uriRegexRewrite } = rewrite;
  if (uri === "" && authority === "" && uriRegexRewrite === undefined) {
    report({ path, message: "the rewrite changes nothing", fix: "set uri, uriRegexRewrite or authority" });
  }
  if (uri !== "" && uriRegexRewrite !== undefined)
    report({ path, message: "uri and uriRegexRewrite cannot both be set" });
  if (uriRegexRewrite === undefined) return;
  if (uriRegexRewrite.match === "" || uriRegexRewrite.rewrite === "") {
    report({ path: `${path}.uriRegexRewrite`, message: "match and rewrite are both needed" });
  } else checkRegex(uriRegexRewrite.match, `${path}.uriRegexRewrite.match`, report);
}

function validateFault(fault: HttpFaultInjection, path: string, report: Report): void {
  const { delay, abort } = fault;
  if (delay === undefined && abort === undefined) report({ path, message: "a fault needs delay or abort" });
  if (delay !== undefined) {
    if (delay.exponentialDelay !== undefined) {
      report({ path: `${path}.delay.exponentialDelay`, message: "exponentialDelay is not supported" });
    }
    if (delay.fixedDelay === undefined && delay.exponentialDelay === undefined) {
      report(warn(`${path}.delay`, "without fixedDelay nothing is delayed"));
    }
    validateDuration(delay.fixedDelay, `${path}.delay.fixedDelay`, report);
    validatePercentage(delay.percentage, `${path}.delay.percentage`, report);
  }
  if (abort === undefined) return;
  const kinds = [abort.httpStatus, abort.grpcStatus, abort.http2Error].filter((kind) => kind !== undefined);
  if (kinds.length > 1) report({ path: `${path}.abort`, message: "only one of httpStatus and grpcStatus can be set" });
  if (kinds.length === 0) report(warn(`${path}.abort`, "without httpStatus and grpcStatus nothing is aborted"));
  if (abort.http2Error !== undefined)
    report({ path: `${path}.abort.http2Error`, message: "http2Error is not supported" });
  if (abort.httpStatus !== undefined && (abort.httpStatus < 200 || abort.httpStatus > 599)) {
    report({ path: `${path}.abort.httpStatus`, message: `${abort.httpStatus} is not between 200 and 599` });
  }
  if (abort.grpcStatus !== undefined && !grpcStatusNames.includes(abort.grpcStatus)) {
    const fix = `one of ${grpcStatusNames.join(", ")}`;
    report({ path: `${path}.abort.grpcStatus`, message: `unknown gRPC status "${abort.grpcStatus}"`, fix });
  }
  validatePercentage(abort.percentage, `${path}.abort.percentage`, report);
}

function validatePercentage(percentage: number | undefined, path: string, report: Report): void {
  if (percentage === undefined) return;
  if (percentage < 0 || percentage > 100) report({ path, message: `${percentage} is not between 0 and 100` });
  else if (percentage > 0 && percentage < 0.0001) report({ path, message: `${percentage} is less than 0.0001` });
}

const retryConditions: ReadonlySet<string> = new Set([
  "5xx",
  "gateway-error",
  "reset",
  "reset-before-request",
  "connect-failure",
  "envoy-ratelimited",
  "retriable-4xx",
  "refused-stream",
  "retriable-status-codes",
  "retriable-headers",
  "http3-post-connect-failure",
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
]);

function validateRetries(retries: HttpRetry, path: string, report: Report): void {
  if (retries.attempts < 0) report({ path: `${path}.attempts`, message: `${retries.attempts} attempts are negative` });
  const others = [retries.perTryTimeout, retries.retryRemoteLocalities, retries.backoff];
  if (retries.attempts === 0 && (retries.retryOn !== "" || others.some((item) => item !== undefined))) {
    report({ path, message: "with attempts 0 the other fields have no meaning", fix: "attempts: 2" });
  }
  for (const field of ["perTryTimeout", "backoff"] as const) {
    validateDuration(retries[field], `${path}.${field}`, report);
  }
  for (const token of retries.retryOn === "" ? [] : retries.retryOn.split(",")) {
    if (retryConditions.has(token)) continue;
    if (/^\d{3}$/.test(token) && Number(token) >= 100 && Number(token) < 600) continue;
    const message = `"${token}" is neither a retry condition nor a status code`;
    report({ path: `${path}.retryOn`, message, ...(token !== token.trim() && { fix: "commas without spaces" }) });
  }
}

const knownMethods: ReadonlySet<string> = new Set([
  "*",
  "CONNECT",
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
  "TRACE",
]);

function validateCors(cors: CorsPolicy, path: string, report: Report): void {
  for (const [index, origin] of cors.allowOrigins.entries()) {
    const at = `${path}.allowOrigins[${index}]`;
    validateStringMatch(origin, at, report);
    if ([origin.exact, origin.prefix, origin.regex].every((value) => value === undefined) || origin.exact === "") {
      report({ path: at, message: "the origin is empty", fix: "exact: https://NAME" });
    }
  }
  for (const field of ["allowHeaders", "exposeHeaders"] as const) {
    for (const [index, name] of cors[field].entries()) {
      if (name === "*" || headerName.test(name)) continue;
      report({ path: `${path}.${field}[${index}]`, message: `"${name}" is not a header name` });
    }
  }
  for (const [index, method] of cors.allowMethods.entries()) {
    if (knownMethods.has(method)) continue;
    const fix = nearest(method, knownMethods);
    report({
      path: `${path}.allowMethods[${index}]`,
      message: `"${method}" is not a method that Istio knows`,
      ...(fix !== undefined && { fix: `did you mean "${fix}"?` }),
    });
  }
  if (cors.maxAge !== undefined && (cors.maxAge < 1000 || cors.maxAge % 1000 !== 0)) {
    report({ path: `${path}.maxAge`, message: "maxAge must be whole seconds, at least one" });
  }
}

function validateMirrors(route: HttpRoute, path: string, report: Report): void {
  if (route.mirror !== undefined) validateDestination(route.mirror, `${path}.mirror`, report);
  if (route.mirror !== undefined && route.mirrors.length > 0) {
    report({ path: `${path}.mirrors`, message: "mirror and mirrors cannot both be set" });
  }
  for (const [index, mirror] of route.mirrors.entries()) {
    validateDestination(mirror.destination, `${path}.mirrors[${index}].destination`, report);
    validatePercentage(mirror.percentage, `${path}.mirrors[${index}].percentage`, report);
  }
  validatePercentage(route.mirrorPercentage, `${path}.mirrorPercentage`, report);
  if (route.mirrorPercent !== undefined && route.mirrorPercent > 100) {
    report({ path: `${path}.mirrorPercent`, message: `${route.mirrorPercent} is more than 100` });
  } else if (route.mirrorPercent !== undefined) {
    const fix = `mirrorPercentage: { value: ${route.mirrorPercent} }`;
    report(warn(`${path}.mirrorPercent`, "mirrorPercent is an old spelling", fix));
  }
}
