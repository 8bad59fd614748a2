// Settings of the compressor, for a chain and for a route.

import type { RuntimeFeatureFlag } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type {
  Compressor_CommonDirectionConfig as CommonDirection,
  Compressor,
  CompressorPerRoute,
} from "#wire/gen/envoy/extensions/filters/http/compressor/v3/compressor_pb.ts";
import type { FilterPlace } from "../../filter.ts";
import { type CompressionLibrary, parseCompressionLibrary } from "./libraries.ts";

export interface DirectionSettings {
  readonly minContentLength: number;
  /** Lower case, without parameters. */
  readonly contentTypes: ReadonlySet<string>;
}

export interface CompressorSettings {
  readonly library: CompressionLibrary;
  /** `<library name>.<library>.` as statistics have it. */
  readonly statName: string;
  /** Null: requests are not compressed. */
  readonly request: DirectionSettings | null;
  /** Null: responses are not compressed. */
  readonly response: (DirectionSettings & ResponseSettings) | null;
  readonly removesAcceptEncoding: boolean;
  /** Of encodings that a client likes equally, the one of the first filter, not the one that it names first. */
  readonly choosesFirst: boolean;
  /** Whether statistics of responses have a prefix of their own. */
  readonly hasResponseDirection: boolean;
}

interface ResponseSettings {
  readonly skipsWithEtag: boolean;
}

/** Null in a field: as the chain says. */
export interface CompressorRouteSettings {
  readonly isDisabled: boolean;
  readonly removesAcceptEncoding: boolean | null;
}

/** Envoy's list. */
const defaultTypes: readonly string[] = [
  "application/javascript",
  "application/json",
  "application/xhtml+xml",
  "image/svg+xml",
  "text/css",
  "text/html",
  "text/plain",
  "text/xml",
];

export function parseCompressor(message: Compressor, place: FilterPlace): CompressorSettings | null {
  const { path, problems } = place;
  const extension = message.compressorLibrary;
  const library = parseCompressionLibrary(extension?.typedConfig, `${path}.compressor_library.typed_config`, problems);
  if (library === null) return null;
  const { requestDirectionConfig: request, responseDirectionConfig: response } = message;
  noteRuntimeKeys(message, place);
  // Without a direction of their own, responses follow the fields from before there were directions.
  const legacy = { minContentLength: message.contentLength, contentType: message.contentType };
  const ofResponses = response === undefined ? legacy : (response.commonConfig ?? { contentType: [] });
  const responseFlag = response === undefined ? message.runtimeEnabled : response.commonConfig?.enabled;
  const skipsWithEtag = response?.disableOnEtagHeader ?? message.disableOnEtagHeader;
  return {
    library,
    statName: `${extension?.name ?? ""}.${library.name}.`,
    request: request !== undefined && isOn(request.commonConfig?.enabled) ? direction(request.commonConfig) : null,
    response: isOn(responseFlag) ? { ...direction(ofResponses), skipsWithEtag } : null,
    removesAcceptEncoding: response?.removeAcceptEncodingHeader ?? message.removeAcceptEncodingHeader,
    choosesFirst: message.chooseFirst,
    hasResponseDirection: response !== undefined,
  };
}

function noteRuntimeKeys(message: Compressor, { path, problems }: FilterPlace): void {
  const flags = {
    runtime_enabled: message.runtimeEnabled,
    "request_direction_config.common_config.enabled": message.requestDirectionConfig?.commonConfig?.enabled,
    "response_direction_config.common_config.enabled": message.responseDirectionConfig?.commonConfig?.enabled,
  };
  for (const [field, flag] of Object.entries(flags)) {
    if (flag !== undefined && flag.runtimeKey !== "") problems.leftOut(`${path}.${field}.runtime_key`, "a runtime key");
  }
}

function isOn(flag: RuntimeFeatureFlag | undefined): boolean {
  return flag?.defaultValue ?? true;
}

function direction(config: Pick<CommonDirection, "contentType" | "minContentLength"> | undefined): DirectionSettings {
  const types = config?.contentType ?? [];
  return {
    minContentLength: config?.minContentLength ?? 30,
    contentTypes: new Set((types.length === 0 ? defaultTypes : types).map((type) => type.toLowerCase())),
  };
}

export function parseCompressorRoute({ override }: CompressorPerRoute, place: FilterPlace): CompressorRouteSettings {
  if (override.case === "disabled") {
    if (!override.value) place.problems.invalid(`${place.path}.disabled`, "may only be true");
    return { isDisabled: true, removesAcceptEncoding: null };
  }
  if (override.case === undefined) place.problems.invalid(place.path, "overrides nothing");
  const removes = override.case === "overrides" ? override.value.responseDirectionConfig : undefined;
  return { isDisabled: false, removesAcceptEncoding: removes?.removeAcceptEncodingHeader ?? null };
}
