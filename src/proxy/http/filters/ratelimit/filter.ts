// HOT: per request with descriptors. envoy.filters.http.ratelimit: asks a rate limit service whether a request may pass.
// Requests that no rule of their route describes are not asked about.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import {
  RateLimitDescriptor_EntrySchema,
  RateLimitDescriptor_RateLimitOverrideSchema,
  type RateLimitDescriptor as RateLimitDescriptorMessage,
  RateLimitDescriptorSchema,
} from "#wire/gen/envoy/extensions/common/ratelimit/v3/ratelimit_pb.ts";
import {
  RateLimitPerRouteSchema,
  RateLimitSchema,
} from "#wire/gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.ts";
import {
  RateLimitResponse_Code as Code,
  RateLimitRequestSchema,
  type RateLimitResponse,
  RateLimitResponseSchema,
} from "#wire/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { X_ENVOY_INTERNAL } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { RateLimitDescriptor } from "../../../config/rate-limit.ts";
import { callGrpc, type GrpcCaller, type GrpcFailure } from "../../../upstream/grpc-call.ts";
import {
  CONTINUE,
  defineHttpFilter,
  type FilterContext,
  type HttpFilter,
  type HttpFilterType,
  PAUSE,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { applyHeaderMutations } from "../../header-mutation.ts";
import { rateLimited, rateLimitServiceFailed } from "../../local-replies.ts";
import { descriptorsOf } from "../../rate-limit-descriptors.ts";
import type { Stream } from "../../stream.ts";
import { addLimitHeaders } from "./limit-headers.ts";
import {
  parseRateLimit,
  parseRateLimitRoute,
  type RateLimitRouteSettings,
  type RateLimitSettings,
} from "./settings.ts";

export const ratelimit: HttpFilterType = defineHttpFilter<RateLimitSettings, RateLimitRouteSettings>({
  type: "ratelimit",
  messages: [settingsFrom(RateLimitSchema, parseRateLimit)],
  routeMessages: [settingsFrom(RateLimitPerRouteSchema, parseRateLimitRoute)],
  configure: (settings, context) => sharedFilter(new RateLimitFilter(settings, context)),
});

type Context = FilterContext<RateLimitRouteSettings>;

class RateLimitFilter implements HttpFilter {
  readonly #settings: RateLimitSettings;
  readonly #context: Context;

  constructor(settings: RateLimitSettings, context: Context) {
    this.#settings = settings;
    this.#context = context;
  }

  onRequestHeaders(stream: Stream, headers: Headers): Verdict {
    const settings = this.#settings;
    if (settings.requests !== "both") {
      const isInternal = headers.getId(X_ENVOY_INTERNAL) === "true";
      if (isInternal !== (settings.requests === "internal")) return CONTINUE;
    }
    const route = this.#context.routeSettings(stream);
    const descriptors = descriptorsOf(stream, settings.stage, route?.virtualHostRules ?? "override");
    if (descriptors.length === 0) return CONTINUE;
    const question = new RateLimitQuestion(stream, settings, this.#context);
    stream.attach(this, question);
    question.ask(route?.domain || settings.domain, descriptors);
    return PAUSE;
  }
}

/** Where Envoy puts what the service says of a request. */
const metadataNamespace = "envoy.filters.http.ratelimit";

class RateLimitQuestion implements HttpFilter, GrpcCaller {
  readonly #stream: Stream;
  readonly #settings: RateLimitSettings;
  readonly #context: Context;
  #cancel: (() => void) | null = null;
  #response: RateLimitResponse | null = null;

  constructor(stream: Stream, settings: RateLimitSettings, context: Context) {
    this.#stream = stream;
    this.#settings = settings;
    this.#context = context;
  }

  ask(domain: string, descriptors: readonly RateLimitDescriptor[]): void {
    const request = create(RateLimitRequestSchema, { domain, descriptors: descriptors.map(messageOf) });
    const message = toBinary(RateLimitRequestSchema, request);
    const path = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
    this.#cancel = callGrpc(this.#context.environment, { ...this.#settings.service, path, message }, this);
  }

  onGrpcDone(message: Buffer): void {
    this.#cancel = null;
    let response: RateLimitResponse;
    try {
      response = fromBinary(RateLimitResponseSchema, message);
    } catch {
      this.#failed("its answer is no RateLimitResponse");
      return;
    }
    this.#response = response;
    for (const [key, value] of Object.entries(response.dynamicMetadata ?? {})) {
      this.#stream.setMetadata(metadataNamespace, key, value);
    }
    if (response.overallCode === Code.OVER_LIMIT) this.#refuse(response);
    else if (response.overallCode === Code.OK) this.#allow(response);
    else this.#failed("it neither allows nor refuses");
  }

  onGrpcFailed({ words }: GrpcFailure): void {
    this.#cancel = null;
    this.#failed(words);
  }

  #count(name: string): void {
    const cluster = this.#stream.decision?.cluster?.name ?? "";
    this.#context.environment.stats.counter(`cluster.${cluster}.ratelimit.${this.#settings.statPrefix}${name}`).add();
  }

  #allow(response: RateLimitResponse): void {
    this.#count("ok");
    addPlain(this.#stream.headers, response.requestHeadersToAdd);
    this.#stream.resumeRequest();
  }

  #refuse(response: RateLimitResponse): void {
    this.#count("over_limit");
    const { status, asResourceExhausted, addsRatelimitedHeader, responseHeaders, service } = this.#settings;
    const stream = this.#stream;
    const body = Buffer.from(response.rawBody).toString("utf8");
    const cause = `the rate limit service ${service.cluster} says that the limit is reached`;
    stream.sendLocalReply(rateLimited(status, asResourceExhausted, body), cause, this.#origins(), (headers) => {
      if (addsRatelimitedHeader) headers.set("x-envoy-ratelimited", "true");
      applyHeaderMutations(stream, headers, responseHeaders, false);
    });
  }

  #failed(words: string): void {
    this.#count("error");
    const { deniesOnFailure, statusOnFailure, service } = this.#settings;
    if (!deniesOnFailure) {
      this.#count("failure_mode_allowed");
      this.#stream.resumeRequest();
      return;
    }
    const cause = `the rate limit service ${service.cluster} cannot be asked: ${words}`;
    this.#stream.sendLocalReply(rateLimitServiceFailed(statusOnFailure), cause, this.#origins());
  }

  #origins(): readonly Origin[] {
    return this.#stream.decision?.route.provenance.origins ?? [];
  }

  onResponseHeaders(_stream: Stream, headers: Headers): Verdict {
    const response = this.#response;
    if (response === null) return CONTINUE;
    addPlain(headers, response.responseHeadersToAdd);
    if (this.#settings.addsLimitHeaders) addLimitHeaders(headers, response.statuses);
    return CONTINUE;
  }

  onComplete(): void {
    this.#cancel?.();
  }
}

function messageOf({ entries, limit }: RateLimitDescriptor): RateLimitDescriptorMessage {
  return create(RateLimitDescriptorSchema, {
    entries: entries.map((entry) => create(RateLimitDescriptor_EntrySchema, entry)),
    ...(limit !== null && { limit: create(RateLimitDescriptor_RateLimitOverrideSchema, limit) }),
  });
}

/** Header names and values of the service go into messages as they are: what would break one is left out. */
function addPlain(headers: Headers, list: RateLimitResponse["responseHeadersToAdd"]): void {
  for (const { key, value, rawValue } of list) {
    const text = value || Buffer.from(rawValue).toString("latin1");
    if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(key) && !/[\r\n\0]/.test(text)) headers.add(key, text);
  }
}
