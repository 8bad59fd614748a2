// HOT: per request. envoy.filters.http.local_ratelimit: token buckets in this proxy, one for all requests and one per
// descriptor. A route's settings stand in place of the chain's, with buckets of their own.
import { LocalRateLimitSchema } from "#wire/gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { RateLimitDescriptor } from "../../../config/rate-limit.ts";
import { addStep } from "../../../config/trace.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterContext,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { applyHeaderMutations } from "../../header-mutation.ts";
import { limitName } from "../../limit-name.ts";
import { localRateLimited } from "../../local-replies.ts";
import { descriptorsOf } from "../../rate-limit-descriptors.ts";
import type { Stream } from "../../stream.ts";
import { type Bucket, Buckets } from "./buckets.ts";
import { type LocalRateLimitSettings, parseLocalRateLimit, parseRouteLimit } from "./settings.ts";

export const localRatelimit: HttpFilterType = defineHttpFilter<LocalRateLimitSettings, LocalRateLimitSettings>({
  type: "local_ratelimit",
  messages: [settingsFrom(LocalRateLimitSchema, parseLocalRateLimit)],
  routeMessages: [settingsFrom(LocalRateLimitSchema, parseRouteLimit)],
  decide: (settings) => (_subject, routeSettings, trace) => {
    const { bucket, enabled, enforced } = (routeSettings[0] as LocalRateLimitSettings | undefined) ?? settings;
    if (trace !== null && bucket !== null && enabled.fraction > 0) {
      const { maxTokens, tokensPerSecond } = bucket;
      const words = `${maxTokens} requests at once and ${Number(tokensPerSecond.toFixed(3))} a second`;
      addStep(trace, "local rate limit", `${words}${enforced.fraction > 0 ? "" : " (not enforced)"}`);
    }
    return null;
  },
  configure: (settings, context) => sharedFilter(new LocalRateLimitFilter(settings, context)),
});

const noDescriptors: readonly RateLimitDescriptor[] = [];

class LocalRateLimitFilter implements HttpFilter {
  readonly #settings: LocalRateLimitSettings;
  readonly #context: FilterContext<LocalRateLimitSettings>;
  readonly #buckets = new WeakMap<LocalRateLimitSettings, Buckets>();

  constructor(settings: LocalRateLimitSettings, context: FilterContext<LocalRateLimitSettings>) {
    this.#settings = settings;
    this.#context = context;
  }

  onRequestHeaders(stream: Stream, headers: Headers): Verdict {
    const settings = this.#context.routeSettings(stream) ?? this.#settings;
    const { loop, runtime } = this.#context.environment;
    const { random, now } = loop;
    const enabled = runtime.fraction(settings.enabled);
    if (enabled === 0 || (enabled < 1 && random() >= enabled)) return CONTINUE;
    const buckets = this.#bucketsOf(settings, stream);
    const { stats } = buckets;
    stats.enabled.add();
    const descriptors =
      settings.descriptors.length === 0
        ? noDescriptors
        : descriptorsOf(stream, settings.stage, settings.virtualHostRules);
    const verdict = buckets.of(stream.connection, now).take(descriptors, now);
    if (settings.addsLimitHeaders && verdict.bucket !== null) {
      const { bucket } = verdict;
      stream.attach(this, {
        onResponseHeaders: (_stream, response) => addLimitHeaders(response, bucket, this.#context.environment.loop.now),
      });
    }
    if (verdict.isAllowed) {
      stats.ok.add();
      return CONTINUE;
    }
    stats.rateLimited.add();
    const enforced = runtime.fraction(settings.enforced);
    if (enforced === 0 || (enforced < 1 && random() >= enforced)) {
      applyHeaderMutations(stream, headers, settings.unenforcedRequestHeaders, true);
      return CONTINUE;
    }
    stats.enforced.add();
    this.#refuse(stream, settings, verdict.bucket);
    return DONE;
  }

  #bucketsOf(settings: LocalRateLimitSettings, stream: Stream): Buckets {
    let buckets = this.#buckets.get(settings);
    if (buckets === undefined) {
      const { cells, stats } = this.#context.environment;
      const name = limitName(stream, this.#context.name, settings, settings !== this.#settings);
      buckets = new Buckets(settings, stats, cells && { cells, name });
      this.#buckets.set(settings, buckets);
    }
    return buckets;
  }

  #refuse(stream: Stream, settings: LocalRateLimitSettings, bucket: Bucket | null): void {
    const { status, asResourceExhausted, responseHeaders } = settings;
    const limit = bucket?.tokens.settings;
    const whose = bucket === null || bucket.words === "" ? "all requests" : `requests with ${bucket.words}`;
    const per = settings.perConnection ? " of one connection" : "";
    const cause = `the limit of ${limit?.maxTokens ?? 0} for ${whose}${per} is used up`;
    stream.sendLocalReply(
      localRateLimited(status, asResourceExhausted),
      cause,
      stream.decision?.route.provenance.origins ?? [],
      (headers) => applyHeaderMutations(stream, headers, responseHeaders, false),
    );
  }
}

function addLimitHeaders(headers: Headers, { tokens }: Bucket, now: number): Verdict {
  headers.set("x-ratelimit-limit", String(tokens.settings.maxTokens));
  headers.set("x-ratelimit-remaining", String(tokens.remaining(now)));
  headers.set("x-ratelimit-reset", String(tokens.secondsUntilFull(now)));
  return CONTINUE;
}
