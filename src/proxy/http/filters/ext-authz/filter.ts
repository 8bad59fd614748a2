// HOT: per request that is asked about. External authorization: a service says whether a request may pass, and what is
// changed in it. While it is asked, the request waits; when it cannot be asked, the request is refused, or passes where the
// configuration says so.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ExtAuthzPerRouteSchema,
  ExtAuthzSchema,
} from "#wire/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts";
import { CheckRequestSchema, CheckResponseSchema } from "#wire/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { CONTENT_LENGTH } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { type AskedPolicy, askedPolicy } from "../../../config/parse/asked-policy.ts";
import { BODY_TUNNEL } from "../../../upstream/exchange.ts";
import { callGrpc, type GrpcCaller, type GrpcFailure } from "../../../upstream/grpc-call.ts";
import { callHttp, type HttpCaller, type HttpCallFailure, type HttpCallResponse } from "../../../upstream/http-call.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterContext,
  HOLD,
  type HttpFilter,
  type HttpFilterType,
  PAUSE,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import {
  authorizationDenied,
  authorizationFailed,
  authorizationInvalid,
  requestBodyTooLarge,
} from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { applyToHeaders, applyToRequest } from "./apply.ts";
import { checkRequest } from "./check-request.ts";
import { explainExtAuthz } from "./explain.ts";
import { grpcOutcome } from "./grpc-outcome.ts";
import { type CheckBody, httpCheck, httpOutcome } from "./http-check.ts";
import {
  type Allowed,
  type Denied,
  type HeaderChange,
  isValidChange,
  metadataNamespace,
  type Outcome,
} from "./outcome.ts";
import { describeService } from "./service-words.ts";
import {
  type BodySettings,
  type ExtAuthzRouteSettings,
  type ExtAuthzSettings,
  parseExtAuthz,
  parseExtAuthzPerRoute,
} from "./settings.ts";
import { ExtAuthzStats } from "./stats.ts";

export const extAuthz: HttpFilterType = defineHttpFilter<ExtAuthzSettings, ExtAuthzRouteSettings>({
  type: "ext_authz",
  messages: [settingsFrom(ExtAuthzSchema, parseExtAuthz)],
  routeMessages: [settingsFrom(ExtAuthzPerRouteSchema, parseExtAuthzPerRoute)],
  decide: explainExtAuthz,
  configure: (settings, context) => sharedFilter(new ExtAuthzFilter(settings, context)),
});

class ExtAuthzFilter implements HttpFilter {
  readonly settings: ExtAuthzSettings;
  readonly context: FilterContext<ExtAuthzRouteSettings>;
  readonly stats: ExtAuthzStats;

  constructor(settings: ExtAuthzSettings, context: FilterContext<ExtAuthzRouteSettings>) {
    this.settings = settings;
    this.context = context;
    this.stats = new ExtAuthzStats(context.environment.stats, `${context.statPrefix}ext_authz.${settings.statPrefix}`);
  }

  onRequestHeaders(stream: Stream, headers: Headers, end: boolean): Verdict {
    const ofRoute = this.context.allRouteSettings(stream);
    if (ofRoute[0]?.disabled === true) return CONTINUE;
    if (!this.#isAsked(stream)) {
      this.stats.disabled.add();
      if (!this.settings.deniesUnasked) return CONTINUE;
      const words = "the request is not one that is asked about, and those are denied (deny_at_disable)";
      stream.sendLocalReply(authorizationFailed(this.settings.statusOnError), words, []);
      return DONE;
    }
    const body = end || stream.requestFraming === BODY_TUNNEL ? null : bodyFor(ofRoute, this.settings);
    if (body !== null && !body.allowsPartial && Number(headers.getId(CONTENT_LENGTH) ?? 0) > body.maxBytes) {
      this.refuseTooLarge(stream, body);
      return DONE;
    }
    const check = new Check(this, stream, extensionsFor(ofRoute), body);
    stream.attach(this, check);
    if (body !== null) return HOLD;
    check.ask(null);
    return PAUSE;
  }

  refuseTooLarge(stream: Stream, { maxBytes }: BodySettings): void {
    const policy = this.policy(stream);
    const words = `the body is longer than the ${maxBytes} bytes that the authorization service may be sent${policy.words}`;
    stream.sendLocalReply(requestBodyTooLarge, words, policy.origins);
  }

  /** Why the service is asked. */
  policy(stream: Stream): AskedPolicy {
    const { enabledBy, policyOrigins } = this.settings;
    return askedPolicy(enabledBy, stream.metadata(enabledBy?.filter ?? ""), policyOrigins);
  }

  #isAsked(stream: Stream): boolean {
    const { enabledBy, enabledShare } = this.settings;
    const { loop, runtime } = this.context.environment;
    const share = runtime.fraction(enabledShare);
    if (share < 1 && loop.random() >= share) return false;
    return enabledBy === null || enabledBy.matches(stream.metadata(enabledBy.filter));
  }
}

/** The most specific settings that say something. */
function bodyFor(ofRoute: readonly ExtAuthzRouteSettings[], { body }: ExtAuthzSettings): BodySettings | null {
  for (const own of ofRoute) if (!own.disabled && own.body !== undefined) return own.body;
  return body;
}

/** Of all levels; the more specific one wins. */
function extensionsFor(ofRoute: readonly ExtAuthzRouteSettings[]): Readonly<Record<string, string>> {
  const [first, ...more] = ofRoute;
  if (first === undefined) return {};
  const own = first.disabled ? {} : first.contextExtensions;
  return more.length === 0 ? own : { ...extensionsFor(more), ...own };
}

/** One request while it is asked about, and its response when that gets headers. */
class Check implements HttpFilter, HttpCaller, GrpcCaller {
  readonly #filter: ExtAuthzFilter;
  readonly #stream: Stream;
  readonly #extensions: Readonly<Record<string, string>>;
  /** Null: the service gets no body. */
  readonly #body: BodySettings | null;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #cancel: (() => void) | null = null;
  #isAsking = false;
  #isOver = false;
  #isPausing = false;
  #response: readonly HeaderChange[] = [];

  constructor(
    filter: ExtAuthzFilter,
    stream: Stream,
    extensions: Readonly<Record<string, string>>,
    body: BodySettings | null,
  ) {
    this.#filter = filter;
    this.#stream = stream;
    this.#extensions = extensions;
    this.#body = body;
  }

  onRequestData(stream: Stream, data: Buffer): Buffer | null {
    const body = this.#body;
    if (this.#isOver || body === null) return data;
    this.#chunks.push(data);
    this.#bytes += data.length;
    if (this.#isAsking) return null;
    if (this.#bytes > body.maxBytes && !body.allowsPartial) {
      this.#isOver = true;
      this.#chunks = [];
      this.#filter.refuseTooLarge(stream, body);
    } else if (this.#bytes >= body.maxBytes && body.allowsPartial) {
      // The client waits with the rest until there is an answer.
      this.#isPausing = true;
      stream.pauseRequest();
      this.ask({ bytes: Buffer.concat(this.#chunks).subarray(0, body.maxBytes), isPartial: true });
    }
    return null;
  }

  onRequestEnd(): Verdict {
    if (this.#isOver) return CONTINUE;
    if (!this.#isAsking) this.ask({ bytes: Buffer.concat(this.#chunks), isPartial: false });
    return PAUSE;
  }

  ask(body: CheckBody | null): void {
    this.#isAsking = true;
    const { context, settings } = this.#filter;
    const { service } = settings;
    const { environment } = context;
    if (service.type === "http") {
      this.#cancel = callHttp(environment, httpCheck(this.#stream, settings, service, body), this);
      return;
    }
    const request = checkRequest(this.#stream, settings, this.#extensions, body);
    const { authority, cluster, metadata, timeoutMs } = service;
    const message = toBinary(CheckRequestSchema, request);
    const path = "/envoy.service.auth.v3.Authorization/Check";
    this.#cancel = callGrpc(environment, { authority, cluster, message, metadata, path, timeoutMs }, this);
  }

  onCallDone(response: HttpCallResponse): void {
    const { service } = this.#filter.settings;
    if (service.type === "http") this.#decide(httpOutcome(service, response));
  }

  onCallFailed({ words, isTimeout }: HttpCallFailure): void {
    this.#decide({ type: "failed", words, isTimeout });
  }

  onGrpcDone(message: Buffer): void {
    let outcome: Outcome;
    try {
      outcome = grpcOutcome(fromBinary(CheckResponseSchema, message));
    } catch {
      outcome = { type: "failed", words: "its answer is not a CheckResponse", isTimeout: false };
    }
    this.#decide(outcome);
  }

  onGrpcFailed({ status, words }: GrpcFailure): void {
    this.#decide({ type: "failed", words: `${words} (gRPC status ${status})`, isTimeout: status === 4 });
  }

  #decide(outcome: Outcome): void {
    this.#cancel = null;
    if (this.#isOver || this.#stream.isDone) return;
    switch (outcome.type) {
      case "allowed":
        this.#allow(outcome);
        return;
      case "denied":
        this.#deny(outcome);
        return;
      default:
        this.#fail(outcome.words, outcome.isTimeout);
    }
  }

  #allow(allowed: Allowed): void {
    const { settings, stats } = this.#filter;
    const { mutationRules, clearsRouteCache } = settings;
    const request = this.#usable(allowed.request, true);
    const response = request === null ? null : this.#usable(allowed.response, false);
    if (request === null || response === null) return;
    const permitted = mutationRules === null ? request : request.filter(({ name }) => mutationRules.allows(name));
    if (mutationRules?.isStrict === true && permitted.length < request.length) {
      this.#invalid("it changes headers that it may not change");
      return;
    }
    this.#takeMetadata(allowed.metadata);
    this.#response = response;
    stats.ok.add();
    this.#countAtCluster("ok");
    const hasChanged = applyToRequest(this.#stream, { ...allowed, request: permitted });
    if (hasChanged && clearsRouteCache) this.#stream.selectRoute();
    this.#pass();
  }

  #deny(denied: Denied): void {
    const { settings, stats } = this.#filter;
    const response = this.#usable(denied.response, false);
    if (response === null) return;
    this.#takeMetadata(denied.metadata);
    stats.denied.add();
    this.#countAtCluster("denied");
    if (settings.chargesCluster) this.#chargeCluster(denied.status);
    this.#isOver = true;
    const reply = authorizationDenied(denied.status, denied.body);
    const { origins, words } = this.#filter.policy(this.#stream);
    const cause = `${describeService(settings)} denies it with ${denied.status}${words}`;
    this.#stream.sendLocalReply(reply, cause, origins, (headers) => {
      for (const change of response) {
        // The body's type is the service's word; its length is ours.
        if (change.name === "content-type") headers.set(change.name, change.value);
        else applyToHeaders(headers, change);
      }
    });
  }

  #fail(words: string, isTimeout: boolean): void {
    const { settings, stats } = this.#filter;
    stats.error.add();
    if (isTimeout) stats.timeout.add();
    this.#countAtCluster("error");
    if (settings.allowsOnFailure) {
      stats.failureModeAllowed.add();
      this.#countAtCluster("failure_mode_allowed");
      if (settings.tellsFailure) this.#stream.headers.set("x-envoy-auth-failure-mode-allowed", "true");
      this.#pass();
      return;
    }
    this.#isOver = true;
    const policy = this.#filter.policy(this.#stream);
    const cause = `${describeService(settings)} can't be asked${policy.words}: ${words}`;
    this.#stream.sendLocalReply(authorizationFailed(settings.statusOnError), cause, policy.origins);
  }

  /** Changes that leave the message whole; null when the answer was refused because of the others. */
  #usable(changes: readonly HeaderChange[], isRequest: boolean): readonly HeaderChange[] | null {
    const valid = changes.filter((change) => isValidChange(change, isRequest));
    const { service, validatesMutations } = this.#filter.settings;
    // An HTTP answer has framing of its own, which is nothing that it asks for.
    if (valid.length === changes.length || service.type === "http" || !validatesMutations) return valid;
    this.#invalid("it sets a header that is none");
    return null;
  }

  #invalid(words: string): void {
    this.#filter.stats.invalid.add();
    this.#isOver = true;
    const policy = this.#filter.policy(this.#stream);
    const cause = `the answer of ${describeService(this.#filter.settings)} is not valid${policy.words}: ${words}`;
    this.#stream.sendLocalReply(authorizationInvalid, cause, policy.origins);
  }

  #takeMetadata(values: Allowed["metadata"]): void {
    if (values === null) return;
    const { settings, stats } = this.#filter;
    if (settings.takesMetadata) this.#stream.mergeMetadata({ namespace: metadataNamespace, values });
    else stats.ignoredMetadata.add();
  }

  #countAtCluster(name: string): void {
    const cluster = this.#stream.decision?.cluster?.name;
    if (cluster !== undefined)
      this.#filter.stats.atCluster(cluster, `ext_authz.${this.#filter.settings.statPrefix}${name}`);
  }

  /** A refusal counts as an answer of the cluster that the request was for. */
  #chargeCluster(status: number): void {
    const name = this.#stream.decision?.cluster?.name ?? "";
    this.#filter.context.environment.clusters.get(name)?.countStatus(status);
  }

  /** The request goes on, with what was kept of its body. */
  #pass(): void {
    this.#isOver = true;
    const stream = this.#stream;
    const chunks = this.#chunks;
    this.#chunks = [];
    for (const chunk of chunks) stream.sendRequestData(this, chunk);
    if (this.#isPausing) stream.unpauseRequest();
    stream.resumeRequest();
  }

  onResponseHeaders(_stream: Stream, headers: Headers): Verdict {
    for (const change of this.#response) applyToHeaders(headers, change);
    return CONTINUE;
  }

  onComplete(): void {
    this.#isOver = true;
    this.#cancel?.();
    this.#cancel = null;
    this.#chunks = [];
  }
}
