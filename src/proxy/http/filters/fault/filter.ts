// HOT: per request. envoy.filters.http.fault: delays requests, aborts them, and slows responses down, for a share of the
// requests. A route's settings stand in place of the chain's. Only requests with a fault get an object of their own.
import { HTTPFaultSchema } from "#wire/gen/envoy/extensions/filters/http/fault/v3/fault_pb.ts";
import type { Headers } from "#wire/http/headers.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterContext,
  type HttpFilter,
  type HttpFilterType,
  PAUSE,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { faultAbort } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { ByteBudget, Throttle, type ThrottleUser } from "../../throttle.ts";
import { explainFault } from "./explain.ts";
import { type FaultSettings, type FaultShare, parseFault, shareWords } from "./settings.ts";
import { FaultStats } from "./stats.ts";

export const fault: HttpFilterType = defineHttpFilter<FaultSettings, FaultSettings>({
  type: "fault",
  messages: [settingsFrom(HTTPFaultSchema, parseFault)],
  routeMessages: [settingsFrom(HTTPFaultSchema, parseFault)],
  decide: (settings) => (subject, routeSettings, trace) =>
    explainFault((routeSettings[0] as FaultSettings | undefined) ?? settings, subject, trace),
  configure: (settings, context) => sharedFilter(new FaultFilter(settings, context)),
});

class FaultFilter implements HttpFilter {
  readonly context: FilterContext<FaultSettings>;
  readonly stats: FaultStats;
  readonly #settings: FaultSettings;

  constructor(settings: FaultSettings, context: FilterContext<FaultSettings>) {
    this.#settings = settings;
    this.context = context;
    this.stats = new FaultStats(context.environment.stats, `${context.statPrefix}fault.`);
  }

  onRequestHeaders(stream: Stream, headers: Headers): Verdict {
    const settings = this.context.routeSettings(stream) ?? this.#settings;
    const { delay, abort, rateLimit } = settings;
    if ((delay === null && abort === null && rateLimit === null) || !isMeant(settings, stream)) return CONTINUE;
    const random = this.context.environment.loop.random;
    let injected: InjectedFault | null = null;
    const begin = (): InjectedFault | null => (injected ??= this.#begin(stream, settings));
    if (rateLimit !== null && isDrawn(rateLimit, headers, "x-envoy-fault-throughput-response-percentage", random)) {
      const kbps = rateLimit.fixedKbps ?? headerNumber(headers, "x-envoy-fault-throughput-response");
      if (kbps !== undefined && kbps > 0) begin()?.limitResponse(kbps);
    }
    if (delay !== null && isDrawn(delay, headers, "x-envoy-fault-delay-request-percentage", random)) {
      const delayMs = delay.fixedMs ?? headerNumber(headers, "x-envoy-fault-delay-request");
      if (delayMs !== undefined && delayMs > 0 && begin()?.delay(delayMs) === true) return PAUSE;
    }
    return this.abort(stream, settings, injected) ? DONE : CONTINUE;
  }

  /** True when the request is answered. */
  abort(stream: Stream, settings: FaultSettings, injected: InjectedFault | null): boolean {
    const { abort } = settings;
    const { headers } = stream;
    const { random } = this.context.environment.loop;
    if (abort === null || !isDrawn(abort, headers, "x-envoy-fault-abort-request-percentage", random)) return false;
    const status = abortStatus(abort, headers);
    if (status === null || (injected ?? this.#begin(stream, settings)) === null) return false;
    this.stats.aborts.add();
    this.stats.forCluster(settings, headers, "aborts_injected");
    const route = stream.decision?.route;
    const cause = `a fault is injected: the route "${route?.name ?? ""}" aborts ${shareWords(abort.share)} of its requests`;
    stream.sendLocalReply(status, cause, route?.provenance.origins ?? []);
    return true;
  }

  /** Null: there are as many faults as are allowed. */
  #begin(stream: Stream, settings: FaultSettings): InjectedFault | null {
    if (this.stats.active.value >= settings.maxActiveFaults) {
      this.stats.overflow.add();
      return null;
    }
    const injected = new InjectedFault(this, stream, settings);
    stream.attach(this, injected);
    for (const [key, value] of Object.entries(settings.metadata ?? {})) {
      stream.setMetadata(this.context.name, key, value);
    }
    return injected;
  }
}

/** What one request has to suffer. It counts as one active fault until the stream ends. */
class InjectedFault implements HttpFilter, ThrottleUser {
  readonly #filter: FaultFilter;
  readonly #stream: Stream;
  readonly #settings: FaultSettings;
  #throttle: Throttle | null = null;
  #cancelDelay: (() => void) | null = null;

  constructor(filter: FaultFilter, stream: Stream, settings: FaultSettings) {
    this.#filter = filter;
    this.#stream = stream;
    this.#settings = settings;
    filter.stats.active.add(1);
  }

  limitResponse(kbps: number): void {
    const { loop } = this.#filter.context.environment;
    this.#throttle = new Throttle(loop, new ByteBudget(kbps, 1000 / 63, loop.now), this);
    this.#filter.stats.responseLimits.add();
  }

  delay(delayMs: number): true {
    const { stats } = this.#filter;
    stats.delays.add();
    stats.forCluster(this.#settings, this.#stream.headers, "delays_injected");
    this.#stream.addFlag("DI");
    this.#cancelDelay = this.#filter.context.environment.loop.after(delayMs, () => this.#delayed());
    return true;
  }

  #delayed(): void {
    this.#cancelDelay = null;
    if (!this.#filter.abort(this.#stream, this.#settings, this)) this.#stream.resumeRequest();
  }

  onResponseData(_stream: Stream, data: Buffer): Buffer | null {
    if (this.#throttle === null) return data;
    this.#throttle.write(data);
    return null;
  }

  onResponseEnd(): Verdict {
    return this.#throttle === null || this.#throttle.finish() ? CONTINUE : PAUSE;
  }

  send(data: Buffer): void {
    this.#stream.sendResponseData(this, data);
  }

  finished(): void {
    this.#stream.resumeResponse();
  }

  pause(): void {
    this.#stream.pauseResponse();
  }

  unpause(): void {
    this.#stream.unpauseResponse();
  }

  onComplete(): void {
    this.#cancelDelay?.();
    this.#throttle?.stop();
    this.#filter.stats.active.add(-1);
  }
}

function isMeant(settings: FaultSettings, stream: Stream): boolean {
  const { upstreamCluster, downstreamNodes, headers } = settings;
  if (upstreamCluster !== "" && stream.decision?.cluster?.name !== upstreamCluster) return false;
  if (downstreamNodes.length > 0) {
    const node = stream.header("x-envoy-downstream-service-node");
    if (node === undefined || !downstreamNodes.includes(node)) return false;
  }
  for (const matcher of headers) if (!matcher.matches(stream.header(matcher.name))) return false;
  return true;
}

function isDrawn(share: FaultShare, headers: Headers, percentageHeader: string, random: () => number): boolean {
  const asked = headerNumber(headers, percentageHeader);
  const effective = asked === undefined ? share.share : Math.min(share.share, asked / share.outOf);
  return effective > 0 && (effective >= 1 || random() < effective);
}

function headerNumber(headers: Headers, name: string): number | undefined {
  const value = headers.get(name);
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

function abortStatus(
  abort: NonNullable<FaultSettings["abort"]>,
  headers: Headers,
): ReturnType<typeof faultAbort> | null {
  if (abort.httpStatus !== null) return faultAbort(abort.httpStatus, null);
  if (abort.grpcStatus !== null) return faultAbort(200, abort.grpcStatus);
  const http = headerNumber(headers, "x-envoy-fault-abort-request");
  if (http !== undefined && http >= 200 && http < 600) return faultAbort(http, null);
  const grpc = headerNumber(headers, "x-envoy-fault-abort-grpc-request");
  return grpc === undefined ? null : faultAbort(200, grpc);
}
