// HOT: per request. envoy.filters.http.decompressor: decompresses requests and responses that are coded in its encoding,
// and tells upstreams that responses may be. How much a body may grow is bounded while it is decompressed.
import type { RuntimeFeatureFlag } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  type Decompressor_CommonDirectionConfig as CommonDirection,
  type Decompressor,
  DecompressorSchema,
} from "#wire/gen/envoy/extensions/filters/http/decompressor/v3/decompressor_pb.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { Counter, Stats } from "../../../stats/stats.ts";
import { CodedBody } from "../../content-coding.ts";
import {
  CONTINUE,
  defineHttpFilter,
  type FilterContext,
  type FilterPlace,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { requestNotDecompressed, responseNotDecompressed } from "../../local-replies.ts";
import { type MessageSide, requestSide, responseSide } from "../../message-side.ts";
import type { Stream } from "../../stream.ts";
import { type DecompressionLibrary, decompressionLibraries, parseDecompressionLibrary } from "./libraries.ts";

interface DirectionSettings {
  readonly isEnabled: boolean;
  readonly ignoresNoTransform: boolean;
}

interface DecompressorSettings {
  readonly library: DecompressionLibrary;
  /** `<library name>.<library>.` as statistics have it. */
  readonly statName: string;
  readonly request: DirectionSettings;
  readonly response: DirectionSettings;
  readonly advertises: boolean;
}

export const decompressor: HttpFilterType = defineHttpFilter<DecompressorSettings>({
  type: "decompressor",
  messages: [settingsFrom(DecompressorSchema, parse)],
  extensions: decompressionLibraries,
  configure: (settings, context) => sharedFilter(new DecompressorFilter(settings, context)),
});

function parse(message: Decompressor, { path, problems }: FilterPlace): DecompressorSettings | null {
  const extension = message.decompressorLibrary;
  const library = parseDecompressionLibrary(
    extension?.typedConfig,
    `${path}.decompressor_library.typed_config`,
    problems,
  );
  if (library === null) return null;
  const note = (flag: RuntimeFeatureFlag | undefined, field: string): void => {
    if (flag !== undefined && flag.runtimeKey !== "") problems.leftOut(`${path}.${field}.runtime_key`, "a runtime key");
  };
  note(message.requestDirectionConfig?.commonConfig?.enabled, "request_direction_config.common_config.enabled");
  note(message.responseDirectionConfig?.commonConfig?.enabled, "response_direction_config.common_config.enabled");
  return {
    library,
    statName: `${extension?.name ?? ""}.${library.name}.`,
    request: direction(message.requestDirectionConfig?.commonConfig),
    response: direction(message.responseDirectionConfig?.commonConfig),
    advertises: message.requestDirectionConfig?.advertiseAcceptEncoding ?? true,
  };
}

function direction(config: CommonDirection | undefined): DirectionSettings {
  return {
    isEnabled: config?.enabled?.defaultValue ?? true,
    ignoresNoTransform: config?.ignoreNoTransformHeader ?? false,
  };
}

class DecompressorFilter implements HttpFilter {
  readonly #settings: DecompressorSettings;
  readonly #requestStats: DecompressorStats;
  readonly #responseStats: DecompressorStats;

  constructor(settings: DecompressorSettings, { environment, statPrefix }: FilterContext<never>) {
    const prefix = `${statPrefix}decompressor.${settings.statName}`;
    this.#settings = settings;
    this.#requestStats = new DecompressorStats(environment.stats, `${prefix}request.`);
    this.#responseStats = new DecompressorStats(environment.stats, `${prefix}response.`);
  }

  onRequestHeaders(stream: Stream, headers: Headers, end: boolean): Verdict {
    const { request, response, advertises, library } = this.#settings;
    if (response.isEnabled && advertises) addToList(headers, "accept-encoding", library.encoding);
    if (!end && request.isEnabled && this.#isCoded(headers, request)) {
      stream.forgetRequestLength();
      removeLastCoding(headers);
      this.#decompress(stream, requestSide, this.#requestStats, (reason) =>
        stream.sendLocalReply(
          requestNotDecompressed,
          `the ${library.encoding} body of ${stream.connection.sourceAddress} cannot be decompressed: ${reason}`,
          [],
        ),
      );
    } else {
      this.#requestStats.notDecompressed.add();
    }
    return CONTINUE;
  }

  onResponseHeaders(stream: Stream, headers: Headers, end: boolean): Verdict {
    const { response, library } = this.#settings;
    if (!end && !stream.isTunnel && response.isEnabled && this.#isCoded(headers, response)) {
      stream.forgetResponseLength();
      removeLastCoding(headers);
      this.#decompress(stream, responseSide, this.#responseStats, (reason) => {
        const place = stream.endpointConfig?.key ?? "the upstream";
        const cause = `the ${library.encoding} body of ${place} cannot be decompressed: ${reason}`;
        stream.sendLocalReply(responseNotDecompressed, cause, []);
      });
    } else {
      this.#responseStats.notDecompressed.add();
    }
    return CONTINUE;
  }

  #isCoded(headers: Headers, { ignoresNoTransform }: DirectionSettings): boolean {
    // The last coding is the one that was applied last (RFC 9110 8.4).
    const codings = headers.get("content-encoding");
    if (codings === undefined) return false;
    const last = codings
      .slice(codings.lastIndexOf(",") + 1)
      .trim()
      .toLowerCase();
    if (last !== this.#settings.library.encoding) return false;
    return ignoresNoTransform || !/(?:^|,)\s*no-transform\s*(?:,|$)/i.test(headers.get("cache-control") ?? "");
  }

  #decompress(stream: Stream, side: MessageSide, stats: DecompressorStats, fail: (reason: string) => void): void {
    const { library } = this.#settings;
    stats.decompressed.add();
    let taken = 0;
    let made = 0;
    const body = new CodedBody(stream, side, library.create(), {
      taken: (bytes) => {
        taken += bytes;
        stats.compressedBytes.add(bytes);
      },
      made: (bytes) => {
        made += bytes;
        stats.uncompressedBytes.add(bytes);
        return made <= taken * library.maxRatio;
      },
      failed: (_stream, reason) => fail(reason),
    });
    stream.attach(this, body.filter);
  }
}

class DecompressorStats {
  readonly decompressed: Counter;
  readonly notDecompressed: Counter;
  readonly compressedBytes: Counter;
  readonly uncompressedBytes: Counter;

  constructor(stats: Stats, prefix: string) {
    this.decompressed = stats.counter(`${prefix}decompressed`);
    this.notDecompressed = stats.counter(`${prefix}not_decompressed`);
    this.compressedBytes = stats.counter(`${prefix}total_compressed_bytes`);
    this.uncompressedBytes = stats.counter(`${prefix}total_uncompressed_bytes`);
  }
}

function addToList(headers: Headers, name: string, element: string): void {
  const value = headers.get(name);
  if (value === undefined || value === "") headers.set(name, element);
  else if (!value.split(",").some((it) => it.split(";", 1)[0]?.trim().toLowerCase() === element)) {
    headers.set(name, `${value},${element}`);
  }
}

function removeLastCoding(headers: Headers): void {
  const codings = headers.get("content-encoding") ?? "";
  const comma = codings.lastIndexOf(",");
  if (comma < 0) headers.remove("content-encoding");
  else headers.set("content-encoding", codings.slice(0, comma).trim());
}
