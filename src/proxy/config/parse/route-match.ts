// envoy.config.route.v3.RouteMatch to predicates with words for traces.
import type {
  RouteMatch as EnvoyRouteMatch,
  RouteMatch_TlsContextMatchOptions as TlsContextMatch,
} from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { RouteMatch } from "../http.ts";
import type { Problems } from "../problems.ts";
import { always } from "../runtime.ts";
import { decodeHeaderMatcher, decodeMetadataMatcher, decodeQueryMatcher, regexMatcher } from "./matcher.ts";
import { decodeUriTemplate } from "./uri-template.ts";
import { runtimeShare } from "./values.ts";

export function decodeMatch(match: EnvoyRouteMatch | undefined, path: string, problems: Problems): RouteMatch {
  const caseSensitive = match?.caseSensitive ?? true;
  const pathRule = decodePath(match, caseSensitive, path, problems);
  const headers = (match?.headers ?? []).map((it, i) => decodeHeaderMatcher(it, `${path}.headers[${i}]`, problems));
  const queryParameters = (match?.queryParameters ?? []).map((it, i) =>
    decodeQueryMatcher(it, `${path}.query_parameters[${i}]`, problems),
  );
  if (match?.grpc !== undefined) headers.push(grpcOnly);
  const metadata = (match?.dynamicMetadata ?? []).map((it, i) =>
    decodeMetadataMatcher(it, `${path}.dynamic_metadata[${i}]`, problems),
  );
  const clientCertificate = decodeClientCertificate(match?.tlsContext);
  const fraction = match?.runtimeFraction === undefined ? null : runtimeShare(match.runtimeFraction, always);
  const words = [
    describePath(pathRule),
    ...[...headers, ...queryParameters, ...metadata].map((it) => it.description),
    ...describeCertificate(clientCertificate),
    ...(fraction === null ? [] : [`${fraction.fraction * 100} % of the requests`]),
  ];
  return {
    path: pathRule,
    headers,
    queryParameters,
    metadata,
    clientCertificate,
    fraction,
    description: words.join(" and "),
  };
}

const grpcOnly: RouteMatch["headers"][number] = {
  name: "content-type",
  matches: (value) => value !== undefined && /^application\/grpc(\+|;|$)/.test(value),
  description: "gRPC",
};

function decodePath(
  match: EnvoyRouteMatch | undefined,
  caseSensitive: boolean,
  path: string,
  problems: Problems,
): RouteMatch["path"] {
  const specifier = match?.pathSpecifier;
  switch (specifier?.case) {
    case "prefix":
      return { type: "prefix", value: specifier.value, caseSensitive };
    case "path":
      return { type: "path", value: specifier.value, caseSensitive };
    case "pathSeparatedPrefix":
      return { type: "path_separated_prefix", value: specifier.value, caseSensitive };
    case "safeRegex":
      return { type: "regex", matcher: regexMatcher(specifier.value.regex, `${path}.safe_regex`, problems) };
    case "connectMatcher":
      return { type: "connect" };
    case "pathMatchPolicy": {
      const matcher = decodeUriTemplate(specifier.value.typedConfig, `${path}.path_match_policy`, problems);
      if (matcher !== null) return { type: "regex", matcher };
      break;
    }
    default:
      problems.invalid(path, "names no path");
  }
  return { type: "prefix", value: "/", caseSensitive };
}

function describePath(rule: RouteMatch["path"]): string {
  if (rule.type === "connect") return "CONNECT";
  if (rule.type === "regex") return `path ${rule.matcher.description}`;
  const kind = rule.type === "path" ? "path" : rule.type === "prefix" ? "prefix" : "path prefix";
  return `${kind} "${rule.value}"${rule.caseSensitive ? "" : " (any case)"}`;
}

function decodeClientCertificate(tls: TlsContextMatch | undefined): RouteMatch["clientCertificate"] {
  if (tls === undefined) return null;
  return { presented: tls.presented ?? null, validated: tls.validated ?? null };
}

function describeCertificate(wanted: RouteMatch["clientCertificate"]): string[] {
  if (wanted === null) return [];
  const { presented, validated } = wanted;
  return [
    ...(presented === null ? [] : [`a client certificate ${presented ? "presented" : "not presented"}`]),
    ...(validated === null ? [] : [`a client certificate ${validated ? "verified" : "not verified"}`]),
  ];
}
