// Reads an HTTPRoute.
import {
  boolean,
  type Decoder,
  decodeSpec,
  int32,
  integer,
  list,
  oneOf,
  optional,
  record,
  string,
  text,
  withDefault,
} from "../../objects/decode.ts";
import { gatewayApiDuration } from "../../objects/fields/gateway-api-duration.ts";
import {
  decodeExtensionReference,
  decodeHeaderModifier,
  decodeRequestMirror,
  headerMatches,
} from "../../objects/fields/route-filter.ts";
import { parentReferences, weightedBackendFields } from "../../objects/fields/route-reference.ts";
import { sessionPersistence } from "../../objects/fields/session-persistence.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  type HttpBackend,
  type HttpCors,
  type HttpPathMatch,
  type HttpPathModifier,
  type HttpRequestRedirect,
  type HttpRouteFilter,
  type HttpRouteMatch,
  type HttpRouteRetry,
  type HttpRouteRule,
  type HttpRouteSpec,
  type HttpRouteTimeouts,
  type HttpUrlRewrite,
  httpRouteFilterTypes,
} from "./spec.ts";

const everyPath: HttpPathMatch = { type: "PathPrefix", value: "/" };
const everyRequest: HttpRouteMatch = { path: everyPath, headers: [], queryParams: [], method: "" };
const everyRule: HttpRouteRule = { name: "", matches: [everyRequest], filters: [], backendRefs: [] };

const methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] as const;

const match = record<HttpRouteMatch>({
  path: withDefault(
    record<HttpPathMatch>({
      type: withDefault(oneOf(["Exact", "PathPrefix", "RegularExpression"]), "PathPrefix"),
      value: withDefault(string, "/"),
    }),
    everyPath,
  ),
  headers: headerMatches,
  queryParams: headerMatches,
  method: withDefault<string>(oneOf(methods), ""),
});

const pathModifier = record<HttpPathModifier>({
  type: withDefault(oneOf(["ReplaceFullPath", "ReplacePrefixMatch"]), "ReplaceFullPath"),
  replaceFullPath: optional(string),
  replacePrefixMatch: optional(string),
});

const redirectCode: Decoder<number> = (value, path, report) => {
  const code = integer(300, 399)(value, path, report);
  if (code === undefined || [301, 302, 303, 307, 308].includes(code)) return code;
  report({ path, message: `${code} is not a redirect that can be asked for`, fix: "301, 302, 303, 307 or 308" });
  return undefined;
};

const redirect = record<HttpRequestRedirect>({
  scheme: optional(oneOf(["http", "https"])),
  hostname: text,
  path: optional(pathModifier),
  port: withDefault(integer(1, 65535), 0),
  statusCode: withDefault(redirectCode, 302),
});

const cors = record<HttpCors>({
  allowOrigins: list(string, 64),
  allowCredentials: optional(boolean),
  allowMethods: list(string, 9),
  allowHeaders: list(string, 64),
  exposeHeaders: list(string, 64),
  maxAge: withDefault(integer(1, 2_147_483_647), 5),
});

const anything: Decoder<unknown> = (value) => value;

const filter = record<HttpRouteFilter>({
  type: withDefault(oneOf(httpRouteFilterTypes), "ExtensionRef"),
  requestHeaderModifier: optional(decodeHeaderModifier),
  responseHeaderModifier: optional(decodeHeaderModifier),
  requestMirror: optional(decodeRequestMirror),
  requestRedirect: optional(redirect),
  urlRewrite: optional(record<HttpUrlRewrite>({ hostname: text, path: optional(pathModifier) })),
  cors: optional(cors),
  extensionRef: optional(decodeExtensionReference),
  externalAuth: optional(anything),
});

const rule = record<HttpRouteRule>({
  name: text,
  matches: { ...list(match, 64), absent: [everyRequest] },
  filters: list(filter, 16),
  backendRefs: list(record<HttpBackend>({ ...weightedBackendFields, filters: list(filter, 16) }), 16),
  timeouts: optional(
    record<HttpRouteTimeouts>({ request: optional(gatewayApiDuration), backendRequest: optional(gatewayApiDuration) }),
  ),
  retry: optional(
    record<HttpRouteRetry>({
      codes: list(integer(400, 599)),
      attempts: optional(int32),
      backoff: optional(gatewayApiDuration),
    }),
  ),
  sessionPersistence: optional(sessionPersistence),
});

const spec: Decoder<HttpRouteSpec> = record<HttpRouteSpec>({
  parentRefs: parentReferences,
  hostnames: list(string, 16),
  rules: { ...list(rule, 16), absent: [everyRule] },
});

export function decodeHttpRoute(object: KubernetesObject, report: Report): HttpRouteSpec | undefined {
  const decoded = decodeSpec(object, spec, report);
  if (decoded === undefined) return undefined;
  const rules = decoded.rules.map((item) => (item.matches.length > 0 ? item : { ...item, matches: [everyRequest] }));
  return { ...decoded, rules: rules.length > 0 ? rules : [everyRule] };
}
