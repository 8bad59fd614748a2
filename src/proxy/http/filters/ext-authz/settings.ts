// envoy.extensions.filters.http.ext_authz.v3 as settings: whom to ask, about which requests, with what, and what to do
// with the answer.
import type { Origin } from "#base/issue.ts";
import type {
  BufferSettings,
  ExtAuthz,
  ExtAuthzPerRoute,
  HttpService,
} from "#wire/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts";
import type { ListStringMatcher } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";
import { decodeGrpcService, type GrpcServiceSettings } from "../../../config/parse/grpc-service.ts";
import { decodeByteMatcher, decodeMetadataMatcher, type MetadataTest } from "../../../config/parse/matcher.ts";
import { milliseconds, refuseUnknown, runtimeShare } from "../../../config/parse/values.ts";
import type { Problems } from "../../../config/problems.ts";
import { always, type RuntimeShare } from "../../../config/runtime.ts";
import type { FilterPlace } from "../../filter.ts";
import { decodeMutationRules, type MutationRules } from "./mutation-rules.ts";

/** Whether a header's name, in lower case, is meant. */
export type NameTest = (lowerName: string) => boolean;

export interface HttpServiceSettings {
  readonly type: "http";
  readonly cluster: string;
  readonly timeoutMs: number;
  readonly pathPrefix: string;
  readonly headersToAdd: readonly { readonly name: string; readonly value: string }[];
  /** Of a good answer: into the request in place of its own, or behind them; into the response; into metadata. */
  readonly upstream: NameTest | null;
  readonly upstreamAppended: NameTest | null;
  readonly clientOnSuccess: NameTest | null;
  readonly metadata: NameTest | null;
  /** Of a refusal: into the response; null: all. */
  readonly client: NameTest | null;
}

interface GrpcService extends GrpcServiceSettings {
  readonly type: "grpc";
}

export interface BodySettings {
  readonly maxBytes: number;
  readonly allowsPartial: boolean;
  readonly asBytes: boolean;
}

export interface ExtAuthzSettings {
  readonly service: HttpServiceSettings | GrpcService;
  readonly allowsOnFailure: boolean;
  readonly tellsFailure: boolean;
  readonly statusOnError: number;
  /** Null: the service gets no body. */
  readonly body: BodySettings | null;
  readonly clearsRouteCache: boolean;
  readonly validatesMutations: boolean;
  readonly mutationRules: MutationRules | null;
  /** Share of the requests that are asked about. */
  readonly enabledShare: RuntimeShare;
  /** Only requests with this in dynamic metadata are asked about; null: all. */
  readonly enabledBy: MetadataTest | null;
  readonly policyOrigins: ReadonlyMap<string, Origin>;
  readonly deniesUnasked: boolean;
  readonly sendsCertificate: boolean;
  readonly sendsServerName: boolean;
  /** Null: what the kind of service gets by default. */
  readonly sentHeaders: NameTest | null;
  readonly withheldHeaders: NameTest | null;
  readonly sendsRawHeaders: boolean;
  readonly metadataNamespaces: readonly string[];
  readonly routeMetadataNamespaces: readonly string[];
  readonly takesMetadata: boolean;
  /** Ends with a dot when it is not empty. */
  readonly statPrefix: string;
  readonly chargesCluster: boolean;
}

export type ExtAuthzRouteSettings =
  | { readonly disabled: true }
  | {
      readonly disabled: false;
      readonly contextExtensions: Readonly<Record<string, string>>;
      /** Null: no body; undefined: as the filter says. */
      readonly body: BodySettings | null | undefined;
    };

const defaultTimeoutMs = 200;

export function parseExtAuthz(
  message: ExtAuthz,
  { path, policyOrigins, problems }: FilterPlace,
): ExtAuthzSettings | null {
  refuseUnknown(message, path, problems);
  const service = decodeService(message, path, problems);
  if (service === null) return null;
  if (message.typedMetadataContextNamespaces.length > 0) {
    problems.leftOut(`${path}.typed_metadata_context_namespaces`, "sending typed metadata");
  }
  if (message.routeTypedMetadataContextNamespaces.length > 0) {
    problems.leftOut(`${path}.route_typed_metadata_context_namespaces`, "sending typed metadata");
  }
  if (message.bootstrapMetadataLabelsKey !== "") {
    problems.leftOut(`${path}.bootstrap_metadata_labels_key`, "sending labels of this proxy");
  }
  const { filterEnabledMetadata, decoderHeaderMutationRules, withRequestBody } = message;
  const inHttpService =
    message.services.case === "httpService" ? message.services.value.authorizationRequest?.allowedHeaders : undefined;
  const sent = message.allowedHeaders ?? inHttpService;
  return {
    service,
    allowsOnFailure: message.failureModeAllow,
    tellsFailure: message.failureModeAllowHeaderAdd,
    statusOnError: message.statusOnError?.code || 403,
    body: withRequestBody === undefined ? null : decodeBody(withRequestBody, `${path}.with_request_body`, problems),
    clearsRouteCache: message.clearRouteCache,
    validatesMutations: message.validateMutations,
    mutationRules:
      decoderHeaderMutationRules === undefined
        ? null
        : decodeMutationRules(decoderHeaderMutationRules, `${path}.decoder_header_mutation_rules`, problems),
    enabledShare: runtimeShare(message.filterEnabled, always),
    enabledBy:
      filterEnabledMetadata === undefined
        ? null
        : decodeMetadataMatcher(filterEnabledMetadata, `${path}.filter_enabled_metadata`, problems),
    policyOrigins,
    deniesUnasked: message.denyAtDisable?.defaultValue === true,
    sendsCertificate: message.includePeerCertificate,
    sendsServerName: message.includeTlsSession,
    sentHeaders: decodeNames(sent, `${path}.allowed_headers`, problems),
    withheldHeaders: decodeNames(message.disallowedHeaders, `${path}.disallowed_headers`, problems),
    sendsRawHeaders: message.encodeRawHeaders,
    metadataNamespaces: message.metadataContextNamespaces,
    routeMetadataNamespaces: message.routeMetadataContextNamespaces,
    takesMetadata: message.enableDynamicMetadataIngestion ?? true,
    statPrefix: message.statPrefix === "" ? "" : `${message.statPrefix}.`,
    chargesCluster: message.chargeClusterResponseStats ?? true,
  };
}

function decodeService(message: ExtAuthz, path: string, problems: Problems): ExtAuthzSettings["service"] | null {
  const { services } = message;
  if (services.case === "grpcService") {
    const grpc = decodeGrpcService(services.value, defaultTimeoutMs, `${path}.grpc_service`, problems);
    return grpc === null ? null : { type: "grpc", ...grpc };
  }
  if (services.case === "httpService") return decodeHttpService(services.value, `${path}.http_service`, problems);
  problems.invalid(path, "names no service to ask");
  return null;
}

function decodeHttpService(service: HttpService, path: string, problems: Problems): HttpServiceSettings {
  refuseUnknown(service, path, problems);
  const { authorizationRequest: request, authorizationResponse: response, pathPrefix, serverUri } = service;
  const cluster = serverUri?.httpUpstreamType.case === "cluster" ? serverUri.httpUpstreamType.value : "";
  if (cluster === "") problems.invalid(`${path}.server_uri.cluster`, "is missing");
  if (pathPrefix !== "" && !/^\/[^\s#?]*$/.test(pathPrefix)) {
    problems.invalid(`${path}.path_prefix`, `"${pathPrefix}" is not a path`);
  }
  const names = (list: ListStringMatcher | undefined, field: string): NameTest | null =>
    decodeNames(list, `${path}.authorization_response.${field}`, problems);
  return {
    type: "http",
    cluster,
    timeoutMs: milliseconds(serverUri?.timeout, defaultTimeoutMs),
    pathPrefix,
    headersToAdd: (request?.headersToAdd ?? []).map(({ key, value, rawValue }) => ({
      name: key.toLowerCase(),
      value: value === "" ? Buffer.from(rawValue).toString("latin1") : Buffer.from(value).toString("latin1"),
    })),
    upstream: names(response?.allowedUpstreamHeaders, "allowed_upstream_headers"),
    upstreamAppended: names(response?.allowedUpstreamHeadersToAppend, "allowed_upstream_headers_to_append"),
    clientOnSuccess: names(response?.allowedClientHeadersOnSuccess, "allowed_client_headers_on_success"),
    metadata: names(response?.dynamicMetadataFromHeaders, "dynamic_metadata_from_headers"),
    client: names(response?.allowedClientHeaders, "allowed_client_headers"),
  };
}

function decodeBody(message: BufferSettings, path: string, problems: Problems): BodySettings {
  if (message.maxRequestBytes === 0) problems.invalid(`${path}.max_request_bytes`, "is missing or 0");
  return {
    maxBytes: message.maxRequestBytes,
    allowsPartial: message.allowPartialMessage,
    asBytes: message.packAsBytes,
  };
}

/** Null: no list. */
function decodeNames(list: ListStringMatcher | undefined, path: string, problems: Problems): NameTest | null {
  if (list === undefined) return null;
  const tests = list.patterns.map((it, i) => decodeByteMatcher(it, `${path}.patterns[${i}]`, problems));
  return (name) => tests.some((test) => test.matches(name));
}

export function parseExtAuthzPerRoute(
  message: ExtAuthzPerRoute,
  { path, problems }: FilterPlace,
): ExtAuthzRouteSettings {
  const { override } = message;
  if (override.case !== "checkSettings") {
    if (override.case === undefined || !override.value) problems.invalid(path, "overrides nothing");
    return { disabled: true };
  }
  const settings = override.value;
  refuseUnknown(settings, `${path}.check_settings`, problems);
  const { contextExtensions, disableRequestBodyBuffering, withRequestBody } = settings;
  if (disableRequestBodyBuffering && withRequestBody !== undefined) {
    problems.invalid(`${path}.check_settings`, "disables the request body and sets it");
  }
  return {
    disabled: false,
    contextExtensions,
    body: disableRequestBodyBuffering
      ? null
      : withRequestBody === undefined
        ? undefined
        : decodeBody(withRequestBody, `${path}.check_settings.with_request_body`, problems),
  };
}
