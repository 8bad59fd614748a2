// HOT: per request. envoy.filters.http.compressor: compresses responses for clients that accept it, and requests where
// that is configured.
import {
  CompressorPerRouteSchema,
  CompressorSchema,
} from "#wire/gen/envoy/extensions/filters/http/compressor/v3/compressor_pb.ts";
import { CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { BODY_TUNNEL } from "../../../upstream/exchange.ts";
import { CodedBody } from "../../content-coding.ts";
import {
  CONTINUE,
  defineHttpFilter,
  type FilterContext,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { type MessageSide, requestSide, responseSide } from "../../message-side.ts";
import type { Stream } from "../../stream.ts";
import { chooseEncoding, offerEncoding, offerOf } from "./accept-encoding.ts";
import { compressionLibraries } from "./libraries.ts";
import {
  type CompressorRouteSettings,
  type CompressorSettings,
  type DirectionSettings,
  parseCompressor,
  parseCompressorRoute,
} from "./settings.ts";
import { ChoiceStats, DirectionStats } from "./stats.ts";

export const compressor: HttpFilterType = defineHttpFilter<CompressorSettings, CompressorRouteSettings>({
  type: "compressor",
  messages: [settingsFrom(CompressorSchema, parseCompressor)],
  routeMessages: [settingsFrom(CompressorPerRouteSchema, parseCompressorRoute)],
  extensions: compressionLibraries,
  configure: (settings, context) => sharedFilter(new CompressorFilter(settings, context)),
});

class CompressorFilter implements HttpFilter {
  readonly #settings: CompressorSettings;
  readonly #context: FilterContext<CompressorRouteSettings>;
  readonly #requestStats: DirectionStats;
  readonly #responseStats: DirectionStats;
  readonly #choiceStats: ChoiceStats;

  constructor(settings: CompressorSettings, context: FilterContext<CompressorRouteSettings>) {
    const prefix = `${context.statPrefix}compressor.${settings.statName}`;
    const { stats } = context.environment;
    this.#settings = settings;
    this.#context = context;
    this.#requestStats = new DirectionStats(stats, `${prefix}request.`);
    const ofResponses = settings.hasResponseDirection ? `${prefix}response.` : prefix;
    this.#responseStats = new DirectionStats(stats, ofResponses);
    this.#choiceStats = new ChoiceStats(stats, ofResponses);
  }

  onRequestHeaders(stream: Stream, headers: Headers, end: boolean): Verdict {
    const route = this.#context.routeSettings(stream);
    if (route?.isDisabled === true) return CONTINUE;
    const { response, library, removesAcceptEncoding } = this.#settings;
    if (response !== null) {
      offerEncoding(stream, { encoding: library.encoding, contentTypes: response.contentTypes });
      if (route?.removesAcceptEncoding ?? removesAcceptEncoding) headers.remove("accept-encoding");
    }
    if (this.#settings.request !== null) this.#compressRequest(stream, headers, end, this.#settings.request);
    return CONTINUE;
  }

  #compressRequest(stream: Stream, headers: Headers, end: boolean, settings: DirectionSettings): void {
    const isCompressible =
      !end &&
      stream.requestFraming !== BODY_TUNNEL &&
      isLongEnough(headers, settings, this.#requestStats) &&
      isOfType(headers, settings) &&
      !headers.has("content-encoding") &&
      hasNoCoding(headers);
    if (!isCompressible) {
      this.#requestStats.notCompressed.add();
      return;
    }
    stream.forgetRequestLength();
    headers.set("content-encoding", this.#settings.library.encoding);
    this.#compress(stream, requestSide, this.#requestStats);
  }

  onResponseHeaders(stream: Stream, headers: Headers, end: boolean): Verdict {
    const settings = this.#settings.response;
    const offer = offerOf(stream);
    if (settings === null || offer === undefined || this.#context.routeSettings(stream)?.isDisabled === true) {
      return CONTINUE;
    }
    const stats = this.#responseStats;
    const isCompressible =
      !stream.isTunnel &&
      isLongEnough(headers, settings, stats) &&
      isOfType(headers, settings) &&
      !isTransformForbidden(headers) &&
      this.#isEtagAllowed(headers, settings.skipsWithEtag) &&
      !headers.has("content-encoding") &&
      // A part of a resource is a part of its bytes as they are.
      stream.responseStatus !== 206;
    if (isCompressible && !end && this.#isChosen(offer, headers) && hasNoCoding(headers)) {
      this.#compressResponse(stream, headers);
    } else {
      stats.notCompressed.add();
    }
    if (isCompressible) addVary(headers);
    return CONTINUE;
  }

  #isEtagAllowed(headers: Headers, skipsWithEtag: boolean): boolean {
    if (!skipsWithEtag || !headers.has("etag")) return true;
    this.#choiceStats.notCompressedEtag.add();
    return false;
  }

  #isChosen(offer: NonNullable<ReturnType<typeof offerOf>>, headers: Headers): boolean {
    const choice = chooseEncoding(offer, typeOf(headers), this.#settings.choosesFirst);
    this.#choiceStats.count(choice, this.#settings.library.encoding);
    return choice.encoding === this.#settings.library.encoding;
  }

  #compressResponse(stream: Stream, headers: Headers): void {
    const { library } = this.#settings;
    // Of the compressed response, only what a weak validator says stays true (RFC 9110 8.8.1).
    if (!/^w\//i.test(headers.get("etag") ?? "")) headers.remove("etag");
    stream.forgetResponseLength();
    headers.set("content-encoding", library.encoding);
    this.#compress(stream, responseSide, this.#responseStats);
  }

  #compress(stream: Stream, side: MessageSide, stats: DirectionStats): void {
    stats.compressed.add();
    const body = new CodedBody(stream, side, this.#settings.library.create(), {
      taken: (bytes) => stats.uncompressedBytes.add(bytes),
      made: (bytes) => {
        stats.compressedBytes.add(bytes);
        return true;
      },
      // Compressing cannot fail but for want of memory; then the message may not look complete.
      failed: () => stream.abortResponse(),
    });
    stream.attach(this, body.filter);
  }
}

/** A length that is not told is long enough. */
function isLongEnough(headers: Headers, { minContentLength }: DirectionSettings, stats: DirectionStats): boolean {
  const length = headers.getId(CONTENT_LENGTH);
  if (length === undefined || Number(length) >= minContentLength) return true;
  stats.contentLengthTooSmall.add();
  return false;
}

/** Without parameters, in lower case; empty when it is not told. */
function typeOf(headers: Headers): string {
  return (headers.getId(CONTENT_TYPE) ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

function isOfType(headers: Headers, { contentTypes }: DirectionSettings): boolean {
  const type = typeOf(headers);
  return type === "" || contentTypes.has(type);
}

function isTransformForbidden(headers: Headers): boolean {
  return /(?:^|,)\s*no-transform\s*(?:,|$)/i.test(headers.get("cache-control") ?? "");
}

/** A message whose transfer is compressed already is not compressed again. */
function hasNoCoding(headers: Headers): boolean {
  const codings = headers.getId(TRANSFER_ENCODING);
  return codings === undefined || !/\b(?:gzip|deflate|br|zstd|compress)\b/i.test(codings);
}

function addVary(headers: Headers): void {
  const vary = headers.get("vary");
  if (vary === undefined) headers.add("vary", "Accept-Encoding");
  else if (!/(?:^|,)\s*(?:accept-encoding|\*)\s*(?:,|$)/i.test(vary)) headers.set("vary", `${vary}, Accept-Encoding`);
}
