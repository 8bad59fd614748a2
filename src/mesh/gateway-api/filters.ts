// Filters of HTTPRoutes and GRPCRoutes as parts of a VirtualService's route.
import type {
  HttpCors,
  HttpPathMatch,
  HttpPathModifier,
  HttpRequestRedirect,
  HttpRouteFilter,
  HttpUrlRewrite,
} from "../kinds/http-route/spec.ts";
import type {
  CorsPolicy,
  HeaderOperations,
  Headers,
  HttpMirrorPolicy,
  HttpRedirect,
  HttpRewrite,
  HttpRoute,
} from "../kinds/virtual-service/spec.ts";
import type { HeaderModifier, HeaderValue, RequestMirror } from "../objects/fields/route-filter.ts";
import type { StringMatch } from "../objects/fields/string-match.ts";
import { type BackendContext, resolveBackend } from "./backends.ts";
import type { RuleProblem } from "./made-route.ts";

export interface AppliedFilters {
  readonly route: Partial<HttpRoute>;
  readonly problems: readonly RuleProblem[];
  /** A filter cannot be applied: the rule answers 500, for a filter must not be skipped. */
  readonly isBroken: boolean;
}

/** `matched` is the path match of the rule's one route, whose prefix may be replaced. */
export function applyFilters(
  filters: readonly HttpRouteFilter[],
  matched: HttpPathMatch,
  path: string,
  context: BackendContext,
): AppliedFilters {
  const problems: RuleProblem[] = [];
  const mirrors: HttpMirrorPolicy[] = [];
  let isBroken = false;
  const route: { -readonly [Field in keyof HttpRoute]?: HttpRoute[Field] } = {};
  for (const [index, filter] of filters.entries()) {
    const at = `${path}[${index}]`;
    const { requestMirror, requestRedirect, urlRewrite, cors } = filter;
    if (requestMirror !== undefined) {
      const mirror = mirrorOf(requestMirror, context);
      if ("reason" in mirror) problems.push({ ...mirror, path: `${at}.requestMirror.backendRef` });
      else mirrors.push(mirror);
    }
    if (requestRedirect !== undefined) route.redirect = redirectOf(requestRedirect, matched);
    if (urlRewrite !== undefined) {
      const rewrite = rewriteOf(urlRewrite, matched);
      if (rewrite !== undefined) route.rewrite = rewrite;
    }
    if (cors !== undefined) route.corsPolicy = corsOf(cors);
    if (filter.type === "ExtensionRef" || filter.type === "ExternalAuth") {
      const message = `the filter ${filter.type} is not supported; the rule answers 500`;
      problems.push({ reason: "InvalidFilter", message, path: at });
      isBroken = true;
    }
  }
  const headers = headersOf(filters);
  return { route: { ...route, mirrors, ...(headers !== undefined && { headers }) }, problems, isBroken };
}

export function headersOf(
  filters: readonly Pick<HttpRouteFilter, "requestHeaderModifier" | "responseHeaderModifier">[],
): Headers | undefined {
  const request = filters.find((item) => item.requestHeaderModifier !== undefined)?.requestHeaderModifier;
  const response = filters.find((item) => item.responseHeaderModifier !== undefined)?.responseHeaderModifier;
  if (request === undefined && response === undefined) return undefined;
  return {
    ...(request !== undefined && { request: operations(request) }),
    ...(response !== undefined && { response: operations(response) }),
  };
}

function operations({ set, add, remove }: HeaderModifier): HeaderOperations {
  return { set: byName(set), add: byName(add), remove };
}

/** Of entries that name the same header the first counts. */
function byName(values: readonly HeaderValue[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const { name, value } of values) headers[name.toLowerCase()] ??= value;
  return headers;
}

function mirrorOf(mirror: RequestMirror, context: BackendContext): HttpMirrorPolicy | Omit<RuleProblem, "path"> {
  const { destination, problem } = resolveBackend(mirror.backendRef, context);
  if (problem !== undefined) return problem;
  const { fraction, percent } = mirror;
  const percentage = fraction === undefined ? percent : (100 * fraction.numerator) / fraction.denominator;
  return { destination, ...(percentage !== undefined && { percentage }) };
}

function redirectOf(redirect: HttpRequestRedirect, matched: HttpPathMatch): HttpRedirect {
  const { scheme, hostname, path, port, statusCode } = redirect;
  return {
    uri: path?.replaceFullPath ?? "",
    prefixRewrite: path?.replacePrefixMatch === undefined ? "" : replacement(path.replacePrefixMatch, matched),
    authority: hostname,
    port,
    // Of the scheme that was asked for, else that of the listener.
    ...(port === 0 && {
      derivePort: scheme === undefined ? ("FROM_REQUEST_PORT" as const) : ("FROM_PROTOCOL_DEFAULT" as const),
    }),
    scheme: scheme ?? "",
    redirectCode: statusCode,
  };
}

function rewriteOf({ hostname, path }: HttpUrlRewrite, matched: HttpPathMatch): HttpRewrite | undefined {
  const uri = path === undefined ? {} : rewrittenPath(path, matched);
  if (hostname === "" && Object.keys(uri).length === 0) return undefined;
  return { uri: "", authority: hostname, ...uri };
}

function rewrittenPath(path: HttpPathModifier, matched: HttpPathMatch): Partial<HttpRewrite> {
  if (path.replaceFullPath !== undefined) {
    return { uriRegexRewrite: { match: "/.*", rewrite: path.replaceFullPath } };
  }
  return { uri: replacement(path.replacePrefixMatch ?? "", matched) };
}

/** The replacement joins the rest of the path with exactly one slash: that of the rest, where the rest has one. */
function replacement(prefix: string, matched: HttpPathMatch): string {
  const trimmed = prefix.replace(/\/+$/, "");
  // The rest of a path after the prefix `/` has no slash.
  return matched.value === "/" || trimmed === "" ? `${trimmed}/` : trimmed;
}

function corsOf(cors: HttpCors): CorsPolicy {
  return {
    allowOrigins: cors.allowOrigins.map(originMatch),
    allowOrigin: [],
    allowMethods: cors.allowMethods,
    allowHeaders: cors.allowHeaders,
    exposeHeaders: cors.exposeHeaders,
    maxAge: cors.maxAge * 1000,
    ...(cors.allowCredentials !== undefined && { allowCredentials: cors.allowCredentials }),
    unmatchedPreflights: "UNSPECIFIED",
  };
}

/** `*` is every origin; a `*` within one stands for any characters of a host. */
function originMatch(origin: string): StringMatch {
  if (origin === "*") return { regex: ".*" };
  if (!origin.includes("*")) return { exact: origin };
  const parts = origin.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return { regex: parts.join("[^/]*") };
}
