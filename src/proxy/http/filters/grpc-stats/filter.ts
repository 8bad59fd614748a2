// HOT: per gRPC call. envoy.filters.http.grpc_stats: counts calls, statuses and messages by cluster, and by method where
// that is configured, and tells the metrics how many messages a call had.
import type { GrpcMethodList } from "#wire/gen/envoy/config/core/v3/grpc_method_list_pb.ts";
import {
  type FilterConfig,
  FilterConfigSchema,
} from "#wire/gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.ts";
import { MessageFrames } from "#wire/grpc/message-frames.ts";
import type { Headers } from "#wire/http/headers.ts";
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
import type { Stream } from "../../stream.ts";
import { type CallCounters, CallStats } from "./call-stats.ts";

interface GrpcStatsSettings {
  /** The metrics hear of messages. */
  readonly reportsMessages: boolean;
  /** Methods with statistics of their own, as `service/method`; null: all. */
  readonly methods: ReadonlySet<string> | null;
  readonly replacesDots: boolean;
  /** Upstream times have histograms. */
  readonly hasTimes: boolean;
}

export const grpcStats: HttpFilterType = defineHttpFilter<GrpcStatsSettings>({
  type: "grpc_stats",
  messages: [settingsFrom(FilterConfigSchema, parse)],
  configure: (settings, context) => sharedFilter(new GrpcStatsFilter(settings, context)),
});

function parse(message: FilterConfig): GrpcStatsSettings {
  const specifier = message.perMethodStatSpecifier;
  return {
    reportsMessages: message.emitFilterState,
    methods:
      specifier.case === "individualMethodStatsAllowlist"
        ? methodsOf(specifier.value)
        : specifier.case === "statsForAllMethods" && specifier.value.value
          ? null
          : new Set(),
    replacesDots: message.replaceDotsInGrpcServiceName,
    hasTimes: message.enableUpstreamStats,
  };
}

function methodsOf({ services }: GrpcMethodList): ReadonlySet<string> {
  return new Set(services.flatMap(({ name, methodNames }) => methodNames.map((method) => `${name}/${method}`)));
}

class GrpcStatsFilter implements HttpFilter {
  readonly #settings: GrpcStatsSettings;
  readonly #stats: CallStats;

  constructor(settings: GrpcStatsSettings, { environment }: FilterContext<never>) {
    this.#settings = settings;
    this.#stats = new CallStats(environment.stats, settings);
  }

  onRequestHeaders(stream: Stream): Verdict {
    if (!stream.isGrpc) return CONTINUE;
    const cluster = stream.decision?.cluster?.name ?? "";
    const counters = cluster === "" ? null : this.#stats.of(cluster, stream.path);
    if (counters !== null || this.#settings.reportsMessages) {
      stream.attach(this, new CountedCall(stream, counters, this.#settings.reportsMessages));
    }
    return CONTINUE;
  }
}

class CountedCall implements HttpFilter {
  readonly #stream: Stream;
  readonly #counters: CallCounters | null;
  readonly #reportsMessages: boolean;
  readonly #requests = new MessageFrames();
  readonly #responses = new MessageFrames();
  #requestEndMs = 0;
  #isDone = false;

  constructor(stream: Stream, counters: CallCounters | null, reportsMessages: boolean) {
    this.#stream = stream;
    this.#counters = counters;
    this.#reportsMessages = reportsMessages;
  }

  onRequestData(_stream: Stream, data: Buffer): Buffer {
    const before = this.#requests.count;
    this.#requests.scan(data);
    this.#counters?.requestMessages.add(this.#requests.count - before);
    if (this.#reportsMessages) this.#stream.requestMessages = this.#requests.count;
    return data;
  }

  onRequestEnd(stream: Stream): Verdict {
    this.#requestEndMs = stream.manager.environment.loop.now;
    return CONTINUE;
  }

  onResponseData(_stream: Stream, data: Buffer): Buffer {
    const before = this.#responses.count;
    this.#responses.scan(data);
    this.#counters?.responseMessages.add(this.#responses.count - before);
    if (this.#reportsMessages) this.#stream.responseMessages = this.#responses.count;
    return data;
  }

  onResponseHeaders(_stream: Stream, headers: Headers, end: boolean): Verdict {
    if (end) this.#done(headers.get("grpc-status"));
    return CONTINUE;
  }

  onResponseEnd(_stream: Stream, trailers: Headers | null): Verdict {
    if (trailers !== null) this.#done(trailers.get("grpc-status"));
    return CONTINUE;
  }

  #done(status: string | undefined): void {
    if (this.#isDone || status === undefined) return;
    this.#isDone = true;
    this.#counters?.done(status);
    const { now } = this.#stream.manager.environment.loop;
    if (this.#requestEndMs > 0) this.#counters?.upstreamTimes?.record(now - this.#requestEndMs, now);
  }
}
