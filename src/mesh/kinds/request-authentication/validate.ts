// Rules for RequestAuthentications that the types of their fields cannot say (reference 1.15).
import { validateTarget } from "../../objects/fields/policy-target.ts";
import type { Report } from "../../objects/report.ts";
import { warn } from "../../objects/validate-names.ts";
import type { JwtRule, RequestAuthenticationSpec } from "./spec.ts";

export function validateRequestAuthentication(spec: RequestAuthenticationSpec, report: Report): void {
  validateTarget(spec, report);
  for (const [index, rule] of spec.jwtRules.entries()) validateRule(rule, `spec.jwtRules[${index}]`, report);
}

function validateRule(rule: JwtRule, path: string, report: Report): void {
  if (rule.issuer === "") report({ path: `${path}.issuer`, message: "the issuer is missing", fix: "the claim iss" });
  if (rule.jwks !== "" && rule.jwksUri !== "") {
    report({ path: `${path}.jwks`, message: "only one of jwks and jwksUri can be set" });
  }
  if (rule.jwksUri !== "") validateUrl(rule.jwksUri, `${path}.jwksUri`, report);
  else if (rule.jwks !== "") validateKeys(rule.jwks, `${path}.jwks`, report);
  else if (rule.issuer !== "" && !isHttpUrl(rule.issuer)) {
    const message = `without jwksUri and jwks the keys come from the issuer, and "${rule.issuer}" is no address`;
    report(warn(`${path}.issuer`, message, "jwksUri: where the keys are"));
  }
  if (rule.timeout < 1) report({ path: `${path}.timeout`, message: "the timeout is shorter than 1 ms" });
  for (const [index, { name }] of rule.fromHeaders.entries()) {
    validateHeader(name, `${path}.fromHeaders[${index}].name`, report);
  }
  for (const [index, { header, claim }] of rule.outputClaimToHeaders.entries()) {
    validateHeader(header, `${path}.outputClaimToHeaders[${index}].header`, report);
    if (claim === "") report({ path: `${path}.outputClaimToHeaders[${index}].claim`, message: "the claim is empty" });
  }
  if (rule.outputPayloadToHeader !== "") {
    validateHeader(rule.outputPayloadToHeader, `${path}.outputPayloadToHeader`, report);
  }
  for (const field of ["audiences", "fromParams", "fromCookies", "spaceDelimitedClaims"] as const) {
    for (const [index, value] of rule[field].entries()) {
      if (value === "") report({ path: `${path}.${field}[${index}]`, message: "a value is empty" });
    }
  }
}

function validateHeader(name: string, path: string, report: Report): void {
  if (name === "") report({ path, message: "the header has no name" });
  else if (!/^[-_A-Za-z0-9]+$/.test(name)) report({ path, message: `"${name}" is not the name of a header` });
}

const maxUrlLength = 2048;

function validateUrl(url: string, path: string, report: Report): void {
  if (url.length > maxUrlLength) report({ path, message: `the address is longer than ${maxUrlLength} characters` });
  else if (!isHttpUrl(url)) {
    report({ path, message: `"${url}" is not an address`, fix: "https://HOST/PATH or http://HOST/PATH" });
  }
}

function isHttpUrl(text: string): boolean {
  return /^https?:\/\/[^/\s]+/.test(text) && URL.canParse(text);
}

function validateKeys(text: string, path: string, report: Report): void {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    report({ path, message: "the keys are not JSON", fix: "'{\"keys\":[...]}'" });
    return;
  }
  const keys = typeof json === "object" && json !== null && "keys" in json ? json.keys : undefined;
  if (!Array.isArray(keys)) report({ path, message: "there is no list of keys in it", fix: "'{\"keys\":[...]}'" });
}
