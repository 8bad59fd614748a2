// envoy.filters.http.bandwidth_limit: one budget of bytes a second for all requests of a chain or route, and one for
// their responses.
import type { ProcessCell } from "#base/threads/process-cells.ts";
import {
  type BandwidthLimit,
  BandwidthLimitSchema,
  BandwidthLimit_EnableMode as Mode,
} from "#wire/gen/envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit_pb.ts";
import { inRange, milliseconds } from "../../../config/parse/values.ts";
import {
  CONTINUE,
  defineHttpFilter,
  type FilterContext,
  type FilterPlace,
  type HttpFilter,
  type HttpFilterType,
  PAUSE,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { limitName } from "../../limit-name.ts";
import { type MessageSide, requestSide, responseSide } from "../../message-side.ts";
import type { Stream } from "../../stream.ts";
import { ByteBudget, Throttle } from "../../throttle.ts";
import { DirectionStats } from "./stats.ts";

interface BandwidthSettings {
  readonly statPrefix: string;
  readonly limitsRequests: boolean;
  readonly limitsResponses: boolean;
  readonly kibPerSecond: number;
  readonly intervalMs: number;
}

export const bandwidthLimit: HttpFilterType = defineHttpFilter<BandwidthSettings, BandwidthSettings>({
  type: "bandwidth_limit",
  messages: [settingsFrom(BandwidthLimitSchema, parse)],
  routeMessages: [settingsFrom(BandwidthLimitSchema, parse)],
  configure: (settings, context) => sharedFilter(new BandwidthFilter(settings, context)),
});

function parse(message: BandwidthLimit, { path, problems }: FilterPlace): BandwidthSettings {
  const mode = message.enableMode;
  if (message.statPrefix === "") problems.invalid(`${path}.stat_prefix`, "is missing");
  const kibPerSecond = Number(message.limitKbps ?? 0n);
  if (mode !== Mode.DISABLED && kibPerSecond < 1) problems.invalid(`${path}.limit_kbps`, "is below 1");
  if (message.enableResponseTrailers)
    problems.leftOut(`${path}.enable_response_trailers`, "telling delays in trailers");
  if ((message.runtimeEnabled?.runtimeKey ?? "") !== "") {
    problems.leftOut(`${path}.runtime_enabled.runtime_key`, "a runtime key");
  }
  const isOn = message.runtimeEnabled?.defaultValue ?? true;
  return {
    statPrefix: message.statPrefix,
    limitsRequests: isOn && (mode === Mode.REQUEST || mode === Mode.REQUEST_AND_RESPONSE),
    limitsResponses: isOn && (mode === Mode.RESPONSE || mode === Mode.REQUEST_AND_RESPONSE),
    kibPerSecond,
    intervalMs: inRange(milliseconds(message.fillInterval, 50), 50, [20, 1000], `${path}.fill_interval`, problems),
  };
}

/** What all streams with the same settings share. */
interface Budgets {
  readonly request: ByteBudget;
  readonly response: ByteBudget;
  readonly requestStats: DirectionStats;
  readonly responseStats: DirectionStats;
}

class BandwidthFilter implements HttpFilter {
  readonly #settings: BandwidthSettings;
  readonly #context: FilterContext<BandwidthSettings>;
  readonly #budgets = new WeakMap<BandwidthSettings, Budgets>();

  constructor(settings: BandwidthSettings, context: FilterContext<BandwidthSettings>) {
    this.#settings = settings;
    this.#context = context;
  }

  onRequestHeaders(stream: Stream, _headers: unknown, end: boolean): Verdict {
    const settings = this.#context.routeSettings(stream) ?? this.#settings;
    const { limitsRequests, limitsResponses } = settings;
    if (!limitsRequests && !limitsResponses) return CONTINUE;
    const { request, response, requestStats, responseStats } = this.#budgetsOf(settings, stream);
    if (limitsRequests && !end) this.#limit(stream, requestSide, request, requestStats);
    if (limitsResponses) this.#limit(stream, responseSide, response, responseStats);
    return CONTINUE;
  }

  #budgetsOf(settings: BandwidthSettings, stream: Stream): Budgets {
    let budgets = this.#budgets.get(settings);
    if (budgets === undefined) {
      const { kibPerSecond, intervalMs, statPrefix } = settings;
      const { cells, loop, stats } = this.#context.environment;
      const name = limitName(stream, this.#context.name, settings, settings !== this.#settings);
      const cell = (side: string): ProcessCell | null => cells?.claim(`${side}\n${name}`) ?? null;
      budgets = {
        request: new ByteBudget(kibPerSecond, intervalMs, loop.now, cell("request")),
        response: new ByteBudget(kibPerSecond, intervalMs, loop.now, cell("response")),
        requestStats: new DirectionStats(stats, `${statPrefix}.http_bandwidth_limit.request_`),
        responseStats: new DirectionStats(stats, `${statPrefix}.http_bandwidth_limit.response_`),
      };
      this.#budgets.set(settings, budgets);
    }
    return budgets;
  }

  #limit(stream: Stream, side: MessageSide, budget: ByteBudget, stats: DirectionStats): void {
    stats.enabled.add();
    stats.pending.add(1);
    let isPending = true;
    const done = (): void => {
      if (isPending) stats.pending.add(-1);
      isPending = false;
    };
    const throttle = new Throttle(this.#context.environment.loop, budget, {
      send: (data) => {
        stats.allowedBytes.add(data.length);
        side.send(stream, filter, data);
      },
      finished: () => {
        done();
        side.resume(stream);
      },
      pause: () => {
        stats.enforced.add();
        side.pause(stream);
      },
      unpause: () => side.unpause(stream),
    });
    const filter = side.filter({
      onData: (_stream, data) => {
        stats.incomingBytes.add(data.length);
        throttle.write(data);
        return null;
      },
      onEnd: () => {
        if (!throttle.finish()) return PAUSE;
        done();
        return CONTINUE;
      },
      onComplete: () => {
        throttle.stop();
        done();
      },
    });
    stream.attach(this, filter);
  }
}
