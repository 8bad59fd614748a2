// Rules for GRPCRoutes that the types of their fields cannot say: those of the CRD's patterns and CEL expressions.
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
import type { GrpcMethodMatch, GrpcRouteFilter, GrpcRouteSpec } from "./spec.ts";

export function validateGrpcRoute(spec: GrpcRouteSpec, report: Report): void {
  validateParentReferences(spec.parentRefs, report);
  for (const [index, name] of spec.hostnames.entries()) {
    validateGatewayHostname(name, `spec.hostnames[${index}]`, report);
  }
  validateUniqueNames(spec.rules, "spec.rules", report);
  for (const [index, rule] of spec.rules.entries()) {
    const path = `spec.rules[${index}]`;
    for (const [at, match] of rule.matches.entries()) {
      const place = `${path}.matches[${at}]`;
      if (match.method !== undefined) validateMethod(match.method, `${place}.method`, report);
      validateHeaderMatches(match.headers, `${place}.headers`, report);
    }
    validateFilters(rule.filters, `${path}.filters`, report);
    for (const [at, backend] of rule.backendRefs.entries()) {
      validateBackendReference(backend, `${path}.backendRefs[${at}]`, report);
      validateFilters(backend.filters, `${path}.backendRefs[${at}].filters`, report);
    }
  }
}

const serviceName = /^[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)*$/;
const methodName = /^[A-Za-z_][A-Za-z_0-9]*$/;

function validateMethod({ type, service, method }: GrpcMethodMatch, path: string, report: Report): void {
  if (service === "" && method === "") report({ path, message: "at least one of service and method is needed" });
  if (type === "RegularExpression") {
    if (service !== "") checkRegex(service, `${path}.service`, report);
    if (method !== "") checkRegex(method, `${path}.method`, report);
    return;
  }
  if (service !== "" && !serviceName.test(service)) {
    report({ path: `${path}.service`, message: `"${service}" is not the full name of a gRPC service` });
  }
  if (method !== "" && !methodName.test(method)) {
    report({ path: `${path}.method`, message: `"${method}" is not the name of a method` });
  }
}

const memberByType = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestMirror: "requestMirror",
  ExtensionRef: "extensionRef",
} as const;

function validateFilters(filters: readonly GrpcRouteFilter[], path: string, report: Report): void {
  validateFilterShapes(filters, memberByType, ["RequestHeaderModifier", "ResponseHeaderModifier"], path, report);
  for (const [index, { requestHeaderModifier, responseHeaderModifier, requestMirror }] of filters.entries()) {
    const at = `${path}[${index}]`;
    if (requestHeaderModifier) validateHeaderModifier(requestHeaderModifier, `${at}.requestHeaderModifier`, report);
    if (responseHeaderModifier) validateHeaderModifier(responseHeaderModifier, `${at}.responseHeaderModifier`, report);
    if (requestMirror) validateRequestMirror(requestMirror, `${at}.requestMirror`, report);
  }
}
