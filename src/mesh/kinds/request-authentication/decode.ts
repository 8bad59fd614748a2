// Reads a RequestAuthentication.
import { decodeSpec, duration, flag, list, record, strings, text, withDefault } from "../../objects/decode.ts";
import { policyTarget } from "../../objects/fields/policy-target.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { JwtRule, RequestAuthenticationSpec } from "./spec.ts";

const defaultTimeoutMs = 5000;

const rule = record<JwtRule>({
  issuer: text,
  audiences: strings,
  jwksUri: text,
  jwks: text,
  fromHeaders: list(record<JwtRule["fromHeaders"][number]>({ name: text, prefix: text })),
  fromParams: strings,
  fromCookies: strings,
  outputPayloadToHeader: text,
  forwardOriginalToken: flag,
  outputClaimToHeaders: list(record<JwtRule["outputClaimToHeaders"][number]>({ header: text, claim: text })),
  timeout: withDefault(duration, defaultTimeoutMs),
  spaceDelimitedClaims: strings,
});

const spec = record<RequestAuthenticationSpec>({ ...policyTarget, jwtRules: list(rule, 4096) });

export function decodeRequestAuthentication(
  object: KubernetesObject,
  report: Report,
): RequestAuthenticationSpec | undefined {
  return decodeSpec(object, spec, report);
}
